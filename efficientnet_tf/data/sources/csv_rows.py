"""The rows of a CSV file of path,label[,split]: what a line may be, and what is wrong with one.

The first row names the columns, in any order; further columns are not used. Without such a row
there are exactly two columns, path and label. Commas at the end of a line mean nothing, and a first
line `sep=;`, as Excel takes it, names another separator.
"""

import csv
import io
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from efficientnet_tf.data.sources.holdout import SPLIT_NAMES
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.storage.files import read_bytes
from efficientnet_tf.storage.paths import expanded, is_remote
from efficientnet_tf.terminal.shown import is_plain, shown

COLUMNS = ("path", "label", "split")  # split may be missing
_MAX_BYTES = 2**30  # of a table; ImageNet's has a tenth of it

_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n')
_SEVERAL = re.compile("[;|]")  # between the labels of an image that has several


class Row(NamedTuple):
    """An image: the number of its line, its path as it is written, its label, and its split."""

    line: int  # from 1
    path: str
    label: str
    split: str  # as written, in lower case


def read_rows(path: str) -> list[Row]:
    """The rows of the file `path` (UTF-8, quotes); a path that is listed twice counts once.

    Raises:
        UsageError: the file cannot be read, or a line in it is wrong.
    """
    return _without_repeats(path, _rows(path, _text(path)))


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


def _rows(path: str, text: str) -> Iterator[Row]:
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


def _row(where: str, line: int, cells: list[str], columns: dict[str, int], width: int) -> Row:
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
    return Row(line, cells[columns["path"]], sys.intern(found["label"]), sys.intern(split))


def _without_repeats(path: str, rows: Iterable[Row]) -> list[Row]:
    """The first row of each path; its repetitions must say the same."""
    kept: dict[str, Row] = {}
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
