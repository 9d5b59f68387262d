"""Which hypothesis reproduces a figure of Table 3 or 7, and which coefficient would print it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from efficientnet_tf.models.operations import count
from efficientnet_tf.paper.printed import Printed
from efficientnet_tf.paper.published import TABLE2, ScaledRow
from efficientnet_tf.reproduce.hypotheses import (
    BASELINES,
    CLASSES,
    HYPOTHESES,
    OURS,
    Hypothesis,
    nearest_pixel,
    row_multiply_adds,
)
from efficientnet_tf.reproduce.table import Column, Table, billions, percent

TOLERANCE = 5.0  # percent
SINGLE = {"depth": 0.05, "width": 0.05, "resolution": 1 / 224}  # steps of a search
_LARGEST = 6.0


@dataclass(frozen=True)
class Guess:
    """What a hypothesis says in place of a printed number; None if it does not apply.

    Attributes:
        tolerance: up to which difference in percent it agrees.
    """

    value: float | None
    printed: Printed
    tolerance: float = TOLERANCE

    @property
    def prints(self) -> bool:
        """Whether it is printed as in the paper."""
        return self.value is not None and self.printed.is_rounded_from(self.value)

    @property
    def agrees(self) -> bool:
        """Whether it is within the tolerance, or printed as in the paper."""
        if self.value is None:
            return False
        return self.prints or abs(self.printed.difference(self.value)) <= self.tolerance

    @property
    def text(self) -> str:
        """`2.290B (-0.4 %)`, and `=` if it is printed as in the paper."""
        if self.value is None:
            return "–"
        mark = " =" if self.prints else ""
        return f"{billions(self.value)} ({percent(self.printed.difference(self.value))}){mark}"


def guess(hypothesis: Hypothesis, row: ScaledRow, rows: tuple[ScaledRow, ...]) -> Guess:
    return Guess(row_multiply_adds(hypothesis, row, rows), row.multiply_adds)


def of_network(row: ScaledRow, rows: tuple[ScaledRow, ...]) -> list[ScaledRow]:
    return [each for each in rows if each.network == row.network]


def explanation(row: ScaledRow, rows: tuple[ScaledRow, ...]) -> Hypothesis | None:
    """Of the hypotheses that agree with the row the one that agrees with most others.

    Rows of the same network count first, then those of the table, then digits.
    """
    family = of_network(row, rows)

    def merit(hypothesis: Hypothesis) -> tuple[int, int, int]:
        near = [guess(hypothesis, each, rows) for each in family]
        far = [guess(hypothesis, each, rows) for each in rows]
        return (
            sum(each.agrees for each in near),
            sum(each.agrees for each in far),
            sum(each.prints for each in far),
        )

    fitting = [each for each in HYPOTHESES if guess(each, row, rows).agrees]
    return max(fitting, key=merit, default=None)


def remark(row: ScaledRow, rows: tuple[ScaledRow, ...]) -> str:
    """Why our figure differs from the paper's, if it does by more than 5 %."""
    ours = guess(OURS, row, rows)
    assumed = "coefficients not printed; taken as MobileNetV1's. " if row.assumed else ""
    if ours.value is None:
        raise ValueError(f"{row.name}: our own rules apply to every row")
    if abs(row.multiply_adds.difference(ours.value)) <= TOLERANCE:
        return assumed.strip()
    if ours.prints:
        return f"{assumed}rounds to the printed figure"
    found = explanation(row, rows)
    if found is not None:
        family = of_network(row, rows)
        agreeing = sum(guess(found, each, rows).agrees for each in family)
        return (
            f"{assumed}{found.name}: {guess(found, row, rows).text}; agrees with {agreeing} of the "
            f"{len(family)} rows of this network"
        )
    return f"{assumed}no hypothesis tried reproduces it{_would_print(row)}"


def printing_range(row: ScaledRow) -> tuple[float, float] | None:
    """Smallest and largest coefficient of a row's single dimension that print its figure.

    None if there is no such coefficient, or if the row scales none or several dimensions.
    """
    if row.kind not in SINGLE:
        return None
    step, baseline = SINGLE[row.kind], BASELINES[row.network]
    found = []
    for position in range(round((_LARGEST - 1.0) / step) + 1):
        factor = 1.0 + position * step
        if row.kind == "resolution":
            network = baseline.scaled(resolution=nearest_pixel(baseline.resolution * factor))
        elif row.kind == "depth":
            network = baseline.scaled(depth=round(factor, 6))
        else:
            network = baseline.scaled(width=round(factor, 6))
        multiply_adds = count(network.operations(CLASSES)).multiply_adds
        if row.multiply_adds.is_rounded_from(multiply_adds):
            found.append(factor)
        if multiply_adds > 2 * row.multiply_adds.high:
            break
    return (found[0], found[-1]) if found else None


def _would_print(row: ScaledRow) -> str:
    found = printing_range(row)
    if found is None:
        return ""
    return f"; {row.kind[0]} from {found[0]:.2f} to {found[1]:.2f} would print it"


def contradiction(row: ScaledRow, rows: tuple[ScaledRow, ...]) -> str:
    """Whether the paper's own two figures exclude each other, whatever is counted; "" if not.

    Twice the width or resolution is at most four times the multiply-adds: at w=2 and r=2 nothing
    of these networks is rounded up. (Depth has no such limit: a repeated layer may cost more than
    the first of its stage.)
    """
    if row.kind not in ("width", "resolution"):
        return ""
    limit = row.width**2 * row.resolution**2
    printed = [each.multiply_adds for each in of_network(row, rows) if each.kind == "baseline"]
    printed += [
        each.multiply_adds
        for each in TABLE2
        if each.name.lower() == row.network and each.multiply_adds is not None
    ]
    baseline = min(printed, key=lambda each: each.high)
    most = limit * baseline.high
    if most >= row.multiply_adds.low:
        return ""
    return (
        f"{row.name}: the paper prints {baseline.text} for the baseline, so at most "
        f"{billions(baseline.high)}; {row.coefficients} makes at most {limit:g} times that, "
        f"{billions(most)}, but {row.multiply_adds.text} is at least "
        f"{billions(row.multiply_adds.low)}. No way of counting gives both: the coefficient used "
        "must be larger than the printed one."
    )


def agreeing(guesses: Sequence[Guess]) -> str:
    """`4 of 5`: how many of those to which a hypothesis applies it agrees with."""
    applied = [each for each in guesses if each.value is not None]
    return f"{sum(each.agrees for each in applied)} of {len(applied)}" if applied else "–"


def hypotheses_table(
    name: str,
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
    tolerance: float = TOLERANCE,
) -> Table:
    """A line for each hypothesis: its name, a `Guess` for each heading, and `agreeing`."""
    columns = [Column("Hypothesis")]
    columns += [
        Column(heading, lambda each: each.text, lambda each: each.value) for heading in headings
    ]
    columns.append(Column("Agree"))
    note = (
        "= rounds to the figure that the paper prints. A row agrees if it does so or is within "
        f"{tolerance:g} %. With {len(rows)} hypotheses some fit a row by chance; what "
        "counts is how many rows of one network agree at once. None is proven."
    )
    return Table(name, title, tuple(columns), rows, (note,))
