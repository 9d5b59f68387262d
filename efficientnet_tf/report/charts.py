"""Charts as SVG to put inside a page: drawn by matplotlib, coloured by the page's style sheet.

Colours are written as CSS variables, so that one drawing serves a light and a dark page.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.patches
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from efficientnet_tf.machine.fonts import missing_letters_are_boxes

MOST_POINTS = 400  # of a curve; more are averaged
MOST_CLASSES = 40  # of a confusion matrix that is drawn
_NUMBERS_UP_TO = 20  # classes: counts are written into the squares
# Drawn in these, written as the variables of the style sheet.
_INK, _GRID, _PAGE = "#101112", "#808182", "#fdfefd"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_VARIABLES = {
    _INK: "var(--ink)",
    _GRID: "var(--grid)",
    _PAGE: "var(--page)",
    **{colour: f"var(--line-{number})" for number, colour in enumerate(LINES)},
}
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
}
_SIZE = (4.4, 2.9)  # inches; read on a telephone, too


@dataclass(frozen=True)
class Curve:
    """Values over steps under a name.

    Attributes:
        colour: index into LINES; curves of one thing share it.
        dashed: to tell two of one colour apart.
        dots: few measurements rather than many.
    """

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    colour: int = 0
    dashed: bool = False
    dots: bool = False


def thinned(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, at most MOST_POINTS: means over as many neighbours as that needs."""
    steps, values = np.asarray(curve.steps, float), np.asarray(curve.values, float)
    if len(steps) <= MOST_POINTS:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), MOST_POINTS)
    return (
        np.array([steps[part].mean() for part in parts]),
        np.array([values[part].mean() for part in parts]),
    )


def lines(name: str, label: str, curves: Sequence[Curve]) -> str:
    """Curves over the step.

    Args:
        name: of the chart, unique in its page.
        label: of the vertical axis.
        curves: the vertical axis is that of the curves that are not dashed; those may leave it.
    """
    with _style(name):
        figure, axes = _axes()
        for curve in curves:
            axes.plot(
                *thinned(curve),
                color=LINES[curve.colour % len(LINES)],
                linestyle="--" if curve.dashed else "-",
                linewidth=1.5,
                marker="o" if curve.dots else None,
                markersize=3.5,
                label=curve.name,
            )
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _limit(axes, [curve for curve in curves if not curve.dashed])
        axes.grid(visible=True)
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=8)
        return _svg(figure, name)


def reliability(name: str, bins: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy over confidence in bins, beside the diagonal of a calibrated network."""
    with _style(name):
        figure, axes = _axes((3.4, 3.7))
        filled = [each for each in bins if each["examples"]]
        axes.bar(
            [each["low"] for each in filled],
            [each["accuracy"] for each in filled],
            width=[each["high"] - each["low"] for each in filled],
            align="edge",
            color=LINES[0],
            edgecolor=_PAGE,
            linewidth=0.8,
            label="accuracy",
        )
        axes.plot(
            [each["confidence"] for each in filled],
            [each["accuracy"] for each in filled],
            linestyle="none",
            marker="o",
            markersize=3.5,
            color=LINES[1],
            label="mean confidence of the bin",
        )
        axes.plot([0, 1], [0, 1], color=_INK, linestyle="--", linewidth=1, label="calibrated")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share that is right")
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17))
        return _svg(figure, name)


def confusion(name: str, matrix: np.ndarray, class_names: Sequence[str]) -> str:
    """A square for each pair of true and predicted class, as strong as its share of the row.

    Args:
        matrix: [classes, classes], at most MOST_CLASSES; rows are the true classes.
    """
    count = len(matrix)
    side = max(3.4, 0.3 * count + 1.2) if count <= _NUMBERS_UP_TO else 7.0
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    with _style(name):
        figure, axes = _axes((side, side))
        for true, predicted in np.argwhere(matrix):
            share, right = float(shares[true, predicted]), true == predicted
            axes.add_patch(
                matplotlib.patches.Rectangle(
                    (predicted - 0.5, true - 0.5),
                    1,
                    1,
                    facecolor=LINES[0] if right else LINES[1],
                    alpha=0.15 + 0.85 * share,
                    linewidth=0,
                )
            )
            if count <= _NUMBERS_UP_TO:
                axes.text(
                    predicted,
                    true,
                    f"{matrix[true, predicted]}",
                    color=_PAGE if share > 0.55 else _INK,
                    fontsize=8,
                    horizontalalignment="center",
                    verticalalignment="center",
                )
        axes.set_xlim(-0.5, count - 0.5)
        axes.set_ylim(count - 0.5, -0.5)
        axes.set_aspect("equal")
        shown = [name if len(name) <= 16 else f"{name[:15]}…" for name in class_names]
        small: Any = {"fontsize": 8 if count <= _NUMBERS_UP_TO else 6.5}
        axes.set_xticks(
            range(count), shown, rotation=90 if max(map(len, shown)) > 2 else 0, **small
        )
        axes.set_yticks(range(count), shown, **small)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        return _svg(figure, name)


def _limit(axes: Axes, curves: Sequence[Curve]) -> None:
    """Fits the vertical axis to these curves: raw weights gone astray would flatten all."""
    values = [value for curve in curves for value in curve.values]
    if values:
        low, high = min(values), max(values)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)


def _style(name: str) -> Any:
    """A context in which charts are drawn; the same chart gives the same text."""
    settings: Any = {**_STYLE, "svg.hashsalt": name}
    return matplotlib.rc_context(settings)


def _axes(size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    return figure, axes


def _svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> that scales with its column, with ids of its own."""
    out = io.StringIO()
    with missing_letters_are_boxes():
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", text, count=2)
    for pattern in (r'(\bid=")', r"(url\(#)", r'(xlink:href="#)'):
        text = re.sub(pattern, rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    widest = round(1.25 * 96 * figure.get_figwidth())  # CSS pixels
    start = f'<svg class="chart" role="img" aria-label="{name}" style="max-width: {widest}px" '
    return text.replace("<svg ", start, 1)
