"""The Pareto front, and the picture of a search."""

from pathlib import Path

import numpy as np
import pytest

from efficientnet_tf.errors import RunError
from efficientnet_tf.search import pareto
from efficientnet_tf.search.pareto import Plotted, front

POINTS = [
    Plotted(5e6, 0.95, 0.01),
    Plotted(9e6, 0.97),
    Plotted(3e6, 0.90, group="evolved"),
    Plotted(4e6, 0.96, 0.005, group="evolved"),
    Plotted(20e6, 0.97),
]


def dominates(one: Plotted, other: Plotted) -> bool:
    no_worse = one.top1 >= other.top1 and one.multiply_adds <= other.multiply_adds
    better = one.top1 > other.top1 or one.multiply_adds < other.multiply_adds
    return no_worse and better


def test_the_front_by_hand() -> None:
    assert front(POINTS) == [2, 3, 1]
    assert front([]) == []


def test_the_front_is_what_no_other_point_dominates() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        values = generator.integers(1, 8, size=(30, 2))
        points = [Plotted(float(cost), float(top1)) for cost, top1 in values]
        expected = {
            (point.multiply_adds, point.top1)
            for point in points
            if not any(dominates(other, point) for other in points)
        }
        found = [(points[i].multiply_adds, points[i].top1) for i in front(points)]
        assert len(found) == len(set(found)), "of equal points one"
        assert set(found) == expected
        assert found == sorted(found)


def test_the_picture_says_what_it_shows(tmp_path: Path) -> None:
    figure = pareto.draw(POINTS, 3, lambda cost: 0.96 * (cost / 4e6) ** 0.07, "minival of digits")
    [axes] = figure.axes
    assert axes.get_xlabel() == "multiply-adds for one image (millions)"
    assert axes.get_ylabel() == "top-1 on minival of digits (%)"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(legend) == sorted(
        [
            "drawn at random (3)",
            "evolved (2)",
            "Pareto front (3 networks)",
            "worth as much as the chosen one",
            "chosen: 96.0 %, 4.00 M",
        ]
    )
    lines = {line.get_label(): line for line in axes.get_lines()}
    step = lines["Pareto front (3 networks)"]
    np.testing.assert_allclose(step.get_xdata(), [3, 4, 9])
    np.testing.assert_allclose(step.get_ydata(), [90, 96, 97])
    star = lines["chosen: 96.0 %, 4.00 M"]
    np.testing.assert_allclose([star.get_xdata()[0], star.get_ydata()[0]], [4, 96])
    low, high = axes.get_ylim()
    assert low < 90
    assert high > 97
    paths = pareto.save(figure, str(tmp_path))
    assert [Path(path).name for path in paths] == ["pareto.png", "pareto.svg"]
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "pareto.svg").read_text()


def test_costs_far_apart_stand_on_a_logarithmic_axis() -> None:
    def scale(costs: list[float]) -> str:
        points = [Plotted(cost, 0.5) for cost in costs]
        return pareto.draw(points, 0, lambda cost: 0.5, "x").axes[0].get_xscale()

    assert scale([1e6, 4e6]) == "linear"
    assert scale([1e6, 6e6]) == "log"


def test_one_network_alone_has_a_picture() -> None:
    pareto.draw([Plotted(1e6, 0.5)], 0, lambda cost: 0.5, "x")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    figure = pareto.draw(POINTS, 0, lambda cost: 0.5, "x")
    with pytest.raises(RunError, match="the picture could not be written to .*No such file"):
        pareto.save(figure, str(tmp_path / "missing"))
