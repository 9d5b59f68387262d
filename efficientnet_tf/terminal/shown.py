"""Text that others chose, such as the names of files and classes, as it may be shown.

A name can hold what moves the cursor, colours the screen, ends a line or turns the direction of
writing. Such characters, and bytes that are no UTF-8, are shown by their numbers.
"""

import contextlib
import unicodedata

# Control characters, bytes of a file's name that are no text, what ends a line or a paragraph.
_HIDDEN = ("Cc", "Cs", "Zl", "Zp")
LINE_ENDS = "\n\t"  # and tabs: what whole messages may hold
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def is_plain(text: str) -> bool:
    """Whether all of it can be shown as it is, on one line."""
    if text.isascii():
        return text.isprintable()
    return not any(
        unicodedata.category(each) in _HIDDEN or unicodedata.bidirectional(each) in _TURNING
        for each in text
    )


def shown(text: str | bytes, keep: str = "") -> str:
    """One line without anything that steers a terminal: such characters become \\xNN or \\uNNNN.

    Args:
        text: of a name in the file system its bytes, or the text that Python makes of them.
        keep: characters that stay, such as the ends of lines of a whole message.
    """
    if isinstance(text, str):
        if is_plain(text):
            return text
        with contextlib.suppress(UnicodeEncodeError):  # half a character that is no byte of a name
            text = text.encode("utf-8", "surrogateescape")
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return "".join(each if each in keep or is_plain(each) else _number(each) for each in text)


def _number(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # how Python keeps a byte that is no UTF-8
        number -= 0xDC00
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
