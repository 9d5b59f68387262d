"""The points of Figures 1, 3, 4, 5 and 8: the paper's, ours, never under one marker."""

from collections.abc import Callable, Sequence

from efficientnet_tf.models.compound import Coefficients, Factors, compound, scale
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.operations import Counts
from efficientnet_tf.paper.printed import Printed
from efficientnet_tf.paper.published import TABLE2, TABLE7, NetworkRow
from efficientnet_tf.reproduce import architectures
from efficientnet_tf.reproduce.measured_curves import (
    KINDS,
    Cost,
    giga,
    measured_panels,
    measured_series,
    mega_params,
    on_imagenet,
    stars,
)
from efficientnet_tf.reproduce.picture import (
    COMPUTED,
    PAPER,
    RECOUNTED,
    THEORY,
    Panel,
    Picture,
    Point,
    Series,
)
from efficientnet_tf.reproduce.results import Measured

MULTIPLY_ADDS = "Multiply-adds (billions)"
PARAMS = "Parameters (millions)"
TOP1 = "ImageNet top-1 accuracy (%)"
# Coefficients to draw: ours, but for r=1 and r=2.5, the ends that section 3.2 states.
DRAWN = {
    "width": (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0),
    "depth": (1.0, 2.0, 3.0, 4.0, 6.0, 8.0),
    "resolution": (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5),
}
LETTERS = {"width": "w", "depth": "d", "resolution": "r"}
_NO_ACCURACIES = "The paper draws the accuracies of this figure and prints none: none is shown."


def _b0(depth: float = 1.0, width: float = 1.0, resolution: float = 1.0) -> Counts:
    baseline = find_network("efficientnet-b0")
    return scale(baseline, Factors(depth, width, resolution)).counts


def _all_networks(
    label: str,
    unit: float,
    printed: Callable[[NetworkRow], Printed | None],
    ours: Callable[[architectures.Counted], int],
    measured: Sequence[Measured],
    cost: Cost,
    counter: architectures.Counter,
) -> Panel:
    """All networks of Table 2 over a cost, our counts of the same, and our runs on ImageNet."""
    series = []
    for colour, (name, is_ours) in enumerate((("EfficientNet", True), ("other networks", False))):
        rows = [row for row in TABLE2 if row.is_ours == is_ours]
        pairs = [(row, printed(row)) for row in rows]
        points = tuple(
            Point(number.value / unit, row.top1, row.name.removeprefix("EfficientNet-"))
            for row, number in pairs
            if number is not None
        )
        series.append(Series(name, PAPER, points, colour, line=is_ours))
        found = [(row, counter(row.name)) for row in rows]
        recounted = tuple(
            Point(ours(count) / unit, row.top1) for row, count in found if count is not None
        )
        series.append(Series(name, RECOUNTED, recounted, colour))
    series += measured_series(on_imagenet(measured, True), cost, first_colour=2)
    title = "Table 2, validation set, single crop"
    return Panel(title, f"{label}, logarithmic", TOP1, tuple(series), log_x=True, wide=True)


def figure1(
    measured: Sequence[Measured] = (), counter: architectures.Counter = architectures.counted
) -> Picture:
    """Parameters against accuracy."""
    panel = _all_networks(
        PARAMS,
        1e6,
        lambda row: row.params,
        lambda count: count.params,
        measured,
        mega_params,
        counter,
    )
    others = measured_panels(on_imagenet(measured, False), PARAMS, mega_params)
    note = (
        "Filled circles and rings: the paper's accuracies (Table 2). Rings are over the parameters "
        "that we count; networks without one have no stand-in here or in keras.applications."
        + stars(measured)
    )
    return Picture("figure1", "Figure 1: model size and ImageNet accuracy", (panel, *others), note)


def figure5(
    measured: Sequence[Measured] = (), counter: architectures.Counter = architectures.counted
) -> Picture:
    """Multiply-adds against accuracy."""
    panel = _all_networks(
        MULTIPLY_ADDS,
        1e9,
        lambda row: row.multiply_adds,
        lambda count: count.multiply_adds,
        measured,
        giga,
        counter,
    )
    others = measured_panels(on_imagenet(measured, False))
    note = (
        "Filled circles and rings: the paper's accuracies (Table 2). Rings are over the "
        "multiply-adds that we count. The paper prints no FLOPS for GPipe." + stars(measured)
    )
    return Picture("figure5", "Figure 5: FLOPS and ImageNet accuracy", (panel, *others), note)


def figure3(measured: Sequence[Measured] = ()) -> Picture:
    """One dimension at a time: what each coefficient costs."""
    base = _b0().multiply_adds
    panels = []
    for dimension, factors in DRAWN.items():
        power = 1 if dimension == "depth" else 2
        letter = LETTERS[dimension]
        rows = [row for row in TABLE7 if row.kind in ("baseline", dimension)]
        theory = tuple(Point(factor, base * factor**power / 1e9) for factor in factors)
        ours = tuple(
            Point(factor, _b0(**{dimension: factor}).multiply_adds / 1e9) for factor in factors
        )
        paper = tuple(
            Point(
                getattr(row, dimension),
                row.multiply_adds.value / 1e9,
                y_error=row.multiply_adds.half_digit / 1e9,
            )
            for row in rows
        )
        exponent = "" if power == 1 else "²"
        series = (
            Series(f"B0 x {letter}{exponent}", THEORY, theory, 2, True),
            Series("EfficientNet-B0 scaled", COMPUTED, ours, 0, True),
            Series("Table 7, with its rounding", PAPER, paper, 1),
        )
        title = f"{dimension.capitalize()} {letter}"
        panels.append(Panel(title, f"{dimension} coefficient {letter}", MULTIPLY_ADDS, series))
    panels += measured_panels(measured)
    note = (
        f"{_NO_ACCURACIES} Coefficients are ours but for r=1 and r=2.5. Table 7 prints "
        "multiply-adds of one network in each panel." + stars(measured)
    )
    title = "Figure 3, architecture side: EfficientNet-B0 scaled in one dimension"
    return Picture("figure3", title, tuple(panels), note)


def figure4(measured: Sequence[Measured] = ()) -> Picture:
    """Width scaling of four baselines: what it costs."""
    series = []
    baselines = [(1.0, 1.0), (1.0, 1.3), (2.0, 1.0), (2.0, 1.3)]
    for colour, (depth, resolution) in enumerate(baselines):
        points = tuple(
            Point(width, _b0(depth, width, resolution).multiply_adds / 1e9)
            for width in DRAWN["width"]
        )
        name = f"B0, d={depth:g} r={resolution:g}"
        series.append(Series(name, COMPUTED, points, colour, True))
    panel = Panel(
        "Width scaling of four baselines",
        "width coefficient w",
        f"{MULTIPLY_ADDS}, logarithmic",
        tuple(series),
        log_y=True,
    )
    note = (
        f"{_NO_ACCURACIES} The caption states the first and the last baseline (d=1 r=1, d=2 "
        "r=1.3); the two between them and the widths are ours." + stars(measured)
    )
    title = "Figure 4, architecture side: width scaling at other depths and resolutions"
    panels = (panel, *measured_panels(measured))
    return Picture("figure4", title, panels, note)


def figure8(measured: Sequence[Measured] = ()) -> Picture:
    """B0 scaled four ways: accuracy as printed in Table 7, and the costs of each way."""
    baseline = TABLE7[0]
    accuracy = []
    for colour, name in enumerate(KINDS):
        rows = [baseline, *(row for row in TABLE7 if row.kind == name)]
        paper = tuple(
            Point(row.multiply_adds.value / 1e9, row.top1, row.coefficients) for row in rows
        )
        ours = tuple(
            Point(_b0(row.depth, row.width, row.resolution).multiply_adds / 1e9, row.top1)
            for row in rows
        )
        accuracy.append(Series(f"by {name}", PAPER, paper, colour, True))
        accuracy.append(Series(f"by {name}", RECOUNTED, ours, colour))
    accuracy += measured_series(on_imagenet(measured, True), giga)
    panels = (
        Panel("Accuracy, as printed in Table 7", MULTIPLY_ADDS, TOP1, tuple(accuracy)),
        _costs_of_each_way(),
        *measured_panels(on_imagenet(measured, False)),
    )
    note = (
        "Left: the baseline and the one network of each line that Table 7 prints; the other "
        "accuracies of Figure 8 are only drawn in the paper, so they are not shown. Rings: the "
        "same accuracy over the multiply-adds that we count. Second panel: counted, no accuracy."
        + stars(measured)
    )
    title = "Figure 8: EfficientNet-B0 scaled four ways"
    return Picture("figure8", title, panels, note)


def _costs_of_each_way() -> Panel:
    """Parameters against multiply-adds along each dimension and along phi, up to eight times."""
    ways: dict[str, list[Factors]] = {
        name: [Factors(**{name: factor}) for factor in factors]
        for name, factors in (
            ("depth", (1, 2, 3, 4, 6, 8)),
            ("width", (1, 1.25, 1.5, 2, 2.5, 2.8)),
            ("resolution", (1, 1.25, 1.5, 2, 2.5, 2.8)),
        )
    }
    ways["compound"] = [compound(phi, Coefficients()) for phi in (0, 0.5, 1, 1.5, 2, 2.5, 3)]
    baseline = find_network("efficientnet-b0")
    series = []
    for colour, name in enumerate(KINDS):
        counts = [scale(baseline, factors).counts for factors in ways[name]]
        points = tuple(
            Point(each.multiply_adds / 1e9, each.trainable_params / 1e6) for each in counts
        )
        series.append(Series(f"by {name}", COMPUTED, points, colour, True))
    return Panel("What each way costs", MULTIPLY_ADDS, PARAMS, tuple(series))
