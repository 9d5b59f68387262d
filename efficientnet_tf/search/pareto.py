"""The picture of an architecture search: accuracy over multiply-adds, and the Pareto front."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from efficientnet_tf.errors import RunError
from efficientnet_tf.machine.fonts import missing_letters_are_boxes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# group: (colour, marker); colours that a colour-blind reader can tell apart, too.
_STYLES = {"drawn at random": ("#7f7f7f", "o"), "evolved": ("#0072b2", "^")}
_CHOSEN, _FRONT = "#d55e00", "#009e73"
_LOGARITHMIC = 5.0  # from this ratio of costs on


@dataclass(frozen=True)
class Plotted:
    """A network: multiply-adds for one image, top-1 in [0, 1], its spread over seeds, its group."""

    multiply_adds: float
    top1: float
    spread: float | None = None
    group: str = "drawn at random"


def front(points: Sequence[Plotted]) -> list[int]:
    """Indices of the points that no other dominates, from the cheapest on.

    Another dominates if it is at least as accurate and at most as expensive, and better in one of
    both. Of equal points the first is taken.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i].multiply_adds, -points[i].top1))
    kept: list[int] = []
    for index in order:
        if not kept or points[index].top1 > points[kept[-1]].top1:
            kept.append(index)
    return kept


def _spreads(points: Sequence[Plotted]) -> list[float] | None:
    """Error bars in percent; None if every network was trained once."""
    if all(point.spread is None for point in points):
        return None
    return [100 * (point.spread or 0.0) for point in points]


def draw(
    points: Sequence[Plotted],
    chosen: int,
    top1_at: Callable[[float], float],
    task: str,
) -> Figure:
    """A figure with all points, the front, the chosen point and the curve of its objective.

    Args:
        points: at least one.
        chosen: index of the best one.
        top1_at: top-1 that is worth as much as the chosen point, for multiply-adds.
        task: what the accuracy was measured on, for the axis.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    axes = figure.subplots()
    for group, (colour, marker) in _STYLES.items():
        members = [point for point in points if point.group == group]
        if members:
            axes.errorbar(
                [point.multiply_adds / 1e6 for point in members],
                [100 * point.top1 for point in members],
                yerr=_spreads(members),
                fmt=marker,
                color=colour,
                markersize=6,
                elinewidth=0.8,
                label=f"{group} ({len(members)})",
            )
    on_front = [points[index] for index in front(points)]
    axes.step(
        [point.multiply_adds / 1e6 for point in on_front],
        [100 * point.top1 for point in on_front],
        where="post",
        color=_FRONT,
        linewidth=1.5,
        label=f"Pareto front ({len(on_front)} networks)",
    )
    costs = [point.multiply_adds for point in points]
    axis = np.geomspace(min(costs), max(costs), 200)
    limits = axes.get_ylim()
    axes.plot(
        axis / 1e6,
        [100 * top1_at(cost) for cost in axis],
        color=_CHOSEN,
        linestyle="--",
        linewidth=1.0,
        label="worth as much as the chosen one",
    )
    axes.set_ylim(limits)
    best = points[chosen]
    axes.plot(
        best.multiply_adds / 1e6,
        100 * best.top1,
        marker="*",
        markersize=18,
        markerfacecolor="none",
        markeredgecolor=_CHOSEN,
        markeredgewidth=1.8,
        linestyle="none",
        label=f"chosen: {100 * best.top1:.1f} %, {best.multiply_adds / 1e6:.2f} M",
    )
    if max(costs) > _LOGARITHMIC * min(costs):
        axes.set_xscale("log")
        for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            formatter("{x:g}")
    axes.set_xlabel("multiply-adds for one image (millions)")
    axes.set_ylabel(f"top-1 on {task} (%)")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)  # inside it would hide points
    return figure


def save(figure: Figure, folder: str, name: str = "pareto") -> list[str]:
    """Writes NAME.png and NAME.svg; their paths.

    Raises:
        RunError: the folder cannot be written.
    """
    paths = [os.path.join(folder, f"{name}.{kind}") for kind in ("png", "svg")]
    try:
        with missing_letters_are_boxes():
            for path in paths:
                figure.savefig(path, dpi=150)
    except OSError as error:
        raise RunError(
            f'the picture could not be written to "{folder}": {error.strerror}. Make room or check '
            "the folder, then start the same command again: nothing is trained twice."
        ) from error
    return paths
