"""The objective of section 4: ACC x (FLOPS / T)^w."""

import math

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.search.objective import Objective


def test_the_paper_s_objective_at_and_beside_its_target() -> None:
    objective = Objective()
    assert objective(0.771, 400e6) == pytest.approx(0.771)  # T is 400M
    assert objective(0.771, 390e6) == pytest.approx(0.771 * math.exp(0.07 * math.log(400 / 390)))


def test_twice_the_cost_must_bring_five_percent_more_accuracy() -> None:
    objective = Objective()
    assert objective(0.70 * 2**0.07, 800e6) == pytest.approx(objective(0.70, 400e6))
    assert math.isclose(2**0.07, 1.05, abs_tol=0.001)


def test_with_one_exponent_the_target_changes_no_ranking() -> None:
    networks = [(0.60, 90e6), (0.70, 300e6), (0.74, 500e6), (0.76, 1800e6)]
    near, far = Objective(target=400e6), Objective(target=2e6)
    ratios = [near(*network) / far(*network) for network in networks]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))


def test_two_exponents_make_the_target_a_hard_limit() -> None:
    """MnasNet's: no reward for being cheaper than T, none of use for being dearer."""
    objective = Objective(target=100.0, exponent=-1.0, exponent_below=0.0)
    assert objective(0.5, 10.0) == objective(0.5, 100.0) == 0.5
    assert objective(0.5, 200.0) == pytest.approx(0.25)


def test_curves_of_equal_worth() -> None:
    objective = Objective(target=5e6)
    value = objective(0.9, 7e6)
    for cost in (1e6, 7e6, 30e6):
        assert objective(objective.top1_at(value, cost), cost) == pytest.approx(value)
    assert objective.top1_at(value, 7e6) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 0.0}, "target must be a number of multiply-adds above 0, received 0.0"),
        ({"target": math.inf}, "target must be a number of multiply-adds above 0, received inf"),
        ({"exponent": 0.07}, "exponent must be at most 0, as in the paper's -0.07, received 0.07"),
        ({"exponent": math.nan}, "exponent must be at most 0.*received nan"),
        ({"exponent_below": 1.0}, "exponent_below must be at most 0.*received 1.0"),
    ],
)
def test_wrong_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Objective(**arguments)
