"""Names that others chose, as a terminal may have them."""

import os

import pytest

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.terminal.exit_codes import exit_code
from efficientnet_tf.terminal.shown import is_plain, shown

NAMES = {
    "café, 日本 and 👩‍🚀": "café, 日本 and 👩‍🚀",
    "a\x1b[2Jb": "a\\x1b[2Jb",
    "two\nlines\r": "two\\x0alines\\x0d",
    "\x9b31m\x7f": "\\x9b31m\\x7f",  # the control characters that are one byte in Latin-1
    "gpj.\u202etxt": "gpj.\\u202etxt",  # turns the direction of writing
    "end\u2028": "end\\u2028",
    "caf\udce9": "caf\\xe9",  # Python's way to keep a byte that is no UTF-8
    "caf\udcc3\udca9": "café",  # UTF-8 that Python read by another encoding
    "\ud800": "\\ud800",  # half a character
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_what_steers_a_terminal_is_shown_by_its_number(name: str) -> None:
    assert shown(name) == NAMES[name]
    assert is_plain(name) == (NAMES[name] == name)
    assert is_plain(shown(name))
    shown(name).encode()


def test_bytes_are_shown_as_text_where_they_are() -> None:
    assert shown("é".encode() + b"\xe9\x1b") == "é\\xe9\\x1b"
    assert shown(os.fsencode("caf\udce9")) == "caf\\xe9"


@pytest.mark.parametrize("kind", [UsageError, RunError])
def test_errors_keep_their_lines_and_nothing_else(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise kind("first \x1b]0;title\x07\n  second \udce9")

    assert exit_code(fail) in (1, 2)
    assert capsys.readouterr().err == "error: first \\x1b]0;title\\x07\n  second \\xe9\n"
