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


def check(line: dict[str, Any]) -> None:
    assert line["loss"] > 1.0
    assert line["loss_off"] <= TOLERANCE * line["loss"]
    assert set(line["updates_off"]) == TABLES
    assert max(line["updates_off"].values()) <= TOLERANCE, line  # relative to the largest update


def test_loss_and_update_of_two_parts_with_masks_are_those_of_the_eager_step() -> None:
    (line,) = json_lines("child_replay.py", "v5litepod-1", **FAST)
    check(line)
    assert line["loss"] != line["later_loss"]  # each step draws masks of its own


def test_four_replicas_are_one_with_four_times_the_images() -> None:
    (line,) = json_lines("child_replay.py", "v4-8", **FAST)
    check(line)
    assert line["apart"] == 0.0  # synchronised: all replicas have the same variables afterwards
