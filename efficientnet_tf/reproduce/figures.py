"""Draws a `Picture` with matplotlib: PNG and SVG."""

from __future__ import annotations

import importlib.util
import math
import textwrap
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.reproduce.picture import (
    COMPUTED,
    MEASURED,
    PAPER,
    RECOUNTED,
    THEORY,
    Panel,
    Picture,
    Point,
    Series,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's: colour-blind readers can tell them apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
# What distinguishes the sources, besides the legend.
_STYLES: dict[str, dict[str, Any]] = {
    PAPER: {"marker": "o", "markersize": 5.5},
    RECOUNTED: {"marker": "o", "markersize": 11, "markerfacecolor": "none", "linestyle": "none"},
    COMPUTED: {"marker": "s", "markersize": 4.5},
    MEASURED: {"marker": "*", "markersize": 11},
    THEORY: {"linestyle": ":", "linewidth": 1.5},
}
_LABEL_SIZE = 8.0
_DPI = 130
# Kept free around markers (points, half a side) and lines (pixels).
_FREE = {PAPER: 4.0, RECOUNTED: 6.0, COMPUTED: 4.0, MEASURED: 6.0, THEORY: 0.0}
_LINE = 2.0
_DISTANCES = (7, 11, 16, 23, 32, 45)  # points between a marker and its label, tried in turn
_NEAR = 14  # points from which on a line leads to the label
_COLUMNS = 3  # panels side by side
_WIDE, _NARROW = 9.0, 5.4  # inches of a panel
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7))


def check_matplotlib() -> None:
    """Raises a UsageError with the command that installs it, if it is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            'figures need matplotlib, which is not installed: pip install "efficientnet_tf[plots]" '
            "(or pip install matplotlib). Tables need nothing."
        )


def _draw_series(axes: Axes, series: Series) -> None:
    style: dict[str, Any] = {"linestyle": "-" if series.line else "none", "linewidth": 1.2}
    style.update(_STYLES[series.source])
    axes.errorbar(
        [point.x for point in series.points],
        [point.y for point in series.points],
        xerr=[point.x_error for point in series.points] if _has(series, "x_error") else None,
        yerr=[point.y_error for point in series.points] if _has(series, "y_error") else None,
        color=COLOURS[series.colour % len(COLOURS)],
        label=series.legend,
        capsize=3,
        **style,
    )


def _has(series: Series, field: str) -> bool:
    return any(getattr(point, field) for point in series.points)


def _draw_panel(axes: Axes, panel: Panel, legend_columns: int) -> None:
    for series in panel.series:
        _draw_series(axes, series)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.log_x:
        _make_logarithmic(axes, "x")
    if panel.log_y:
        _make_logarithmic(axes, "y")
    axes.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    axes.margins(x=0.08, y=0.08)
    # Below the axes, where it cannot cover a point.
    axes.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=legend_columns)


def _make_logarithmic(axes: Axes, direction: str) -> None:
    """Ticks at 1, 2, 5, 10, ... in plain digits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(axes, f"set_{direction}scale")("log")
    axis = getattr(axes, f"{direction}axis")
    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _obstacles(figure: Figure, axes: Axes, panel: Panel) -> list[Any]:
    """Boxes in pixels of all markers and along the lines that join points."""
    boxes: list[Any] = []
    for series in panel.series:
        half = _FREE[series.source] * figure.dpi / 72.0
        places = [axes.transData.transform((point.x, point.y)) for point in series.points]
        boxes += [_box(place, half) for place in places]
        if series.line:
            for start, end in pairwise(places):
                steps = int(max(abs(end - start)) / (2 * _LINE)) + 1
                boxes += [_box(start + (end - start) * n / steps, _LINE) for n in range(steps)]
    return boxes


def place_labels(figure: Figure, axes: Axes, panel: Panel) -> list[Any]:
    """Writes the points' names where they cover neither each other, nor a marker, nor a line.

    Each goes to the first free place around its point, so the label of a crowded point stands
    further away, with a line to it; if there is no free place, where it covers least.
    """
    figure.canvas.draw()
    taken = _obstacles(figure, axes, panel)
    written = []
    for series in panel.series:
        for point in series.points:
            if point.label:
                written.append(_place(axes, point, COLOURS[series.colour], taken))
                taken.append(written[-1].get_window_extent())
    return written


def _place(axes: Axes, point: Point, colour: str, taken: list[Any]) -> Any:
    inside = axes.get_window_extent()
    costs = {}
    for distance, (x, y) in product(_DISTANCES, _DIRECTIONS):
        offset = (distance * x, distance * y)
        label = _write(axes, point, offset, colour)
        box = label.get_window_extent()
        covered = sum(_overlap(box, other) for other in taken)
        costs[offset] = covered + box.width * box.height - _overlap(box, inside)
        if costs[offset] < 1e-6:
            return label
        label.remove()
    return _write(axes, point, min(costs, key=lambda offset: costs[offset]), colour)


def _write(axes: Axes, point: Point, offset: tuple[float, float], colour: str) -> Any:
    x, y = offset
    line = {"arrowstyle": "-", "linewidth": 0.5, "color": "0.5", "shrinkA": 0, "shrinkB": 3}
    return axes.annotate(
        point.label,
        (point.x, point.y),
        xytext=offset,
        textcoords="offset points",
        fontsize=_LABEL_SIZE,
        color=colour,
        horizontalalignment="left" if x > 0 else "right" if x < 0 else "center",
        verticalalignment="bottom" if y > 0 else "top" if y < 0 else "center",
        arrowprops=line if max(abs(x), abs(y)) > _NEAR else None,
    )


def _box(place: Any, half: float) -> Any:
    from matplotlib.transforms import Bbox

    return Bbox([place - half, place + half])


def _overlap(one: Any, other: Any) -> float:
    """Square pixels that two boxes share."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, width) * max(0.0, height)


def draw(picture: Picture) -> Figure:
    """The figure; nothing is written.

    Raises:
        UsageError: matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(picture.panels), _COLUMNS)
    rows = math.ceil(len(picture.panels) / columns)
    widths = [
        max(_WIDE if panel.wide else _NARROW for panel in picture.panels[column::columns])
        for column in range(columns)
    ]
    lines = max(len(panel.series) for panel in picture.panels)
    width, height = (_WIDE, 6.6) if columns == 1 else (sum(widths), (4.9 + 0.17 * lines) * rows)
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(picture.title, fontsize=12)
    note = textwrap.fill(picture.note, int(width * 14))
    figure.supxlabel(note, fontsize=8, x=0.01, horizontalalignment="left")
    grid = figure.subplots(rows, columns, squeeze=False, width_ratios=widths).flatten()
    for axes in grid[len(picture.panels) :]:
        axes.remove()
    drawn = list(zip(grid, picture.panels, strict=False))
    for axes, panel in drawn:
        _draw_panel(axes, panel, legend_columns=2 if columns == 1 else 1)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # labels are placed for these axes
    for axes, panel in drawn:
        place_labels(figure, axes, panel)
    return figure


def save(picture: Picture, folder: Path) -> list[str]:
    """Writes `name.png`, `.svg` and `.csv`; their paths.

    Raises:
        UsageError: matplotlib is not installed.
        OSError: the folder cannot be written.
    """
    import matplotlib

    figure = draw(picture)
    paths = [folder / f"{picture.name}.{ending}" for ending in ("png", "svg", "csv")]
    figure.savefig(paths[0], dpi=_DPI)
    # The same figure gives the same file: neither a date nor random ids in it.
    with matplotlib.rc_context({"svg.hashsalt": picture.name}):
        figure.savefig(paths[1], metadata={"Date": None})
    paths[2].write_text(picture.csv(), encoding="utf-8")
    return [str(path) for path in paths]
