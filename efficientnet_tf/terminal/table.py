"""Tables of text."""

from collections.abc import Iterable, Sequence


def printable(text: str) -> str:
    """The text on one line, with escapes in the place of characters that are no letters or signs.

    What others chose, such as the names in a received run, must not drive the terminal.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


def aligned(rows: Iterable[Sequence[str]], sides: str = "<>") -> list[str]:
    """The lines of a table: columns as wide as their widest cell, two spaces apart.

    Args:
        rows: cells, as many in each row; a heading is a row like any other.
        sides: of each column, where its cells stand: "<" or ">"; the last is that of all others.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    columns = [
        [cell.ljust(width) if side == "<" else cell.rjust(width) for cell in column]
        for number, column in enumerate(zip(*rows, strict=True))
        for side, width in [(sides[min(number, len(sides) - 1)], max(map(len, column)))]
    ]
    return ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]
