"""The rounding rules and the survival ramp, against the official numbers."""

import json
import math
from pathlib import Path

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.scaling import (
    check_coefficient,
    round_filters,
    round_repeats,
    survival_probability,
)

GOLDEN = Path(__file__).parents[1] / "golden"
PARAMS = json.loads((GOLDEN / "params.json").read_text())
DROP_CONNECT = json.loads((GOLDEN / "drop_connect_and_l2.json").read_text())["drop_connect"]
B0_FILTERS = [32, 16, 24, 40, 80, 112, 192, 320]
B0_REPEATS = [1, 2, 2, 3, 3, 4, 1]
SCALED_FROM_B0 = [f"efficientnet-b{i}" for i in range(9)] + ["efficientnet-l2"]


@pytest.mark.parametrize("name", SCALED_FROM_B0)
def test_filters_and_repeats_are_the_recorded_ones(name):
    recorded = PARAMS[name]
    width, depth = recorded["params_table"][:2]
    stages = recorded["stages"]
    filters = [stages[0]["input_filters"], *(stage["output_filters"] for stage in stages)]
    assert [round_filters(number, width) for number in B0_FILTERS] == filters
    assert round_filters(32, width) == recorded["stem_filters"]
    assert round_filters(1280, width) == recorded["head_filters"]
    repeats = [stage["num_repeat"] for stage in stages]
    assert [round_repeats(number, depth) for number in B0_REPEATS] == repeats


@pytest.mark.parametrize(
    ("filters", "width", "expected"),
    [
        (32, 1.0, 32),
        (12, 1.0, 16),  # halfway: up
        (20, 1.0, 24),
        (11, 1.0, 16),  # 8 would lose more than a tenth
        (35, 1.0, 32),  # 32 loses 8.6 %: allowed
        (36, 1.0, 40),
        (32, 0.1, 8),  # never below one multiple
        (1, 1.0, 8),
        (40, 1.1, 48),  # 44 is halfway
        (80, 1.1, 88),  # 88.00000000000001
    ],
)
def test_filters_are_rounded_to_multiples_of_eight(filters, width, expected):
    rounded = round_filters(filters, width)
    assert rounded == expected
    assert isinstance(rounded, int)


def test_rounding_never_loses_more_than_a_tenth_and_never_gains_more_than_a_multiple():
    for filters in range(1, 400):
        for width in (0.25, 0.5, 1.0, 1.1, 1.4, 2.2, 4.3):
            rounded = round_filters(filters, width)
            assert rounded % 8 == 0
            assert rounded >= 0.9 * filters * width
            assert rounded <= max(8, filters * width + 8)


def test_another_divisor_is_used():
    assert round_filters(100, 1.0, depth_divisor=16) == 96
    assert round_filters(3, 1.0, depth_divisor=16) == 16


@pytest.mark.parametrize(
    ("repeats", "depth", "expected"),
    [(1, 1.0, 1), (1, 1.1, 2), (4, 1.1, 5), (3, 2.0, 6), (4, 0.25, 1), (1, 0.1, 1)],
)
def test_repeats_are_rounded_up(repeats, depth, expected):
    assert round_repeats(repeats, depth) == expected


@pytest.mark.parametrize("name", DROP_CONNECT)
def test_the_survival_ramp_is_the_recorded_one(name):
    recorded = DROP_CONNECT[name]["survival_prob_per_block"]
    final = PARAMS[name]["survival_prob"]
    ramp = [survival_probability(index, len(recorded), final) for index in range(len(recorded))]
    assert ramp == pytest.approx(recorded, rel=1e-15)
    assert ramp[0] == 1.0


def test_a_coefficient_is_returned_as_float():
    value = check_coefficient("width_coefficient", 2)
    assert value == 2.0
    assert isinstance(value, float)


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "1", None, True, [1.0]])
def test_what_is_no_coefficient_is_refused(value):
    with pytest.raises(UsageError) as error:
        check_coefficient("depth_coefficient", value)
    expected = f"depth_coefficient must be a positive number, received {value!r}."
    assert str(error.value) == expected
