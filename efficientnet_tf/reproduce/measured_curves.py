"""Our own runs as series and panels of a figure, one panel for each data set."""

from collections.abc import Callable, Sequence

from efficientnet_tf.reproduce.picture import MEASURED, Panel, Point, Series
from efficientnet_tf.reproduce.results import Measured, kind

Cost = Callable[[Measured], float]
KINDS = ("depth", "width", "resolution", "compound")


def measured_series(
    measured: Sequence[Measured], cost: Cost, first_colour: int = 0
) -> tuple[Series, ...]:
    """A series for each model and kind of scaling, starting from the cheapest network."""
    series = []
    for model in dict.fromkeys(each.run.model for each in measured):
        of_model = sorted(
            (each for each in measured if each.run.model == model),
            key=lambda each: each.run.multiply_adds,
        )
        baseline = of_model[0]
        for colour, name in enumerate(KINDS, start=first_colour):
            scaled = [each for each in of_model[1:] if kind(each.run, baseline.run) == name]
            if scaled:
                points = tuple(_point(each, cost) for each in (baseline, *scaled))
                series.append(Series(f"{model} by {name}", MEASURED, points, colour, True))
        if len(of_model) == 1:
            point = _point(baseline, cost)
            series.append(Series(model, MEASURED, (point,), first_colour + len(KINDS)))
    return tuple(series)


def _point(each: Measured, cost: Cost) -> Point:
    return Point(cost(each), each.top1, y_error=each.spread or 0.0)


def measured_panels(
    measured: Sequence[Measured],
    label: str = "Multiply-adds (millions)",
    cost: Cost = lambda each: each.run.multiply_adds / 1e6,
) -> tuple[Panel, ...]:
    """A panel for each data set: accuracies on different ones cannot share an axis."""
    panels = []
    for what in dict.fromkeys(each.run.what for each in measured):
        series = measured_series([each for each in measured if each.run.what == what], cost)
        panels.append(Panel(f"Measured by us: {what}", label, "Top-1 accuracy (%)", series))
    return tuple(panels)


def on_imagenet(measured: Sequence[Measured], yes: bool) -> list[Measured]:
    """Those that may, or may not, stand on one axis with the paper's accuracies."""
    return [each for each in measured if each.run.is_imagenet == yes]


def stars(measured: Sequence[Measured]) -> str:
    """What stars mean, where there are any."""
    if not measured:
        return ""
    return " Stars: measured by us, mean and standard deviation over seeds."


def giga(each: Measured) -> float:
    """Billions of multiply-adds."""
    return each.run.multiply_adds / 1e9


def mega_params(each: Measured) -> float:
    """Millions of parameters."""
    return each.run.params / 1e6
