"""How a command ends: what went wrong in one line on standard error, and the exit code."""

import contextlib
import sys
from collections.abc import Callable, Sequence

from efficientnet_tf.errors import RunError, Stopped, UsageError
from efficientnet_tf.terminal.shown import LINE_ENDS, shown

_FLAG_ERRORS: tuple[type[Exception], ...] = ()
with contextlib.suppress(ImportError):  # the word doctor is used where nothing is installed yet
    from absl import flags

    _FLAG_ERRORS = (flags.Error,)

# INTERRUPTED: a signal ended the command, and the same command goes on from there.
FINE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def exit_code(run: Callable[[], int | None], *, resumable: bool = False) -> int:
    """Calls `run` and returns its exit code (None is 0), or the one of the error that it raises.

    Args:
        resumable: Ctrl-C ends with a line that says that the same command goes on from there.
    """
    try:
        return run() or FINE
    except _FLAG_ERRORS as error:
        print(_message(f"{error}. See --help."), file=sys.stderr)
        return WRONG_USE
    except UsageError as error:
        print(_message(error), file=sys.stderr)
        return WRONG_USE
    except RunError as error:
        print(_message(error), file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, a folder that is gone: whatever the machine refuses
        file = "" if error.filename is None else f'"{error.filename}": '
        print(_message(f"{file}{error.strerror or error}."), file=sys.stderr)
        return FAILED
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        if not resumable:
            raise
        print("stopped; the same command goes on from there", file=sys.stderr)
        return INTERRUPTED


def _message(error: object) -> str:
    """What went wrong; names in it that others chose do not steer the terminal."""
    return f"error: {shown(str(error), keep=LINE_ENDS)}"


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether a command line has --help among its flags."""
    return any(argument in ("-h", "-help", "--help") for argument in argv[1:])
