"""The compiled program is the right program: its StableHLO, run on the CPU, beside our own step.

Float32, so that differences are rounding; on a TPU the same functions compute in bfloat16.
"""

from typing import Any

import pytest
from tpu.children import MISSING, json_lines

pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no StableHLO on the CPU: {MISSING}")
TOLERANCE = 1e-4
TABLES = {"weights", "mean_square", "momentum", "average", "step"}

# Of TensorFlow and of JAX: each program runs once, so that fast code takes longer than it saves.
FAST = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}


@pytest.fixture(scope="module")
def one_replica() -> dict[str, dict[str, Any]]:
    return {line["case"]: line for line in json_lines("child_replay.py", "v5litepod-1", **FAST)}


def check(line: dict[str, Any]) -> None:
    assert line["loss"] > 1.0
    assert line["loss_off"] <= TOLERANCE * line["loss"]
    assert set(line["updates_off"]) == TABLES
    assert max(line["updates_off"].values()) <= TOLERANCE, line  # relative to the largest update


def test_loss_and_update_of_two_parts_are_those_of_the_eager_step(one_replica: Any) -> None:
    line = one_replica["masks False, parts 2"]
    check(line)
    assert line["loss"] == line["later_loss"]


def test_with_masks_they_are_those_of_the_step_under_xla(one_replica: Any) -> None:
    # TensorFlow's own generators give other numbers than XLA's, so eager masks would differ.
    line = one_replica["masks True, parts 1"]
    check(line)
    assert line["loss"] != line["later_loss"]


def test_four_replicas_are_one_with_four_times_the_images() -> None:
    (line,) = json_lines("child_replay.py", "v4-8", **FAST)
    check(line)
    assert line["apart"] == 0.0  # synchronised: all replicas have the same variables afterwards
