"""Compound scaling against single dimensions at equal multiply-adds: plan, trainings, picture."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_training import MadeUp, base_config

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.models.compound import Coefficients
from efficientnet_tf.search import pareto, scaling_figure
from efficientnet_tf.search import proxy as proxy_lib
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.scaling_baseline import Baseline
from efficientnet_tf.search.scaling_comparison import (
    Entry,
    outcome,
    plan,
    result_rows,
    table,
    train,
)

BASELINE = Baseline(base_config())
METHODS = ["compound", "depth", "width", "resolution"]
LOOSE = 0.2


def accuracy(config: ExperimentConfig) -> float:
    """More pixels are good, layers are not; seeds 0, 1, 2 are worse, as said, better."""
    pixels, depth = config.model.resolution or 0, config.model.depth_coefficient or 1.0
    return 0.5 + pixels / 200 - depth / 20 + 0.02 * (config.train.seed - 1)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    found = MadeUp(accuracy)
    monkeypatch.setattr(proxy_lib, "train_in_process", found)
    return found


def run(folder: Path, seeds: int = 3, ratios: tuple[float, ...] = (2, 4)) -> list[Entry]:
    entries = plan(BASELINE, ratios, Coefficients(), LOOSE)
    with Proxy(base_config(), str(folder), 9 * seeds, stream=io.StringIO()) as proxy:
        train(proxy, BASELINE, entries, range(seeds), lambda: None)
    return entries


def test_the_plan_has_equal_multiply_adds() -> None:
    entries = plan(BASELINE, (2, 4, 2), Coefficients(), LOOSE)
    assert [entry.method for entry in entries] == ["baseline", *METHODS, *METHODS]
    cost = entries[0].scaled.counts.multiply_adds
    for entry, asked in zip(entries, [1.0, *[2.0] * 4, *[4.0] * 4], strict=True):
        assert entry.asked == asked
        assert entry.ratio == pytest.approx(entry.scaled.counts.multiply_adds / cost)
        assert entry.ratio == pytest.approx(asked, rel=LOOSE)
        factors = entry.scaled.factors
        changed = {
            name: value for name, value in vars(factors).items() if not math.isclose(value, 1.0)
        }
        if entry.method == "compound":
            assert list(changed) == ["depth", "width", "resolution"]
        else:
            assert list(changed) == ([] if entry.method == "baseline" else [entry.method])


def test_b0_at_four_times_is_near_figure_8() -> None:
    # Figure 8: d=4, w=2 and r=2 beside d=1.4, w=1.2, r=1.3, all of about 1.8 billion, from 0.4.
    config = ExperimentConfig()
    entries = plan(Baseline(config), [1.8 / 0.39], Coefficients())
    by_method = {entry.method: entry.scaled.factors for entry in entries}
    assert by_method["depth"].depth == pytest.approx(4, rel=0.2)
    assert by_method["width"].width == pytest.approx(2, rel=0.12)
    assert by_method["resolution"].resolution == pytest.approx(2, rel=0.1)
    compound = by_method["compound"]
    assert (compound.depth, compound.width, compound.resolution) == (
        pytest.approx(1.4, abs=0.1),
        pytest.approx(1.2, abs=0.05),
        pytest.approx(1.3, abs=0.05),
    )


@pytest.mark.parametrize("ratio", [1, 0.5, math.inf])
def test_a_ratio_that_scales_nothing_up(ratio: float) -> None:
    with pytest.raises(UsageError, match="ratio to the baseline's multiply-adds must be above 1"):
        plan(BASELINE, [ratio], Coefficients())


def test_costs_that_are_not_equal_are_refused() -> None:
    with pytest.raises(UsageError, match=r"scaled by \w+ to 2 times .* comes no nearer than .*--"):
        plan(BASELINE, [2], Coefficients(), 0.001)
    with pytest.raises(UsageError, match="ratio_tolerance must be a number of at least 0"):
        plan(BASELINE, [2], Coefficients(), -1.0)


def test_trainings_are_balanced_and_not_repeated(made_up: MadeUp, tmp_path: Path) -> None:
    entries = run(tmp_path, seeds=1)
    assert len(made_up.trained) == 9
    again = run(tmp_path, seeds=2)
    assert [config.train.seed for config in made_up.trained] == [0] * 9 + [1] * 9
    assert [entry.rows[0] for entry in again] == [entry.rows[0] for entry in entries]
    assert [len(entry.rows) for entry in again] == [2] * 9


def test_the_table_has_means_and_spreads(made_up: MadeUp, tmp_path: Path) -> None:
    empty = table(plan(BASELINE, [2], Coefficients(), LOOSE)).splitlines()
    assert empty[1].split()[-1] == "0"
    entries = run(tmp_path)
    lines = table(entries).splitlines()
    assert lines[0].split()[-4:] == ["top-1", "%", "+-", "seeds"]
    assert lines[1].split()[0] == "baseline"
    assert lines[1].split()[-3:] == ["57.00", "2.00", "3"]  # 0.5 + 24 / 200 - 1 / 20
    assert len({len(line) for line in lines}) == 1, "columns are aligned"


def test_the_outcome_compares_at_one_ratio(made_up: MadeUp, tmp_path: Path) -> None:
    entries = run(tmp_path)
    lines = outcome(entries)
    starts = [line.split(": ")[:2] for line in lines]
    others = [f"compound - {name}" for name in METHODS[1:]]
    assert starts == [[f"{ratio}x", other] for ratio in (2, 4) for other in others]
    # Each spread is 0.02 of three seeds: 2.776 * sqrt(2 * 0.0004 / 3) is 0.0453.
    assert all("95 % interval +-4.53" in line for line in lines)
    compound, depth = entries[1].top1[0], entries[2].top1[0]
    assert f"{100 * (compound - depth):+.2f} points" in lines[0]


def test_rows_name_the_method(made_up: MadeUp, tmp_path: Path) -> None:
    rows = result_rows(BASELINE, run(tmp_path, 2, (2,)), "digits, 2 epochs")
    assert [row["method"] for row in rows] == [
        name for name in ("baseline", *METHODS) for _ in range(2)
    ]
    assert [row["seed"] for row in rows] == [0, 1] * 5
    assert [row["asked"] for row in rows] == [1.0] * 2 + [2] * 8
    assert (rows[0]["depth"], rows[0]["width"], rows[0]["resolution"]) == (1.0, 1.0, 24)
    assert rows[-1]["resolution"] > 24


def test_a_failed_seed_leaves_the_others(made_up: MadeUp, tmp_path: Path) -> None:
    def fails(config: ExperimentConfig) -> Any:
        return {"error": "loss is not finite"} if config.train.seed == 1 else 0.5

    made_up.top1 = fails
    assert [len(entry.rows) for entry in run(tmp_path)] == [2] * 9


def test_a_method_that_always_fails_ends_the_comparison(made_up: MadeUp, tmp_path: Path) -> None:
    def fails(config: ExperimentConfig) -> Any:
        wide = (config.model.width_coefficient or 1.0) > 1.3
        return {"error": "out of memory"} if wide else 0.5

    made_up.top1 = fails
    with pytest.raises(RunError, match="no training of width 2x succeeded, so there is nothing"):
        run(tmp_path, 1, (2,))


def test_the_picture_says_what_it_shows(made_up: MadeUp, tmp_path: Path) -> None:
    entries = run(tmp_path)
    figure = scaling_figure.draw_comparison(entries, "efficientnet-b0", "digits, 2 epochs")
    [axes] = figure.axes
    assert axes.get_xlabel().startswith("multiply-adds for one image (millions; ")
    assert axes.get_ylabel() == "top-1 (%)"
    assert axes.get_title() == "digits, 2 epochs; mean of 3 seeds, bars: standard deviation"
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *(f"{method} scaling" for method in METHODS),
        "baseline, efficientnet-b0",
    ]
    assert len(axes.containers) == 5, "each with error bars"
    for line, method in zip(axes.get_lines()[::4], METHODS, strict=False):
        own = [entry for entry in entries if entry.method in ("baseline", method)]
        x, y = np.asarray(line.get_xydata()).T
        assert y == pytest.approx([100 * entry.top1[0] for entry in own])
        assert x == pytest.approx(
            [entry.scaled.counts.multiply_adds / 1e6 for entry in own], rel=0.02
        )
        assert x[0] == entries[0].scaled.counts.multiply_adds / 1e6
    for path in pareto.save(figure, str(tmp_path), "comparison"):
        assert Path(path).stat().st_size > 10_000
