"""Step 1's search with trainings whose accuracies are told: order, resume, failures, picture."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_training import MadeUp, base_config
from matplotlib.collections import PathCollection

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.search import pareto, scaling_figure
from efficientnet_tf.search import proxy as proxy_lib
from efficientnet_tf.search.grid import GridPoint, grid, triples
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.scaling_baseline import Baseline
from efficientnet_tf.search.scaling_search import Scored, outcome, result_rows, search, table


def accuracy(config: ExperimentConfig) -> float:
    """Wide is good, deep a little; seeds 0, 1, 2 are worse, as said, better."""
    width, depth = config.model.width_coefficient or 1.0, config.model.depth_coefficient or 1.0
    return 0.3 * width + 0.1 * depth + 0.01 * (config.train.seed - 1)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    found = MadeUp(accuracy)
    monkeypatch.setattr(proxy_lib, "train_in_process", found)
    return found


BASELINE = Baseline(base_config())


def points_of(**options: Any) -> list[GridPoint]:
    """Four triples; the depth of the last rounds to far more than twice the multiply-adds."""
    values = triples([1, 1.4, 2], [1, 1.2, 1.4], [1, 1.2], 0.1)
    return grid(BASELINE, values, ratio_tolerance=0.4, **options)


def run(folder: Path, points: list[GridPoint], seeds: int = 3) -> list[Scored]:
    with Proxy(base_config(), str(folder), 12, stream=io.StringIO()) as proxy:
        return search(proxy, BASELINE, points, range(seeds), lambda scored: None)


def test_the_best_comes_first_with_mean_and_spread(made_up: MadeUp, tmp_path: Path) -> None:
    points = points_of()
    assert [point.triple for point in points] == [
        "(1, 1.2, 1.2)",
        "(1, 1.4, 1)",
        "(1.4, 1, 1.2)",
        "(1.4, 1.2, 1)",
        "(2, 1, 1)",
    ]
    accepted = [point for point in points if not point.refused]
    assert accepted
    scored = run(tmp_path, points)
    assert len(scored) == len(accepted)
    assert len(made_up.trained) == 3 * len(accepted)
    expected = sorted(
        (0.3 * point.coefficients.beta + 0.1 * point.coefficients.alpha for point in accepted),
        reverse=True,
    )
    assert [each.top1 for each in scored] == pytest.approx(expected)
    assert [each.spread for each in scored] == pytest.approx([0.01] * len(scored))
    lines = table(scored).splitlines()
    assert len(lines) == 1 + len(scored)
    assert f"{100 * expected[0]:.2f}" in lines[1]
    assert lines[1].split()[:3] == ["1", "1.4", "1"]
    assert outcome(scored)[0] == "best: alpha, beta, gamma = (1, 1.4, 1)"
    # 0.3 * 1.4 + 0.1 * 1 against 0.3 * 1 + 0.1 * 2, at spreads of one point: 2.776 * sqrt(2 / 3).
    assert outcome(scored)[1] == (
        "best - second (2, 1, 1): +2.00 points, 95 % interval +-2.27: within what seeds alone make"
    )


def test_every_candidate_has_a_seed_before_the_next_begins(made_up: MadeUp, tmp_path: Path) -> None:
    run(tmp_path, points_of(), seeds=2)
    seeds = [config.train.seed for config in made_up.trained]
    assert seeds == sorted(seeds)


def test_nothing_is_trained_twice(made_up: MadeUp, tmp_path: Path) -> None:
    first = run(tmp_path, points_of(), seeds=1)
    made_up.trained.clear()
    again = run(tmp_path, points_of(), seeds=2)
    assert [config.train.seed for config in made_up.trained] == [1] * len(first)
    assert {each.point.triple for each in again} == {each.point.triple for each in first}
    assert all(len(each.rows) == 2 for each in again)


def test_a_candidate_that_fails_is_left_out(made_up: MadeUp, tmp_path: Path) -> None:
    def fails(config: ExperimentConfig) -> Any:
        wide = (config.model.width_coefficient or 1.0) == 1.4
        return {"error": "loss is not finite"} if wide and config.train.seed == 1 else 0.5

    made_up.top1 = fails
    scored = run(tmp_path, points_of())
    assert scored
    assert "(1, 1.4, 1)" not in [each.point.triple for each in scored]


def test_of_equals_the_cheaper_is_first(made_up: MadeUp, tmp_path: Path) -> None:
    made_up.top1 = lambda config: 0.5
    costs = [each.point.scaled.counts.multiply_adds for each in run(tmp_path, points_of(), 1)]
    assert costs == sorted(costs)


def test_rows_have_the_triple_and_its_network(made_up: MadeUp, tmp_path: Path) -> None:
    [row, *_] = result_rows(BASELINE, run(tmp_path, points_of(), 1), "digits, 2 epochs")
    assert row["model"] == "efficientnet-b0"
    assert (row["alpha"], row["beta"], row["gamma"], row["phi"]) == (1, 1.4, 1, 1.0)
    assert (row["depth"], row["width"], row["resolution"]) == (1, 1.4, 24)
    assert (row["what"], row["seed"]) == ("digits, 2 epochs", 0)


def test_a_grid_without_candidates_is_refused(made_up: MadeUp, tmp_path: Path) -> None:
    strict = grid(BASELINE, triples([2], [1], [1], 0.1), ratio_tolerance=0.0)
    with pytest.raises(UsageError, match="all 1 triples of the grid are refused.*--dry_run"):
        run(tmp_path, strict)
    assert not made_up.trained


def test_when_nothing_could_be_trained(made_up: MadeUp, tmp_path: Path) -> None:
    made_up.top1 = lambda config: {"error": "out of memory"}
    with pytest.raises(RunError, match="none of the 1 candidates could be trained"):
        run(tmp_path, grid(BASELINE, triples([1], [1.4], [1], 0.1), ratio_tolerance=1), 1)


def test_data_of_other_classes_are_found_out(made_up: MadeUp, tmp_path: Path) -> None:
    made_up.classes = 11
    with pytest.raises(RunError, match="Either the data have another number of classes"):
        run(tmp_path, points_of())
    assert len(made_up.trained) == 1


def test_the_picture_says_what_it_shows(made_up: MadeUp, tmp_path: Path) -> None:
    points = points_of()
    scored = run(tmp_path, points)
    figure = scaling_figure.draw_search(scored, points, 1.0, "efficientnet-b0", "digits, 2 epochs")
    *panels, bar = figure.axes
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in panels] == [
        ("width factor w", "depth factor d"),
        ("resolution factor r", "depth factor d"),
        ("width factor w", "resolution factor r"),
    ]
    assert bar.get_ylabel() == "mean top-1 (%)"
    drawn = {
        str(each.get_label()): each
        for each in panels[0].collections
        if isinstance(each, PathCollection)
    }
    names = list(drawn)
    assert names[-1] == "the paper's 1.2, 1.1, 1.15 (B0, ImageNet)"
    assert names[-2] == f"best: (1, 1.4, 1), {100 * scored[0].top1:.1f} %"
    assert names[-3] == f"trained ({len(scored)})"
    assert np.asarray(drawn[names[-1]].get_offsets()).tolist() == [[1.1, 1.2]]
    assert np.asarray(drawn[names[-2]].get_offsets()).tolist() == [[1.4, 1.0]]
    # The best is drawn last, at its colour; what lies under it is larger.
    shown = np.asarray(drawn[names[-3]].get_array())
    assert shown == pytest.approx([100 * each.top1 for each in reversed(scored)])
    title = figure.get_suptitle()
    assert title == "efficientnet-b0 scaled with phi = 1, digits, 2 epochs"
    for path in pareto.save(figure, str(tmp_path), "scaling"):
        assert Path(path).stat().st_size > 10_000
    with pytest.raises(RunError, match="the picture could not be written to .*missing"):
        pareto.save(figure, str(tmp_path / "missing"), "scaling")
