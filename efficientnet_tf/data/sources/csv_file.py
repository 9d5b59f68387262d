"""A table of path,label[,split] in a CSV file, one image a row.

What a line may be, csv_rows.py says. Paths are relative to the folder of the table, or absolute, or
gs://.... A label is one class. Labels are names, sorted to give the classes, or, if all are whole
numbers, class numbers: the classes then are 0 to the largest, also where a number between does not
occur (with a warning; if fewer than half of them occur, it is an error).
"""

import logging
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import plain_message
from efficientnet_tf.data.images.names import why_not_read
from efficientnet_tf.data.sources.csv_rows import Row, read_rows
from efficientnet_tf.data.sources.files import (
    FileSource,
    check_class_names,
    check_same_classes,
    file_source,
)
from efficientnet_tf.data.sources.holdout import (
    all_in_test,
    hold_out_missing,
    name_splits,
)
from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.paths import expanded, is_remote, within
from efficientnet_tf.terminal.shown import shown

_FILES_CHECKED = 1000  # of those in a bucket: looking for more would take minutes
_LOOKED_FOR_AT_ONCE = 16

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)(e[-+]?[0-9]+)?|nan|[-+]?inf", re.I)
_MISSING = "it does not exist"


def csv_source(
    path: str, *, minival: int = 0, test: int = 0, split_seed: int = 0, whole: bool = False
) -> FileSource:
    """A source of the images that the CSV file `path` (UTF-8, commas, quotes) lists.

    A split is train, minival, val or validation (minival beside test, else test) or test, and
    none may be left empty. What is missing of minival and test, or both without the column, is
    held out of train by the paths. A path that is listed twice counts once.

    Args:
        minival: images to hold out; 0: about a tenth of train, at most 25,000.
        test: images to hold out; 0: about a tenth of train.
        split_seed: which ones these are.
        whole: every image is in test, for evaluation alone.

    Raises:
        UsageError: the table cannot be read, a line in it is wrong, or the classes are; or a file
            does not exist or is no regular one (of those in a bucket, one of 1,000).
    """
    rows = read_rows(path)
    if not rows:
        raise UsageError(f"{path} must list images, found none.")
    folder = os.path.join(os.path.dirname(expanded(path)), "")
    files = [within(folder, _local(row.path)) for row in rows]
    _check_files(path, rows, files)
    class_names, labels = _classes(path, rows)
    if whole:
        splits = all_in_test(len(rows))
    else:
        splits = _checked_splits(path, rows, class_names, labels)
        names = [file.removeprefix(folder) for file in files]
        splits = hold_out_missing(
            labels, names, splits, minival=minival, test=test, seed=split_seed, where=path
        )
    root = os.path.commonprefix(files)
    return file_source(
        f"csv:{os.path.basename(path)}",
        root=root,
        folder=folder,
        paths=[file[len(root) :] for file in files],
        labels=labels,
        rows=splits,
        class_names=class_names,
    )


def _local(path: str) -> str:
    """A path of the table as Python has paths of this machine: the table's bytes are UTF-8."""
    return path if is_remote(path) else os.fsdecode(path.encode())


def _check_files(path: str, rows: Sequence[Row], files: Sequence[str]) -> None:
    """Looks at all files of this machine and for up to 1,000 in buckets, evenly spread."""
    remote = [number for number, file in enumerate(files) if is_remote(file)]
    known = {*tf.io.gfile.get_registered_schemes()}
    for number in remote:
        scheme = files[number].partition("://")[0]
        if scheme not in known:
            raise UsageError(
                f'{path}, line {rows[number].line}: "{files[number]}" cannot be read: {scheme}:// '
                "is no place of image files, only this machine and gs:// are. Download the files "
                "and write their paths."
            )
    asked = set(remote[:: -(-len(remote) // _FILES_CHECKED) or 1])
    chosen = [n for n, file in enumerate(files) if n in asked or not is_remote(file)]

    def fault(number: int) -> str:
        file = files[number]
        if not is_remote(file):
            if not os.path.exists(file):
                return _MISSING
            return "it is a folder" if os.path.isdir(file) else why_not_read(file)
        try:
            return "" if tf.io.gfile.exists(file) else _MISSING
        except tf.errors.OpError as error:
            return f"it cannot be reached: {plain_message(error)}"

    with ThreadPoolExecutor(_LOOKED_FOR_AT_ONCE) as pool:
        faults = dict(zip(chosen, pool.map(fault, chosen), strict=True))
    for number, reason in faults.items():
        if reason not in ("", _MISSING):
            raise UsageError(
                f'{path}, line {rows[number].line}: "{shown(files[number])}" cannot be read: '
                f"{reason}. Drop the line, or put an image in its place."
            )
    missing = [number for number, reason in faults.items() if reason]
    if missing:
        first = missing[0]
        hints = "Paths are relative to the folder of the table."
        if "\\" in rows[first].path:
            hints += " Separate folders with /."
        if first == 0 and rows[0].line == 1:
            hints += " If line 1 is to name the columns, call them path and label."
        raise UsageError(
            f'{path}, line {rows[first].line}: the file "{shown(files[first])}" does not exist, '
            f"like {len(missing)} of {len(chosen)} looked for (of {len(files)} listed). {hints}"
        )


def _classes(path: str, rows: Sequence[Row]) -> tuple[tuple[str, ...], np.ndarray]:
    """The class names, and the label of each row, int64."""
    names = sorted({row.label for row in rows})
    _check_labels(path, rows, names)
    if not all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        check_class_names(names, path)
        label_of = {name: label for label, name in enumerate(names)}
        return tuple(names), np.array([label_of[row.label] for row in rows], np.int64)

    for row in rows:
        if row.label.startswith("-"):
            raise UsageError(
                f"{path}, line {row.line}: class numbers must not be negative, received "
                f"{row.label}. Count classes from 0."
            )
    numbers = sorted({int(name) for name in names})
    count = numbers[-1] + 1
    check_class_names([str(number) for number in numbers], path)
    # Twice as many outputs as classes are no head for these data: then numbers are codes or years.
    if count > 2 * len(numbers):
        raise UsageError(
            f"labels that are numbers must count the classes from 0: {path} has {len(numbers)} "
            f"different ones, but up to {numbers[-1]}. Count anew, or write names."
        )
    if count > len(numbers):
        unused = sorted(set(range(count)) - set(numbers))
        logging.getLogger(__name__).warning(
            "%s has labels up to %d, so there are %d classes, but no image of %d of them, such as "
            "class %d.",
            path,
            numbers[-1],
            count,
            len(unused),
            unused[0],
        )
    labels = np.array([int(row.label) for row in rows], np.int64)
    return tuple(str(number) for number in range(count)), labels


def _check_labels(path: str, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Refuses measured numbers, and lists of classes in one cell."""
    single = set(names)
    for row in rows:
        parts = [part.strip() for part in row.label.split(",")]
        if len(parts) > 1 and single.issuperset(parts):
            raise UsageError(
                f"{path}, line {row.line}: the label must be one class, received several that are "
                f'classes by themselves: "{row.label}". Several labels for an image are not '
                "supported; give each image one."
            )
    if all(map(_NUMBER.fullmatch, names)) and not all(map(_WHOLE_NUMBER.fullmatch, names)):
        odd = next(row for row in rows if not _WHOLE_NUMBER.fullmatch(row.label))
        raise UsageError(
            f"{path}, line {odd.line}: labels must be names of classes or whole numbers from 0, "
            f'received the number "{odd.label}". A network that classifies cannot learn measured '
            "values; write classes, as whole numbers or names."
        )


def _checked_splits(
    path: str, rows: Sequence[Row], class_names: Sequence[str], labels: np.ndarray
) -> dict[str, np.ndarray]:
    """The rows of each split that the table names; of train, if it has no such column."""
    ours = name_splits(sorted({row.split for row in rows}), f"the split column of {path}")
    found = np.array([ours[row.split] for row in rows])
    splits = {split: np.flatnonzero(found == split) for split in ours.values()}
    for split, chosen in splits.items():
        train, used = (
            [class_names[label] for label in np.unique(labels[part])]
            for part in (splits["train"], chosen)
        )
        check_same_classes(train, used, split, path)
    return splits
