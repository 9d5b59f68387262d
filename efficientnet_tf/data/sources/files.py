"""A source of image files, one path each, whatever named them: a folder or a table.

An image's index is its row in the split. A shuffled pass is a permutation of all rows, so no
buffer is needed, and a pass starts anywhere without reading what comes before.
"""

import dataclasses
import os
import unicodedata
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import map_or
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.errors import UsageError, nearest


@dataclasses.dataclass(frozen=True, eq=False)
class FileSource(Source):
    """Encoded images in files, see `file_source`.

    Attributes:
        root: what all paths begin with, kept once.
        folder: that of the data set, with a slash; images in it are known by the rest of the path.
        names: per split string [N], the rest of each path: bytes, as the file system has them.
        labels: per split int64 [N]. Both are eager tensors: numpy arrays would be copied into the
            graph of every function that reads them.
    """

    seekable: ClassVar[bool] = True

    root: bytes
    folder: bytes
    names: Mapping[str, tf.Tensor]
    labels: Mapping[str, tf.Tensor]

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        """One pass, see `Source.examples`; `shuffle_buffer` is not needed."""
        return self.at(split, self.rows(split, how), how.skip_errors)

    def at(self, split: str, rows: tf.Tensor, skip_errors: bool) -> tf.data.Dataset:
        """The images of some rows of a split, int64 [N], in this order; see `examples`."""
        names, labels = self.names[split], self.labels[split]
        numbers = tf.data.Dataset.from_tensor_slices(rows)

        # The path is looked up row by row: gathered for a whole pass, 1.3 million would take
        # another 100 MB, twice where two passes meet.
        def read(index: tf.Tensor) -> dict[str, tf.Tensor]:
            image = tf.io.read_file(tf.strings.join([self.root, tf.gather(names, index)]))
            return {"image": image, "label": tf.gather(labels, index), "index": index}

        if skip_errors:
            return map_or(numbers, read, _unreadable)
        return numbers.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def place(self, split: str, index: int) -> str:
        """The path; bytes of it that are not UTF-8 are shown as \\xNN."""
        path = self.root + self.names[split][index].numpy()
        return path.decode("utf-8", "backslashreplace")

    def labels_of(self, split: str) -> np.ndarray:
        """The label of each image."""
        return self.labels[split].numpy()

    def listing(self, split: str) -> list[bytes]:
        """Path within the folder, tab, class name: of each image."""
        classes = [os.fsencode(name) for name in self.class_names or ()]
        return [
            (self.root + name).removeprefix(self.folder) + b"\t" + classes[label]
            for name, label in zip(self.names[split].numpy(), self.labels_of(split), strict=True)
        ]


def _unreadable(index: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"image": tf.constant(b""), "label": tf.constant(0, tf.int64), "index": index}


def file_source(
    name: str,
    *,
    root: str,
    paths: Sequence[str],
    labels: np.ndarray,
    rows: Mapping[str, np.ndarray],
    class_names: tuple[str, ...],
    folder: str | None = None,
) -> FileSource:
    """A `FileSource` of a table of images.

    Args:
        root: put before each path as it is; ends with a slash if it is a folder.
        paths: all N of them.
        labels: integers [N].
        rows: which of the N are in each split.
        folder: that of the data set, with a slash; None: root.
    """
    with tf.device("CPU:0"):  # tf.data runs on the host; an accelerator would only be a detour
        names = {
            split: tf.constant([os.fsencode(paths[row]) for row in chosen], tf.string)
            for split, chosen in rows.items()
        }
        labels_of = {split: tf.constant(labels[chosen], tf.int64) for split, chosen in rows.items()}
    return FileSource(
        name=name,
        num_classes=len(class_names),
        class_names=class_names,
        num_examples={split: len(chosen) for split, chosen in rows.items()},
        root=os.fsencode(root),
        folder=os.fsencode(root if folder is None else folder),
        names=names,
        labels=labels_of,
    )


def check_class_names(names: Sequence[str], where: str, hint: str = "") -> None:
    """Refuses a single class, and two that differ only by case or by unicode normalisation.

    Such twins come of copying between file systems, and are one class for whoever made them.
    `where` is for the message, and so is `hint`, about a single class.

    Raises:
        UsageError: see above; names are shown in ASCII where they look alike.
    """
    if len(names) < 2:
        found = f'only "{names[0]}"' if names else "none"
        raise UsageError(f"at least two classes are needed, found {found} in {where}.{hint}")
    seen: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        if key in seen:
            same_case = unicodedata.normalize("NFC", seen[key]) == unicodedata.normalize(
                "NFC", name
            )
            how = "the unicode form of their letters" if same_case else "upper and lower case"
            shown = [ascii(n) if same_case else f'"{n}"' for n in (seen[key], name)]
            raise UsageError(
                f"classes must differ by more than {how}: {shown[0]} and {shown[1]} in {where}. "
                "Join them, or rename one."
            )
        seen[key] = name


def check_same_classes(train: Sequence[str], other: Sequence[str], split: str, where: str) -> None:
    """Refuses classes of another split that train does not have.

    Raises:
        UsageError: naming the first.
    """
    strange = sorted(set(other) - set(train))
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise UsageError(
            f'classes of {split} must be among those of train: "{strange[0]}"{more} in {where} '
            "has no training images." + nearest(strange[0], train)
        )
