"""Compound scaling against depth, width and resolution alone, at equal multiply-adds (Figure 8)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.models.compound import DIMENSIONS, Coefficients, Factors, Scaled, scale, solve
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.results import Result, mean_and_spread
from efficientnet_tf.search.scaling_baseline import Baseline, check_counted, shortened
from efficientnet_tf.search.scaling_results import difference, fields
from efficientnet_tf.terminal.table import aligned

BASELINE, COMPOUND = "baseline", "compound"
METHODS = (COMPOUND, *DIMENSIONS)
RATIO_TOLERANCE = 0.1


@dataclass
class Entry:
    """A network of the comparison and what its trainings reached.

    Attributes:
        method: "baseline", or how it was scaled.
        asked: multiply-adds, as a ratio to the baseline's.
        ratio: what rounding leaves of that.
        scaled: the network.
        rows: of the trainings that succeeded.
    """

    method: str
    asked: float
    ratio: float
    scaled: Scaled
    rows: list[Result] = field(default_factory=list)

    @property
    def top1(self) -> tuple[float, float | None]:
        """Mean and sample standard deviation over seeds, in [0, 1]; needs a row."""
        return mean_and_spread([row.top1 for row in self.rows])


def plan(
    baseline: Baseline,
    ratios: Sequence[float],
    coefficients: Coefficients,
    tolerance: float = RATIO_TOLERANCE,
) -> list[Entry]:
    """The baseline, and for each ratio of multiply-adds one network for each method.

    Args:
        tolerance: how far from the ratio asked for a network may be, relative to it.

    Raises:
        UsageError: a ratio is not above 1, or a method cannot meet it within the tolerance.
    """
    if not math.isfinite(tolerance) or tolerance < 0:
        raise UsageError(f"ratio_tolerance must be a number of at least 0, received {tolerance!r}.")
    start = scale(baseline, Factors())
    entries = [Entry(BASELINE, 1.0, 1.0, start)]
    for asked in dict.fromkeys(ratios):
        if not math.isfinite(asked) or asked <= 1:
            raise UsageError(
                f"each ratio to the baseline's multiply-adds must be above 1, received {asked:g}."
            )
        budget = asked * start.counts.multiply_adds
        for method in METHODS:
            dimension = None if method == COMPOUND else method
            found = solve(baseline, "multiply_adds", budget, coefficients, dimension=dimension)
            ratio = found.counts.multiply_adds / start.counts.multiply_adds
            if abs(ratio / asked - 1) > tolerance:
                raise UsageError(
                    f"{baseline.name} scaled by {method} to {asked:g} times its multiply-adds "
                    f"comes no nearer than {ratio:.3f} times, for layers, filters and pixels are "
                    f"whole; that is more than {100 * tolerance:g} % off, and no comparison at "
                    "equal cost. Ask for another ratio, or allow it with --ratio_tolerance."
                )
            entries.append(Entry(method, asked, ratio, shortened(baseline, found)))
    return entries


def train(
    proxy: Proxy,
    baseline: Baseline,
    entries: Sequence[Entry],
    seeds: Sequence[int],
    written: Callable[[], object],
) -> None:
    """Fills in the rows: one seed for all, then the next; what is stored is not trained again.

    Args:
        written: called after each training.

    Raises:
        RunError: no training of some network succeeded, or as `Proxy.evaluate` does.
    """
    for seed in seeds:
        for entry in entries:
            (row,) = proxy.evaluate(baseline.candidate(entry.scaled), [seed])
            check_counted(row, entry.scaled)
            if row.error is None:
                entry.rows.append(row)
                written()
    failed = [f"{entry.method} {entry.asked:g}x" for entry in entries if not entry.rows]
    if failed:
        raise RunError(
            f"no training of {', '.join(failed)} succeeded, so there is nothing to compare; "
            f"{proxy.results.path} has the reasons."
        )


def result_rows(baseline: Baseline, entries: Sequence[Entry], what: str) -> list[dict[str, Any]]:
    """Rows of results.jsonl."""
    return [
        fields(baseline.name, what, entry.scaled, row, method=entry.method, asked=entry.asked)
        for entry in entries
        for row in entry.rows
    ]


_HEADER = ("method", "asked", "d", "w", "pixels", "blocks", "multiply-adds", "ratio", "params")


def table(entries: Sequence[Entry]) -> str:
    """Lines for people, in the order of the plan; accuracies where there are some."""
    cells: list[tuple[str, ...]] = [(*_HEADER, "top-1 %", "+-", "seeds")]
    for entry in entries:
        counts, factors = entry.scaled.counts, entry.scaled.factors
        mean, spread = entry.top1 if entry.rows else (None, None)
        cells.append(
            (
                entry.method,
                f"{entry.asked:g}",
                f"{factors.depth:.4g}",
                f"{factors.width:.4g}",
                f"{entry.scaled.network.resolution}",
                f"{entry.scaled.network.num_blocks}",
                f"{counts.multiply_adds:,}",
                f"{entry.ratio:.3f}",
                f"{counts.trainable_params:,}",
                "" if mean is None else f"{100 * mean:.2f}",
                "" if spread is None else f"{100 * spread:.2f}",
                f"{len(entry.rows)}",
            )
        )
    return "\n".join(aligned(cells))


def outcome(entries: Sequence[Entry]) -> list[str]:
    """For each ratio: compound scaling minus each other method, and what the seeds allow to say."""
    return [
        f"{compound.asked:g}x: compound - {other.method}: {difference(compound.rows, other.rows)}"
        for compound in entries
        if compound.method == COMPOUND
        for other in entries
        if other.asked == compound.asked and other is not compound
    ]
