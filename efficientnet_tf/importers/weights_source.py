"""What every importer hands over: named arrays in our layouts, and how to name our variables.

Layouts are Keras': kernels [height, width, in, out], depthwise [height, width, channels, 1],
dense [in, out]; all read as float32.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.importers.input_contract import InputContract
from efficientnet_tf.importers.merge import Receipt, merge
from efficientnet_tf.models.variants import Variant
from efficientnet_tf.storage.files import opened

HEAD = "predictions/"  # how paths of our classifier start
_CHUNK = 2**22  # bytes


@dataclass(frozen=True)
class WeightsSource:
    """An opened file of weights.

    Attributes:
        path: for messages and the receipt.
        format: what it is, in words.
        files: all files that hold it.
        shapes: name in the source -> shape, in our layout; the network's weights alone.
        read: array of a name, in our layout, float32.
        names: (our model) -> {path of each of its variables: name in the source}.
        head: the names of the classifier; empty if there is none.
        classes: of that classifier.
        contract: what the source says of its input for a variant of ours.
        head_fault: why the classifier cannot be taken, if it cannot: the end of a sentence.
        ignored: names in the source that are no weights of the network.
        class_names: if the source has them.
        notes: what the user should know; printed with the receipt.
    """

    path: str
    format: str
    files: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]
    names: Callable[[Any], dict[str, str]]
    head: tuple[str, ...]
    classes: int | None
    contract: Callable[[Variant], InputContract]
    head_fault: str | None = None
    ignored: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def merge_source(model: Any, source: WeightsSource, new_head: bool = False) -> Receipt:
    """Loads a source into `model`, all of it or nothing.

    Args:
        model: made by `create_model`.
        source: of any importer.
        new_head: the classifier of `model` stays as it is; one in the source is left over.

    Raises:
        UsageError: names or shapes do not fit exactly, or the classifier is no softmax.
    """
    if source.head_fault and not new_head:
        raise UsageError(
            f'--from: the classifier in "{source.path}" is none of ours, which are a softmax over '
            f"the classes: {source.head_fault}.\n"
            "Import the rest with --new_head --classes=N (of two classes, N is 2), and train it."
        )
    names = source.names(model)
    if new_head:
        names = {path: name for path, name in names.items() if not path.startswith(HEAD)}
    return merge(
        model,
        names,
        source.shapes,
        source.read,
        source=source.path,
        ignored=source.ignored,
        left_over=source.head if new_head else (),
    )


def checksum(files: Sequence[str]) -> str:
    """sha256 over the contents of files, in the order given."""
    digest = hashlib.sha256()
    for file in files:
        with opened(file) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def check_file(path: str) -> str:
    """The path, if there is a file that can be read.

    Raises:
        UsageError: there is none.
    """
    if not Path(path).is_file():
        raise UsageError(f'--from: there is no file "{path}".')
    return path


@contextmanager
def reading(path: str, *errors: type[Exception]) -> Iterator[None]:
    """Turns what a library raises for a damaged file into a UsageError that names it."""
    try:
        yield
    except UsageError:
        raise
    except errors as error:
        reason = first_line(error).rstrip(".")
        raise UsageError(f'--from: "{path}" cannot be read: {reason}. Copy it again.') from error
