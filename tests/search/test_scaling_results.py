"""results.jsonl of the scaling searches, and what may be said of a difference."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_training import base_config

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError
from efficientnet_tf.models.compound import Factors, scale
from efficientnet_tf.reproduce.results import FIELDS, read_results
from efficientnet_tf.search.results import Result
from efficientnet_tf.search.scaling_baseline import Baseline
from efficientnet_tf.search.scaling_results import difference, fields, task_of, write


def rows(*top1: float) -> list[Result]:
    return [
        Result("b", "k", {}, seed, top1=value, params=7, multiply_adds=9)
        for seed, value in enumerate(top1)
    ]


def test_rows_are_what_reproduce_reads(tmp_path: Path) -> None:
    scaled = scale(Baseline(base_config()), Factors(2.0, 1.5, 1.25))
    found = [fields("net", "digits, 2 epochs", scaled, row, phi=1.0) for row in rows(0.5, 0.75)]
    path = write(str(tmp_path), found)
    assert path == str(tmp_path / "results.jsonl")
    assert [json.loads(line) for line in Path(path).read_text().splitlines()] == found
    assert set(FIELDS) <= set(found[0])
    first, second = read_results([path])
    assert (first.depth, first.width, first.resolution) == (2.0, 1.5, 30)
    assert (first.model, first.what, first.params) == ("net", "digits, 2 epochs", 7)
    assert (first.multiply_adds, first.seed, second.seed, second.top1) == (9, 0, 1, 0.75)


def test_tasks_are_told_apart() -> None:
    assert task_of(base_config()) == "digits, 2 epochs"
    config = config_lib.ExperimentConfig()
    config.data.source, config.data.data_dir = "folder", "/data/shapes/"
    config.train.epochs = 0.5
    assert task_of(config) == "folder shapes, 0.5 epochs"


def test_a_difference_by_hand() -> None:
    # Both spreads are 0.02 of three seeds: 4 degrees of freedom, 2.776 * sqrt(2 * 0.0004 / 3).
    ours, theirs = rows(0.88, 0.90, 0.92), rows(0.85, 0.87, 0.89)
    assert difference(ours, theirs) == (
        "+3.00 points, 95 % interval +-4.53: within what seeds alone make"
    )
    assert difference(rows(0.93, 0.95, 0.97), theirs) == (
        "+8.00 points, 95 % interval +-4.53: beyond what seeds alone make"
    )
    assert difference(rows(0.5), theirs) == "-37.00 points; one seed says nothing about chance"
    assert difference(rows(0.5, 0.5), rows(0.4, 0.4)).startswith("+10.00 points, 95 % interval +-0")


@pytest.mark.parametrize(
    ("count", "exceeded"),  # 2.5 % of Student's t, from printed tables
    [(2, 12.706), (3, 4.303), (4, 3.182), (6, 2.571), (11, 2.228), (21, 2.086), (31, 2.042)],
)
def test_the_interval_is_welchs(count: int, exceeded: float) -> None:
    """A mean beside one without spread has count - 1 degrees of freedom, two alike twice that."""
    one = np.arange(count) / 100
    error = 100 * one.std(ddof=1) / np.sqrt(count)

    def half(*other: float) -> float:
        return float(difference(rows(*one), rows(*other)).split("+-")[1].split(":")[0])

    assert half(0.5, 0.5, 0.5) == pytest.approx(exceeded * error, rel=2e-4, abs=0.006)
    twice = {2: 4.303, 3: 2.776, 4: 2.447, 6: 2.228, 11: 2.086, 21: 2.021, 31: 2.000}[count]
    assert half(*(one + 0.3)) == pytest.approx(twice * np.sqrt(2) * error, rel=2e-4, abs=0.006)


def test_freedom_between_whole_numbers() -> None:
    """Spreads 0.02 and 0.01 of three seeds each: 50 / 17 degrees of freedom, t 3.22 by the table's
    3.182 for 3 and 4.303 for 2."""
    text = difference(rows(0.48, 0.5, 0.52), rows(0.39, 0.4, 0.41))
    half = float(text.split("+-")[1].split(":")[0]) / 100
    assert 3.182 < half / np.sqrt((0.0004 + 0.0001) / 3) < 3.3


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").mkdir()
    with pytest.raises(RunError, match=r"results.jsonl could not be written: "):
        write(str(tmp_path), [{}])
    with pytest.raises(RunError, match=r"results.jsonl could not be written: No such file"):
        write(str(tmp_path / "missing"), [])
