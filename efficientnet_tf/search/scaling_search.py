"""Step 1 of the paper (section 4): trains the networks of the grid, and says which triple is best.

Networks of the grid differ in true multiply-adds, within its tolerance: a better one may only be a
larger one, so the ratio stands beside the accuracy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.search.grid import GridPoint
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.results import Result, mean_and_spread
from efficientnet_tf.search.scaling_baseline import Baseline, check_counted
from efficientnet_tf.search.scaling_results import difference, fields
from efficientnet_tf.terminal.table import aligned


@dataclass(frozen=True)
class Scored:
    """A point of the grid with its trainings.

    Attributes:
        point: of the grid.
        rows: one for each seed that was trained.
        top1, spread: mean and sample standard deviation over seeds (None: one seed), in [0, 1].
    """

    point: GridPoint
    rows: tuple[Result, ...]
    top1: float
    spread: float | None


def search(
    proxy: Proxy,
    baseline: Baseline,
    points: Sequence[GridPoint],
    seeds: Sequence[int],
    written: Callable[[list[Scored]], object],
) -> list[Scored]:
    """Trains what the grid accepted with every seed; the best first, of equals the cheaper.

    All candidates have a seed behind them before the next one begins. A candidate that fails with
    any seed is left out: half a result would be compared with whole ones.

    Args:
        written: called after each training with what there is so far.

    Raises:
        UsageError: the grid accepted nothing.
        RunError: nothing could be trained, or as `Proxy.evaluate` does.
    """
    accepted = [point for point in points if not point.refused]
    if not accepted:
        raise UsageError(
            f"all {len(points)} triples of the grid are refused. Give other values, a larger "
            "--ratio_tolerance or wider limits; --dry_run shows the reasons."
        )
    rows: dict[str, list[Result]] = {point.triple: [] for point in accepted}
    for seed in seeds:
        for point in accepted:
            (row,) = proxy.evaluate(baseline.candidate(point.scaled), [seed])
            check_counted(row, point.scaled)
            rows[point.triple].append(row)
            written(_scored(accepted, rows))
    scored = _scored(accepted, rows)
    if not scored:
        raise RunError(
            f"none of the {len(accepted)} candidates could be trained; {proxy.results.path} has "
            "the reasons."
        )
    return scored


def _scored(points: Sequence[GridPoint], rows: dict[str, list[Result]]) -> list[Scored]:
    found = []
    for point in points:
        trained = rows[point.triple]
        if trained and all(row.error is None for row in trained):
            found.append(
                Scored(point, tuple(trained), *mean_and_spread([row.top1 for row in trained]))
            )
    return sorted(found, key=lambda each: (-each.top1, each.point.scaled.counts.multiply_adds))


def result_rows(baseline: Baseline, scored: Sequence[Scored], what: str) -> list[dict[str, Any]]:
    """Rows of results.jsonl."""
    found = []
    for each in scored:
        triple = each.point.coefficients
        more = {
            "alpha": triple.alpha,
            "beta": triple.beta,
            "gamma": triple.gamma,
            "phi": each.point.scaled.phi,
        }
        found += [fields(baseline.name, what, each.point.scaled, row, **more) for row in each.rows]
    return found


_HEADER = ("alpha", "beta", "gamma", "top-1 %", "+-", "seeds", "blocks", "w", "pixels")


def table(scored: Sequence[Scored]) -> str:
    """Lines for people, in the order given."""
    cells: list[tuple[str, ...]] = [(*_HEADER, "multiply-adds", "ratio", "params")]
    for each in scored:
        triple, scaled = each.point.coefficients, each.point.scaled
        cells.append(
            (
                *(f"{value:g}" for value in (triple.alpha, triple.beta, triple.gamma)),
                f"{100 * each.top1:.2f}",
                "" if each.spread is None else f"{100 * each.spread:.2f}",
                f"{len(each.rows)}",
                f"{scaled.network.num_blocks}",
                f"{scaled.factors.width:.4g}",
                f"{scaled.network.resolution}",
                f"{scaled.counts.multiply_adds:,}",
                f"{each.point.ratio:.3f}",
                f"{scaled.counts.trainable_params:,}",
            )
        )
    return "\n".join(aligned(cells))


def outcome(scored: Sequence[Scored]) -> list[str]:
    """The best triple, and whether the seeds set it apart from the second."""
    best, *others = scored
    lines = [f"best: alpha, beta, gamma = {best.point.triple}"]
    if others:
        apart = difference(best.rows, others[0].rows)
        lines.append(f"best - second {others[0].point.triple}: {apart}")
    return lines
