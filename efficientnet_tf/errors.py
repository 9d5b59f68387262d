"""The exceptions that `main.py` turns into one line of text and an exit code.

They carry the whole message for the user: which argument, what was expected, what was received
and what to do. Anything else that escapes is a bug and keeps its traceback.
"""

import difflib
import operator
import re
from collections.abc import Iterable
from typing import Any


class UsageError(ValueError):
    """The user asked for something that cannot be: exit code 2, nothing was started."""


class RunError(RuntimeError):
    """The run failed on the way (bad data, full disk, non-finite loss): exit code 1."""


class Stopped(Exception):
    """A signal ended the run before its end: exit code 130; the same command goes on from there."""


def first_line(error: BaseException) -> str:
    """What an error says, without the lines that follow; its kind, if it says nothing.

    TensorFlow's names of nodes and operations are left out.
    """
    said = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error)).strip()
    return (said or type(error).__name__).splitlines()[0]


def on_one_line(error: BaseException, limit: int = 300) -> str:
    """What an error of a library says, on one line; of a long text as many whole sentences as fit.

    Args:
        limit: characters; a first sentence that is longer is kept whole.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if len(text) > limit:
        ends = [match.end() for match in re.finditer(r"[.!?](?= [A-Z\[])", text)] or [len(text)]
        text = text[: max([end for end in ends if end <= limit], default=ends[0])]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def whole_number(value: Any, low: int = 1) -> int | None:
    """The int that a whole number of any kind stands for: Python's own, numpy's, a tensor's.

    None for what is no whole number, for a bool, and for one below `low`.
    """
    try:
        number = operator.index(value)
    except (TypeError, AttributeError):  # the second of a tensor that is no whole number
        return None
    return None if isinstance(value, bool) or number < low else number


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Ends an error message: ` Did you mean "a" or "b"?`, or nothing if no name is close."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=count, cutoff=0.5)
    if not close:
        return ""
    return " Did you mean " + " or ".join(f'"{by_lower[match]}"' for match in close) + "?"
