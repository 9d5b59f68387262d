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
from efficientnet_tf.data.images.names import why_not_read
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.storage.files import is_folder, opened
from efficientnet_tf.storage.paths import expanded, is_remote
from efficientnet_tf.terminal.shown import is_plain, shown


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
        """The path; bytes of it that are no plain text are shown as \\xNN."""
        return shown(self._path(split, index))

    def why_unread(self, split: str, index: int) -> str:
        """See `Source.why_unread`: found by looking at the file."""
        path = os.fsdecode(self._path(split, index))
        if is_remote(path):
            return super().why_unread(split, index)
        if reason := why_not_read(path):
            return f"The file cannot be read: {reason}."
        try:
            with opened(path) as file:
                empty = not file.read(1)
        except OSError as error:
            return f"The file cannot be read: {error.strerror}."
        return "The file is empty." if empty else "The file could not be read once, but now can be."

    def _path(self, split: str, index: int) -> bytes:
        return self.root + self.names[split][index].numpy()

    def labels_of(self, split: str) -> np.ndarray:
        """The label of each image."""
        return self.labels[split].numpy()

    def listing(self, split: str) -> list[bytes]:
        """Path within the folder, tab, class name: of each image."""
        classes = [name.encode() for name in self.class_names or ()]
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
            split: tf.constant([_bytes(paths[row]) for row in chosen], tf.string)
            for split, chosen in rows.items()
        }
        labels_of = {split: tf.constant(labels[chosen], tf.int64) for split, chosen in rows.items()}
    return FileSource(
        name=name,
        num_classes=len(class_names),
        class_names=class_names,
        num_examples={split: len(chosen) for split, chosen in rows.items()},
        root=_bytes(root),
        folder=_bytes(root if folder is None else folder),
        names=names,
        labels=labels_of,
    )


def _bytes(path: str) -> bytes:
    """As the file system has it: that of a bucket knows UTF-8 only."""
    return path.encode() if is_remote(path) else os.fsencode(path)


def check_folder(data_dir: str | None, what: str) -> None:
    """Refuses what is no folder, here or in a bucket.

    Args:
        what: of the folder that is meant, such as "with TFRecord files", for the message.

    Raises:
        UsageError: there is none, or it cannot be known whether there is one.
    """
    must = f"data_dir must be a folder (or gs://bucket/folder) {what}; "
    if data_dir is None:
        raise UsageError(f"{must}no data_dir was given. Check the path.")
    try:
        if data_dir and is_folder(expanded(data_dir)):
            return
    except OSError as error:
        raise UsageError(
            f'{must}"{shown(data_dir)}" cannot be reached: {error.strerror}. Check the '
            "connection, the credentials and the address; only gs:// is read from afar."
        ) from error
    raise UsageError(f'{must}"{shown(data_dir)}" is not a folder. Check the path.')


def check_class_names(names: Sequence[str], where: str, hint: str = "") -> None:
    """Refuses a single class, names that are no line of text, and two that are as good as equal.

    Those differ only by case or by unicode normalisation: such twins come of copying between file
    systems, and are one class for whoever made them. Names are kept in files with one on a line
    and shown on terminals. `where` is for the message, and so is `hint`, about a single class.

    Raises:
        UsageError: see above; names are shown in ASCII where they look alike.
    """
    if len(names) < 2:
        found = f'only "{names[0]}"' if names else "none"
        raise UsageError(f"at least two classes are needed, found {found} in {where}.{hint}")
    for name in names:
        if not is_plain(name):
            raise UsageError(
                f'names of classes must be one line of UTF-8 text, found "{shown(name)}" in '
                f"{shown(where)}. Rename it, without bytes or control characters such as those "
                "shown by numbers."
            )
    seen: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        if key in seen:
            same_case = unicodedata.normalize("NFC", seen[key]) == unicodedata.normalize(
                "NFC", name
            )
            how = "the unicode form of their letters" if same_case else "upper and lower case"
            spelt = [ascii(n) if same_case else f'"{n}"' for n in (seen[key], name)]
            raise UsageError(
                f"classes must differ by more than {how}: {spelt[0]} and {spelt[1]} in {where}. "
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
