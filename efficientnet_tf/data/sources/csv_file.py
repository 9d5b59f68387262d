"""A table of path,label[,split] in a CSV file, one image a row.

The first row names the columns, in any order; further columns are not used. Without such a row
there are exactly two columns, path and label. Commas at the end of a line mean nothing, and a first
line `sep=;`, as Excel takes it, names another separator. Paths are relative to the folder of the
table, or absolute, or gs://.... A label is one class. Labels are names, sorted to give the classes,
or, if all are whole numbers, class numbers: the classes then are 0 to the largest, also where a
number between does not occur (with a warning; if fewer than half of them occur, it is an error).
"""

import csv
import io
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import plain_message
from efficientnet_tf.data.images.names import why_not_read
from efficientnet_tf.data.sources.files import (
    FileSource,
    check_class_names,
    check_same_classes,
    file_source,
)
from efficientnet_tf.data.sources.holdout import (
    SPLIT_NAMES,
    all_in_test,
    hold_out_missing,
    name_splits,
)
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.storage.files import read_bytes
from efficientnet_tf.storage.paths import expanded, is_remote, within
from efficientnet_tf.terminal.shown import is_plain, shown

COLUMNS = ("path", "label", "split")  # split may be missing
_FILES_CHECKED = 1000  # of those in a bucket: looking for more would take minutes
_LOOKED_FOR_AT_ONCE = 16
_MAX_BYTES = 2**30  # of a table; ImageNet's has a tenth of it

_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n')
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)(e[-+]?[0-9]+)?|nan|[-+]?inf", re.I)
_SEVERAL = re.compile("[;|]")  # between the labels of an image that has several


_MISSING = "it does not exist"


class _Row(NamedTuple):
    line: int  # from 1
    path: str
    label: str
    split: str  # as written, in lower case


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
    rows = _without_repeats(path, _rows(path, _text(path)))
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


def _text(path: str) -> str:
    """The whole file, without a byte order mark."""
    try:
        content = read_bytes(expanded(path), _MAX_BYTES)
    except UsageError as error:
        raise UsageError(
            f'the path must be that of a CSV file of path,label[,split], received "{path}": {error}'
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line} is not UTF-8. Save the table as UTF-8.") from error


def _rows(path: str, text: str) -> Iterator[_Row]:
    named = _SEPARATOR.match(text)
    above = 1 if named else 0
    reader = csv.reader(
        io.StringIO(text[named.end() :] if named else text, newline=""),
        strict=True,
        delimiter=named[1] if named else ",",
    )
    columns: dict[str, int] = {}
    width, line = 0, above
    try:
        for cells in reader:
            first, line = line + 1, reader.line_num + above  # a quoted cell may take several lines
            while len(cells) > width and not cells[-1].strip():
                cells.pop()  # spreadsheets end lines with commas where other lines are longer
            if not any(cells):
                continue
            if not columns:
                columns, has_names = _columns(f"{path}, line {first}", cells)
                width = len(cells)
                if has_names:
                    continue
            yield _row(f"{path}, line {first}", first, cells, columns, width)
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {line + 1} is not CSV: {error}. A cell with a comma or quotes must be "
            "in quotes, and quotes in it doubled."
        ) from error


def _columns(where: str, cells: list[str]) -> tuple[dict[str, int], bool]:
    """The place of each column, and whether this row names them."""
    names = [cell.strip().lower() for cell in cells]
    if len(cells) == 2 and not set(names) & {"path", "label"}:
        return {"path": 0, "label": 1}, False
    missing = [name for name in ("path", "label") if name not in names]
    repeated = [name for name in COLUMNS if names.count(name) > 1]
    if missing or repeated:
        separated = len(cells) == 1 and re.search("[;\t]", cells[0])
        raise UsageError(
            f"{where} must name the columns path, label and, if there is one, split, once each; "
            + (f"missing {', '.join(missing)}" if missing else f"{repeated[0]} comes twice")
            + f", found: {', '.join(names)}."
            + (" Separate them with commas." if separated else "")
        )
    return {name: names.index(name) for name in COLUMNS if name in names}, True


def _row(where: str, line: int, cells: list[str], columns: dict[str, int], width: int) -> _Row:
    if len(cells) != width:
        raise UsageError(
            f"{where} must have {width} cells like the first row, found {len(cells)}. A path with "
            "a comma must be in quotes."
        )
    found = {name: cells[place].strip() for name, place in columns.items()}
    for name, cell in found.items():
        if not cell:
            raise UsageError(
                f"{where}: the {name} must not be empty. Fill it in, or drop the line."
            )
    split = found.get("split", "train").lower()
    if split not in SPLIT_NAMES:
        raise UsageError(
            f"{where}: the split must be one of {', '.join(SPLIT_NAMES)}, received "
            f'"{found["split"]}".' + nearest(split, SPLIT_NAMES)
        )
    if not is_plain(found["label"]) or _SEVERAL.search(found["label"]):
        raise UsageError(
            f"{where}: the label must be one class, in one line of text, received "
            f'"{shown(found["label"])}". Several labels for an image are not supported; quotes '
            "that are not closed take the next lines in."
        )
    # The path as it is: its name may begin with a space. Of labels and splits one copy is kept.
    return _Row(line, cells[columns["path"]], sys.intern(found["label"]), sys.intern(split))


def _without_repeats(path: str, rows: Iterable[_Row]) -> list[_Row]:
    """The first row of each path; its repetitions must say the same."""
    kept: dict[str, _Row] = {}
    repeats = 0
    for row in rows:
        key = row.path if is_remote(row.path) else os.path.normpath(row.path)
        before = kept.setdefault(key, row)
        if before is row:
            continue
        repeats += 1
        for what, first, second in (
            ("label", before.label, row.label),
            ("split", before.split, row.split),
        ):
            if first != second:
                raise UsageError(
                    f'{path}, line {row.line}: "{row.path}" must have one {what}, but has '
                    f'"{first}" in line {before.line} and "{second}" here. Drop one of them.'
                )
    if repeats:
        logging.getLogger(__name__).warning(
            "%s lists %d images more than once; they count once.", path, repeats
        )
    return list(kept.values())


def _check_files(path: str, rows: Sequence[_Row], files: Sequence[str]) -> None:
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


def _classes(path: str, rows: Sequence[_Row]) -> tuple[tuple[str, ...], np.ndarray]:
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


def _check_labels(path: str, rows: Sequence[_Row], names: Sequence[str]) -> None:
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
    path: str, rows: Sequence[_Row], class_names: Sequence[str], labels: np.ndarray
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
