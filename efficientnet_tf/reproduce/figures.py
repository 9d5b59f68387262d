"""Draws a `Picture` with matplotlib: PNG and SVG."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efficientnet_tf.reproduce.picture import (
    COMPUTED,
    MEASURED,
    PAPER,
    RECOUNTED,
    THEORY,
    Panel,
    Picture,
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
_FREE = 150.0  # points^2 around a marker that labels leave free
_DPI = 130
_COLUMNS = 3  # panels side by side
_WIDE, _NARROW = 9.0, 5.4  # inches of a panel


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
    axes.margins(x=0.12, y=0.08)
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


def _place_labels(axes: Axes, panel: Panel) -> None:
    """Writes the points' names where they cover neither each other, nor a marker, nor a line."""
    import numpy as np
    from adjustText import adjust_text

    points = [(point, series) for series in panel.series for point in series.points]
    labels = [
        axes.text(point.x, point.y, point.label, fontsize=_LABEL_SIZE, color=COLOURS[series.colour])
        for point, series in points
        if point.label
    ]
    places = [point.x for point, _ in points], [point.y for point, _ in points]
    pixels = axes.transData
    lines = [line.get_path() for line in axes.lines if line.get_linestyle() != "None"]
    along = [pixels.transform_path(path).interpolated(20).vertices for path in lines]
    if labels:
        adjust_text(
            labels,
            *(pixels.inverted().transform(np.concatenate(along)).T if along else ()),
            objects=axes.scatter(*places, s=_FREE, alpha=0),
            ax=axes,
            expand=(1.1, 1.3),
            force_explode=(0.2, 1.0),
            iter_lim=300,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.5"},
        )


def draw(picture: Picture) -> Figure:
    """The figure; nothing is written."""
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
        _place_labels(axes, panel)
    return figure


def save(picture: Picture, folder: Path) -> list[str]:
    """Writes `name.png`, `.svg` and `.csv`; their paths.

    Raises:
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
