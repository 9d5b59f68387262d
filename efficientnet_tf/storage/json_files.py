"""The JSON files of a run, read by one reader: what is wrong names the file, the line and a remedy.

A run may come from anywhere, be cut off by a kill or a full disk, or be edited by hand, so nothing
is assumed of a file. `misfit` looks at what an object holds.
"""

import json
import math
import os
from collections.abc import Sequence
from typing import Any

from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.storage.files import opened
from efficientnet_tf.storage.paths import is_remote

_MOST_BYTES = 2**29  # of a file that is read whole; a history of a million steps has less
_LARGEST = 2**53  # up to which every whole number is a float, too


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that can be counted with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST if isinstance(value, int) else math.isfinite(value)


def read_text(path: str, remedy: str) -> str:
    """The content of a file of UTF-8 text.

    Args:
        remedy: what to do about a file that cannot be used, a sentence.

    Raises:
        UsageError: it cannot be read, is too large, or is no regular file or no UTF-8 text.
    """
    try:
        if not is_remote(path) and os.path.exists(path) and not os.path.isfile(path):
            raise OSError("it is no regular file")  # a pipe would be waited for without end
        if not is_remote(path) and os.path.exists(path) and os.path.getsize(path) > _MOST_BYTES:
            raise OSError(f"it has more than {_MOST_BYTES:,} bytes")
        with opened(path) as file:
            content = file.read()
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise UsageError(f'"{path}" cannot be read: {reason}.\n{remedy}') from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(f'"{path}", line {line}: this is no UTF-8 text.\n{remedy}') from error


def read_object(path: str, remedy: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UsageError: as `read_text`, or it holds no JSON object.
    """
    text = read_text(path, remedy)
    if not text.strip():
        raise UsageError(f'"{path}" is empty.\n{remedy}')
    content, reason = _parsed(text)
    if reason:
        raise UsageError(f'"{path}", {reason}.\n{remedy}')
    return content


def read_records(path: str, remedy: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects with a number "step" in a file with an object a line, and what was wrong.

    Empty lines are passed over, and so is a last line that was cut off.

    Returns:
        The records in order; for each other line a text such as `line 3: expected ...`.

    Raises:
        UsageError: as `read_text`.
    """
    records, wrong = [], []
    lines = read_text(path, remedy).split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        content, reason = _parsed(line)
        step = None if reason else content.get("step")
        if isinstance(step, int) and is_number(step) and step >= 0:
            records.append(content)
        elif number < len(lines) or not reason:
            found = reason.partition(": ")[2] if reason else 'it has no whole number "step"'
            wrong.append(f"line {number}: {found}")
    return records, wrong


def _parsed(text: str) -> tuple[dict[str, Any], str]:
    """The object that a text of JSON holds, and "" or where and why it does not."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        return {}, f"line {error.lineno}: {error.msg}"
    except RecursionError:
        return {}, "line 1: it is nested too deeply"
    except ValueError as error:  # a number of thousands of digits
        return {}, f"line 1: {first_line(error)}"
    if not isinstance(content, dict):
        return {}, f"line 1: expected an object, received {type(content).__name__}"
    return content, ""


def misfit(value: Any, expected: Any, name: str = "") -> str:
    """ "" if a value of JSON is as expected, else where and how it is not.

    Args:
        expected: `float` for a number, `int` for a whole number of at least 0, `str`, `dict`; a
            list of one of these for a list of such values; a dictionary of what each key holds.
            Of the outermost one any key may be missing.
    """
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            return _said(name, value)
        missing = [key for key in expected if key not in value]
        if name and missing:
            return f"{name} has no {missing[0]}"
        parts: Sequence[tuple[Any, Any, str]] = [
            (value[key], each, f"{name}.{key}".lstrip("."))
            for key, each in expected.items()
            if key in value
        ]
    elif isinstance(expected, list):
        if not isinstance(value, list):
            return _said(name, value)
        parts = [(each, expected[0], f"{name}[{place}]") for place, each in enumerate(value)]
    elif expected in (int, float):
        whole = expected is not int or (isinstance(value, int) and value >= 0)
        return "" if is_number(value) and whole else _said(name, value)
    else:
        return "" if isinstance(value, expected) else _said(name, value)
    return next((found for part in parts if (found := misfit(*part))), "")


def _said(name: str, value: Any) -> str:
    return f"{name or 'the content'} cannot be {str(value)[:40]!r}"
