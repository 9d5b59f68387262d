"""Pictures of scaling: accuracy over the three factors, and accuracy over multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efficientnet_tf.models.compound import Coefficients, Factors, compound
from efficientnet_tf.search.grid import GridPoint
from efficientnet_tf.search.scaling_comparison import BASELINE, METHODS, Entry
from efficientnet_tf.search.scaling_search import Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# (x, y) of the panels: attributes of Factors, with the letter of each.
_PANELS = (("width", "depth"), ("resolution", "depth"), ("width", "resolution"))
_LETTERS = {"depth": "d", "width": "w", "resolution": "r"}
_BEST, _PAPER, _REFUSED = "#d55e00", "#000000", "#b0b0b0"
_SIZE, _RING = 110.0, 150.0  # points^2: of a marker, and what each one below it has more
# method: (colour, marker); colours that a colour-blind reader can tell apart, too.
_STYLES = {
    "compound": ("#d55e00", "o"),
    "depth": ("#0072b2", "s"),
    "width": ("#009e73", "^"),
    "resolution": ("#cc79a7", "D"),
}
_APART = 1.012  # from one error bar to the next, so that all are seen


def draw_search(
    scored: Sequence[Scored], points: Sequence[GridPoint], phi: float, name: str, task: str
) -> Figure:
    """Mean top-1 as colour over each two of depth, width and resolution.

    Networks that differ only in the third lie on one another: the better one is on top, the others
    are rings around it.

    Args:
        scored: best first, at least one.
        points: the whole grid; refused ones are crosses.
        phi: of the grid.
        name: of the baseline.
        task: what the accuracy was measured on.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 4.8), layout="constrained")
    panels: Any = figure.subplots(1, len(_PANELS))
    paper = compound(phi, Coefficients())
    refused = [point.scaled.factors for point in points if point.refused]
    colours = [100 * each.top1 for each in scored]
    for axes, (x, y) in zip(panels, _PANELS, strict=True):
        axes.scatter(
            [getattr(each, x) for each in refused],
            [getattr(each, y) for each in refused],
            marker="x",
            color=_REFUSED,
            s=30,
            zorder=1,
            label=f"refused ({len(refused)})" if refused else "_none",
        )
        drawn = axes.scatter(
            [getattr(each.point.scaled.factors, x) for each in scored[::-1]],
            [getattr(each.point.scaled.factors, y) for each in scored[::-1]],
            c=colours[::-1],
            s=_sizes(scored, x, y)[::-1],
            cmap="viridis",
            edgecolors="white",
            linewidths=0.8,
            zorder=2,
            label=f"trained ({len(scored)})",
        )
        _mark(axes, scored[0].point.scaled.factors, x, y, "*", _BEST, 420, _best_label(scored))
        _mark(axes, paper, x, y, "D", _PAPER, 260, "the paper's 1.2, 1.1, 1.15 (B0, ImageNet)")
        axes.set_xlabel(f"{x} factor {_LETTERS[x]}")
        axes.set_ylabel(f"{y} factor {_LETTERS[y]}")
        axes.margins(0.12)
        axes.grid(visible=True, alpha=0.3)
    figure.colorbar(drawn, ax=panels, label="mean top-1 (%)")
    figure.suptitle(f"{name} scaled with phi = {phi:g}, {task}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _best_label(scored: Sequence[Scored]) -> str:
    return f"best: {scored[0].point.triple}, {100 * scored[0].top1:.1f} %"


def _sizes(scored: Sequence[Scored], x: str, y: str) -> list[float]:
    """Of the markers, best first: each network at a place is larger than the better ones there."""
    seen: dict[tuple[float, float], int] = {}
    sizes = []
    for each in scored:
        place = (getattr(each.point.scaled.factors, x), getattr(each.point.scaled.factors, y))
        sizes.append(_SIZE + _RING * seen.get(place, 0))
        seen[place] = seen.get(place, 0) + 1
    return sizes


def _mark(
    axes: Axes, factors: Factors, x: str, y: str, marker: str, colour: str, size: float, label: str
) -> None:
    """An outline around a place."""
    axes.scatter(
        [getattr(factors, x)],
        [getattr(factors, y)],
        marker=marker,
        s=size,
        facecolors="none",
        edgecolors=colour,
        linewidths=1.8,
        zorder=3,
        label=label,
    )


def draw_comparison(entries: Sequence[Entry], name: str, task: str) -> Figure:
    """Top-1 over multiply-adds, a line for each way of scaling from the baseline on.

    Args:
        entries: with rows, the baseline first.
        name: of the baseline.
        task: what the accuracy was measured on.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    figure = Figure(figsize=(7.5, 5.4), layout="constrained")
    axes = figure.subplots()
    baseline = next(entry for entry in entries if entry.method == BASELINE)
    for method in METHODS:
        line = sorted(
            (entry for entry in entries if entry.method == method), key=lambda each: each.ratio
        )
        colour, marker = _STYLES[method]
        costs = [_apart(entry, entries) for entry in (baseline, *line)]
        axes.plot(
            costs,
            [100 * entry.top1[0] for entry in (baseline, *line)],
            color=colour,
            linewidth=1.2,
            alpha=0.6,
        )
        _points(axes, costs[1:], line, colour, marker, f"{method} scaling")
    count = max(len(entry.rows) for entry in entries)
    _points(axes, [_apart(baseline, entries)], [baseline], "#000000", "*", f"baseline, {name}")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("multiply-adds for one image (millions; points up to 2 % aside, to be seen)")
    axes.set_ylabel("top-1 (%)")
    axes.set_title(f"{task}; mean of {count} seeds, bars: standard deviation", fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _apart(entry: Entry, entries: Sequence[Entry]) -> float:
    """Millions of multiply-adds, moved aside in the order of those meant to have equally many."""
    costs = sorted(
        each.scaled.counts.multiply_adds for each in entries if each.asked == entry.asked
    )
    cost = entry.scaled.counts.multiply_adds
    return cost / 1e6 * _APART ** (costs.index(cost) - (len(costs) - 1) / 2)


def _points(
    axes: Axes,
    costs: Sequence[float],
    entries: Sequence[Entry],
    colour: str,
    marker: str,
    label: str,
) -> None:
    axes.errorbar(
        costs,
        [100 * entry.top1[0] for entry in entries],
        yerr=[100 * (entry.top1[1] or 0.0) for entry in entries],
        fmt=marker,
        color=colour,
        markersize=7,
        capsize=3,
        label=label,
    )
