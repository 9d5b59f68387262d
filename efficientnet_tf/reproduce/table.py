"""A table with plain values inside: shown as Markdown for people, as CSV for programs."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

NOTHING = "–"


def text(value: Any) -> str:
    return str(value)


def millions(value: float) -> str:
    return f"{value / 1e6:.2f}M"


def billions(value: float) -> str:
    return f"{value / 1e9:.3f}B"


def percent(value: float) -> str:
    """Of a difference, with its sign."""
    return f"{value:+.1f} %"


def accuracy(value: float) -> str:
    return f"{value:.1f} %"


def ratio(value: float) -> str:
    return f"{value:.1f}x"


@dataclass(frozen=True)
class Column:
    """A heading, how a value is shown in Markdown, and what of it stands in the CSV."""

    heading: str
    show: Callable[[Any], str] = text
    plain: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Table:
    """Rows of values, one for each column; None where there is nothing.

    Attributes:
        name: of the file, such as `table3`.
        title: above it.
        notes: below it, a paragraph each.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Title, table, notes."""
        lines = [f"## {self.title}", ""]
        lines.append(_line([column.heading for column in self.columns]))
        lines.append(_line(["---"] * len(self.columns)))
        for row in self.rows:
            cells = zip(self.columns, row, strict=True)
            lines.append(
                _line([NOTHING if value is None else column.show(value) for column, value in cells])
            )
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Headings and plain values; an empty cell where there is nothing."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.heading for column in self.columns])
        for row in self.rows:
            cells = zip(self.columns, row, strict=True)
            writer.writerow(
                ["" if value is None else column.plain(value) for column, value in cells]
            )
        return out.getvalue()


def printed_column(heading: str) -> Column:
    """Of `Printed` numbers: shown as in the paper."""
    return Column(heading, lambda number: number.text, lambda number: number.value)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
