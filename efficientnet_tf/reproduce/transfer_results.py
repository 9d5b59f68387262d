"""Table 5 and Figure 6: transfer learning, the paper's numbers and, apart from them, ours."""

from collections.abc import Sequence

from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.operations import count
from efficientnet_tf.paper.published import TABLE5, TABLE5_GEO_MEANS
from efficientnet_tf.paper.transfer_sets import TABLE6
from efficientnet_tf.reproduce.picture import MEASURED, PAPER, Panel, Picture, Point, Series
from efficientnet_tf.reproduce.table import Column, Table, accuracy, millions, printed_column
from efficientnet_tf.reproduce.transfer_runs import TransferRun

_AGAINST = {"public": "best public-available", "reported": "best reported"}
_CLASSES = 1000


def headless_params(name: str) -> int:
    """Trainable weights of a network without its classifier, as Table 5 counts."""
    with_classifier = count(find_network(name).scaled().operations(_CLASSES)).trainable_params
    one_class_less = count(find_network(name).scaled().operations(_CLASSES - 1)).trainable_params
    return with_classifier - _CLASSES * (with_classifier - one_class_less)


def table5(runs: Sequence[TransferRun] = ()) -> list[Table]:
    """The published comparison, our count of the parameters in it, and our runs in their own."""
    columns = (
        Column("Data set"),
        Column("Compared with"),
        Column("Model"),
        Column("Accuracy, published", accuracy),
        printed_column("Params, paper"),
        Column("EfficientNet"),
        Column("Accuracy of it, published", accuracy),
        printed_column("Params of it, paper"),
        Column("Params of it, ours", millions),
        printed_column("Ratio of params, paper"),
    )
    rows = [
        (
            row.data_set,
            _AGAINST[row.against],
            row.other.network,
            row.other.accuracy,
            row.other.params,
            row.ours.network,
            row.ours.accuracy,
            row.ours.params,
            headless_params(row.ours.network.lower()),
            row.ratio,
        )
        for row in TABLE5
    ]
    means = " and ".join(
        f"{mean.text} ({_AGAINST[against]})" for against, mean in TABLE5_GEO_MEANS.items()
    )
    notes = (
        f"Accuracies are the paper's, percent. Geometric means of the ratios, paper: {means}.",
        "Parameters are those without the classifier, which is what the paper's figures fit; it "
        "prints 10M for B3's 10.70M and 17M for B4's 17.55M, so it seems to cut rather than round. "
        "Its ratio 5.6x for Pets does not follow from its 58M and 17M.",
    )
    title = "Table 5: EfficientNets on transfer learning data sets"
    return [Table("table5", title, columns, rows, notes), *_measured(runs)]


def _measured(runs: Sequence[TransferRun]) -> list[Table]:
    if not runs:
        return []
    columns = (
        Column("Data set"),
        Column("Model"),
        Column("Resolution, px"),
        Column("Params", millions),
        Column("Top-1, measured by us", lambda value: f"{value:.2f} %"),
        Column("Mean per class, measured by us", lambda value: f"{value:.2f} %"),
        Column("Test images"),
        Column("Test images, Table 6"),
        Column("Seed"),
        Column("First weights"),
        Column("Run"),
    )
    sizes = {each.name: each.printed_test or each.test for each in TABLE6}
    rows = [
        (
            run.data_set,
            run.model,
            run.resolution,
            run.params,
            run.top1,
            run.mean_per_class,
            run.examples,
            sizes[run.data_set],
            run.seed,
            run.initial or "drawn",
            run.folder,
        )
        for run in runs
    ]
    note = (
        "Runs of this package, one a row, with the classifier among the parameters. Only with the "
        "test images of Table 6 and weights from ImageNet can a row be compared with the paper."
    )
    return [Table("table5_measured", "Table 5: measured by us", columns, rows, (note,))]


def _stars(runs: Sequence[TransferRun]) -> Series:
    points = tuple(Point(run.params / 1e6, run.top1, run.model) for run in runs)
    return Series("our runs", MEASURED, points, 2)


def _panel(title: str, series: Sequence[Series]) -> Panel:
    label = "Parameters (millions), logarithmic"
    return Panel(title, label, "Accuracy (%)", tuple(series), log_x=True)


def figure6(runs: Sequence[TransferRun] = ()) -> Picture:
    """Accuracy over parameters on each data set: the points that Table 5 prints, and our runs."""
    panels = []
    for data_set in TABLE6:
        series = []
        rows = [row for row in TABLE5 if row.data_set == data_set.name]
        for colour, (name, results) in enumerate(
            (
                ("EfficientNet", [row.ours for row in rows]),
                ("other networks", [row.other for row in rows]),
            )
        ):
            points = tuple(
                Point(
                    each.params.value / 1e6,
                    each.accuracy,
                    each.network.removeprefix("EfficientNet-"),
                )
                for each in results
                if each.params is not None
            )
            series.append(Series(name, PAPER, points, colour, line=name == "EfficientNet"))
        ours = [run for run in runs if run.data_set == data_set.name]
        same = [run for run in ours if run.examples == data_set.test]
        if same:
            series.append(_stars(same))
        panels.append(_panel(data_set.name, series))
        other = [run for run in ours if run.examples != data_set.test]
        if other:  # another test split: not on one axis with the paper
            panels.append(_panel(f"{data_set.name}, other test images", [_stars(other)]))
    note = (
        "Points that Table 5 prints with their parameters; the others of the paper's figure are "
        "only drawn there. Its parameters are without the classifier."
    )
    if runs:
        note += " Stars: measured by us, with the classifier; top-1."
    title = "Figure 6: parameters and transfer accuracy"
    return Picture("figure6", title, tuple(panels), note)
