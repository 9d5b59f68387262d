"""The end of a command: one line and a code for each way it can go wrong."""

import pytest
from absl import flags

from efficientnet_tf.errors import RunError, Stopped, UsageError
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code


def fails(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("wrong"), 2, "error: wrong\n"),
        (RunError("broken"), 1, "error: broken\n"),
        (Stopped("stopped at step 3"), 130, "stopped at step 3\n"),
        (OSError(28, "No space left", "a.csv"), 1, 'error: "a.csv": No space left.\n'),
        (OSError("it burst"), 1, "error: it burst.\n"),
        (flags.Error("no flag"), 2, "error: no flag. See --help.\n"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on from there\n"),
    ],
)
def test_errors_are_a_line_and_a_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert exit_code(lambda: fails(error), resumable=True) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", said)


def test_what_is_no_error_of_ours_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        exit_code(lambda: fails(KeyError("x")))
    with pytest.raises(KeyboardInterrupt):
        exit_code(lambda: fails(KeyboardInterrupt()))


def test_codes_are_passed_on() -> None:
    assert exit_code(lambda: None) == 0
    assert exit_code(lambda: 3) == 3


def test_help_is_a_flag_anywhere_behind_the_name() -> None:
    assert asks_for_help(["main.py", "--x=1", "--help"])
    assert not asks_for_help(["--help", "--x=help"])
