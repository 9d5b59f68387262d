"""Table 5 and Figure 6: the paper's text, our counts, and runs known by their folders."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.paper.published import TABLE5, TABLE5_GEO_MEANS
from efficientnet_tf.paper.transfer_sets import TABLE6, transfer_set
from efficientnet_tf.reproduce import products
from efficientnet_tf.reproduce.picture import MEASURED, PAPER
from efficientnet_tf.reproduce.transfer_results import figure6, headless_params, table5
from efficientnet_tf.reproduce.transfer_runs import read_run, read_runs


def make_run(folder: Path, source: str = "tfds:cifar10", **evaluation: Any) -> str:
    folder.mkdir(parents=True)
    config = {"model.name": "efficientnet-b0", "data.source": source, "train.seed": 3}
    (folder / "config.json").write_text(json.dumps(config))
    content = {"split": "test", "top1": 0.975, "examples": 10_000, **evaluation}
    (folder / "evaluation-test.json").write_text(json.dumps(content))
    return str(folder)


def test_table5_has_each_data_set_of_table6_once_on_each_side() -> None:
    names = [each.name for each in TABLE6]
    for against in ("public", "reported"):
        assert [row.data_set for row in TABLE5 if row.against == against] == names


@pytest.mark.parametrize("against", ["public", "reported"])
def test_the_printed_means_follow_from_the_printed_ratios(against: str) -> None:
    ratios = [row.ratio.value for row in TABLE5 if row.against == against and row.ratio]
    assert TABLE5_GEO_MEANS[against].is_rounded_from(statistics.geometric_mean(ratios))


def test_one_printed_ratio_does_not_follow_from_the_printed_parameters() -> None:
    wrong = []
    for row in TABLE5:
        other, ours = row.other.params, row.ours.params
        if other is not None and ours is not None and row.ratio is not None:
            fits = (
                other.low / ours.high <= row.ratio.high and row.ratio.low <= other.high / ours.low
            )
            wrong += [] if fits else [(row.data_set, row.ours.network, row.ratio.text)]
    # ResNet-152's 58M are 3.4 times the 17M of B4; 5.6 would be nearly B3's 10M.
    assert wrong == [("Oxford-IIIT Pets", "EfficientNet-B4", "5.6x")]


def test_the_paper_counts_parameters_without_the_classifier() -> None:
    for row in TABLE5:
        if row.ours.params is not None:
            counted = headless_params(row.ours.network.lower())
            cut = math.floor(counted / 1e6) * 1e6 == row.ours.params.value
            assert cut or row.ours.params.is_rounded_from(counted), (row, counted)


def test_headless_params_by_hand() -> None:
    assert headless_params("efficientnet-b0") == 5_288_548 - 1281 * 1000


@pytest.mark.parametrize(
    ("source", "data_dir", "name"),
    [
        ("tfds:cifar10", None, "CIFAR-10"),
        ("tfds:cifar100:3.*.*", None, "CIFAR-100"),
        ("tfds:oxford_iiit_pet", "/data", "Oxford-IIIT Pets"),
        ("tfds:oxford_flowers102", None, "Flowers"),
        ("tfds:cars196", None, "Stanford Cars"),
        ("tfds:food101", None, "Food-101"),
        ("folder:/data/birdsnap/", None, "Birdsnap"),
        ("folder", "/data/fgvc-aircraft", "FGVC Aircraft"),
        ("tfrecord", "gs://bucket/Food-101", "Food-101"),
    ],
)
def test_sources_of_the_eight_sets(source: str, data_dir: str | None, name: str) -> None:
    found = transfer_set(source, data_dir)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("source", ["digits", "imagenet", "folder:/data/photos", "tfds:cifar10_1"])
def test_other_sources_are_no_transfer_set(source: str) -> None:
    assert transfer_set(source) is None


def test_measured_runs_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", mean_per_class_accuracy=0.96))
    assert run.params == 5_288_548 - 1281 * 990  # ten classes
    published, measured = table5([run])
    assert [column.heading for column in published.columns if "measured" in column.heading] == []
    assert "97.50 %" not in published.markdown()
    assert (
        "| CIFAR-10 | efficientnet-b0 | 224 | 4.02M | 97.50 % | 96.00 % | 10000 | 10000 | 3 |"
        in (measured.markdown())
    )
    assert len(table5()) == 1


def test_figure6_keeps_runs_on_other_images_off_the_papers_axes(tmp_path: Path) -> None:
    whole = read_run(make_run(tmp_path / "whole"))
    part = read_run(make_run(tmp_path / "part", examples=500))
    panels = {panel.title: panel for panel in figure6([whole, part]).panels}
    assert len(panels) == 9
    assert [each.source for each in panels["CIFAR-10"].series] == [PAPER, PAPER, MEASURED]
    assert [each.source for each in panels["CIFAR-10, other test images"].series] == [MEASURED]
    ours = panels["CIFAR-10"].series[0].points
    assert [(point.x, point.y, point.label) for point in ours] == [
        (4, 98.1, "B0"),
        (64, 98.9, "B7"),
    ]
    cars = panels["Stanford Cars"].series
    assert [len(each.points) for each in cars] == [1, 1]  # the paper prints no others' parameters


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r'--run: ".*config.json" cannot be read: .*\n.*evaluation-test'
    ):
        read_run(str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r'is on "digits", which is no data set of Table 6'):
        read_run(make_run(tmp_path / "digits", "digits"))
    with pytest.raises(UsageError, match=r"top1 must be in \[0, 1\], received 97.5"):
        read_run(make_run(tmp_path / "percent", top1=97.5))
    run = make_run(tmp_path / "run")
    with pytest.raises(UsageError, match="is given twice"):
        read_runs([run, run])
    (tmp_path / "run" / "config.json").write_text("[]")
    with pytest.raises(UsageError, match=r"line 1: expected an object, received list\.\nGive the"):
        read_run(run)


def test_both_are_written(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    list(products.reproduce(["table5", "figure6"], str(tmp_path / "out"), (), [run]))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "table5.md",
        "table5.csv",
        "table5_measured.csv",
        "figure6.png",
        "figure6.svg",
        "figure6.csv",
    }
