"""The exceptions that `main.py` turns into one line of text and an exit code.

They carry the whole message for the user: which argument, what was expected, what was received
and what to do. Anything else that escapes is a bug and keeps its traceback.
"""

import difflib
import re
from collections.abc import Iterable


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


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Ends an error message: ` Did you mean "a" or "b"?`, or nothing if no name is close."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=count, cutoff=0.5)
    if not close:
        return ""
    return " Did you mean " + " or ".join(f'"{by_lower[match]}"' for match in close) + "?"
