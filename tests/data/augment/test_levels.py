"""Policy and levels against the official tables (golden/autoaugment.json)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientnet_tf.data.augment.levels import (
    LEVELS,
    OPERATIONS,
    POLICY_V0,
    RANDAUGMENT_LEVELS,
    SIGNED,
    check_policy,
    check_randaugment,
    fixed_translation,
)
from efficientnet_tf.errors import UsageError

TABLES = json.loads((Path(__file__).parents[2] / "golden" / "autoaugment.json").read_text())


def test_policy_is_the_official_one() -> None:
    recorded = tuple(tuple(map(tuple, sub_policy)) for sub_policy in TABLES["policy_v0"])
    assert recorded == POLICY_V0
    check_policy(POLICY_V0)


def test_operations_are_the_official_ones_in_order() -> None:
    assert list(OPERATIONS) == TABLES["randaugment_ops"]
    assert sorted(SIGNED) == sorted(TABLES["randomly_negated"])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("table", "levels"), [("autoaugment", LEVELS), ("randaugment", RANDAUGMENT_LEVELS)]
)
def test_levels_are_the_official_ones(table: str, levels: Any, operation: str) -> None:
    record = TABLES[f"levels_{table}"]
    assert set(levels) == set(OPERATIONS)
    for level, arguments in zip(record["levels"], record["args"][operation], strict=True):
        argument = levels[operation](level)
        # Some are recorded as float32, which is what the image operations get.
        mine = [] if argument is None else [np.float32(argument)]
        assert mine == [np.float32(recorded) for recorded in arguments], level


def test_fixed_translations_are_a_limited_share_of_the_side() -> None:
    for level, share in ((0, 0), (5, 75 / 331), (10, 150 / 331), (28, 150 / 331)):
        assert fixed_translation(level) == pytest.approx(share)


def single(operation: str, level: float, probability: float = 1.0) -> Any:
    return [[(operation, probability, level)]]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ([], r"policy must have sub-policies, all of one length .*, received lengths \[\]"),
        ([[]], r"received lengths \[0\]"),
        ([[("Invert", 1, 0)], [("Invert", 1, 0)] * 2], r"received lengths \[1, 2\]. Fill up with"),
        (
            single("Equalise", 1),
            r"policy must name .*, received 'Equalise'. Did you mean \"Equalize\"",
        ),
        (single("Rotate", 1, 1.1), "probabilities from 0 to 1 .*, received 1.1 and 1 for Rotate"),
        (single("Rotate", -1), "levels from 0 on, received 1.0 and -1 for Rotate"),
    ],
)
def test_policies_that_cannot_be(policy: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_policy(policy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0, 10), "num_layers must be a whole number of at least 1, received 0"),
        ((1.5, 10), "num_layers must be a whole number of at least 1, received 1.5"),
        ((True, 10), "num_layers must be a whole number of at least 1, received True"),
        ((2, -1), "magnitude must be from 0 on; 10 is the scale's top, received -1"),
        ((2, float("nan")), "magnitude must be from 0 on; .*, received nan"),
        ((2, "high"), "magnitude must be from 0 on; .*, received 'high'"),
    ],
)
def test_randaugment_options_out_of_range(options: Any, message: str) -> None:
    check_randaugment(1, 0)
    check_randaugment(3, 28.5)
    with pytest.raises(UsageError, match=message):
        check_randaugment(*options)
