"""The learning rate, against rates recorded from the official code and facts worked out by hand."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.optim.schedule import KINDS, Schedule, scaled_learning_rate

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "tests/golden/optim_lr_schedules.json").read_text())["schedules"]


def recorded_schedule(name):
    entry = RECORDED[name]
    return Schedule(
        kind={"poly": "polynomial"}.get(entry["kind"], entry["kind"]),
        peak=entry["scaled_lr"],
        steps_per_epoch=entry["steps_per_epoch"],
        # The exponential does not look at it, and its entries without warm-up do not have it.
        total_steps=entry.get("total_steps", entry["steps"][-1]),
        warmup_epochs=entry["warmup_epochs"],
        decay_epochs=entry["decay_epochs"],
        decay_factor=entry["decay_factor"],
        end=0.1,
    )


def recipe(**changes):
    """The paper's schedule at a batch of 2048."""
    return Schedule(
        **{
            "kind": "exponential",
            "peak": 0.128,
            "steps_per_epoch": 1281167 / 2048,
            "total_steps": 218949,
            **changes,
        }
    )


def in_graph(schedule, steps):
    """Rates computed inside a tf.function from int64 tensors, as the training loop does."""
    rate = tf.function(
        schedule.__call__, input_signature=[tf.TensorSpec([], tf.int64)], autograph=False
    )
    return np.array([rate(tf.constant(step, tf.int64)).numpy() for step in steps], np.float64)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_integers_give_the_recorded_rates(name):
    schedule, entry = recorded_schedule(name), RECORDED[name]
    rates = [schedule(step) for step in entry["steps"]]
    np.testing.assert_allclose(rates, entry["lr"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_tensors_give_the_recorded_rates(name):
    schedule, entry = recorded_schedule(name), RECORDED[name]
    rates = in_graph(schedule, entry["steps"])
    np.testing.assert_allclose(rates, entry["lr"], rtol=1e-6, atol=0)


def test_recorded_periods():
    entry = RECORDED["exponential_2048"]
    schedule = recorded_schedule("exponential_2048")
    assert schedule.warmup_steps == entry["warmup_steps"] == 3127
    assert schedule.decay_steps == pytest.approx(entry["decay_steps"], rel=1e-7)


def test_decay_has_run_under_the_warmup():
    schedule = recipe()
    assert schedule(0) == 0.0
    assert schedule(3126) == pytest.approx(0.128 * 3126 / 3127, rel=1e-6)
    assert schedule(3127) == pytest.approx(0.128 * 0.97**2, rel=1e-6)
    assert schedule(218949) == pytest.approx(0.128 * 0.97**145, rel=1e-5)


@pytest.mark.parametrize("kind", ["exponential", "cosine", "constant"])
def test_first_rate_without_warmup_is_the_peak(kind):
    assert recipe(kind=kind, warmup_epochs=0)(0) == pytest.approx(0.128, rel=1e-7)


def test_polynomial_counts_at_least_one_step():
    schedule = recipe(kind="polynomial", warmup_epochs=0, total_steps=9)
    assert schedule(0) == schedule(1) == pytest.approx(0.128 * 0.9**2, rel=1e-6)


@pytest.mark.parametrize("period", [41.0, 41.5, 47.0, 83.0, 100.0])
def test_stairs_come_at_their_step_where_float32_reciprocals_round_down(period):
    schedule = recipe(
        peak=1.0, steps_per_epoch=period, decay_epochs=1.0, warmup_epochs=0, decay_factor=0.5
    )
    stairs = list(range(2, 60, 2))
    edges = [int(stair * period) for stair in stairs]
    steps = [step for edge in edges for step in (edge - 1, edge)]
    expected = [rate for stair in stairs for rate in (0.5 ** (stair - 1), 0.5**stair)]
    np.testing.assert_allclose([schedule(step) for step in steps], expected, rtol=1e-6)
    np.testing.assert_allclose(in_graph(schedule, steps), expected, rtol=1e-6)


@pytest.mark.parametrize("staircase", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_integers_and_tensors_agree_to_the_last_step(kind, staircase):
    schedule = recipe(
        kind=kind, steps_per_epoch=7.3, total_steps=400, decay_epochs=1.7, staircase=staircase
    )
    steps = range(410)
    of_integers = [schedule(step) for step in steps]
    # The cosine is 1 + cos(x): near its end one ulp of the cosine is 6e-8 of the peak.
    np.testing.assert_allclose(in_graph(schedule, steps), of_integers, rtol=1e-6, atol=1e-8)


def test_without_staircase_the_decay_is_smooth():
    rate = recipe(staircase=False)(10000)
    assert rate == pytest.approx(0.128 * 0.97 ** (10000 / (2.4 * 1281167 / 2048)), rel=1e-6)


def test_cosine_stays_at_its_end():
    schedule = recipe(kind="cosine", total_steps=6000)
    assert schedule(4500) == pytest.approx(0.064 * (1 + math.cos(0.75 * math.pi)), rel=1e-6)
    assert schedule(6000) == schedule(9000) == pytest.approx(0.0, abs=1e-8)


def test_polynomial_ends_at_zero_unless_told():
    assert recipe(kind="polynomial")(218949) == pytest.approx(0.0, abs=1e-8)
    assert recipe(kind="polynomial")(300000) == 0.0
    assert recipe(kind="polynomial", end=0.1)(300000) == pytest.approx(0.1, rel=1e-6)


def test_polynomial_power():
    schedule = recipe(kind="polynomial", power=1.0, warmup_epochs=0, total_steps=99)
    assert schedule(25) == pytest.approx(0.128 * 0.75, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warmup_epochs", [0, 5])
def test_a_tensor_or_variable_gives_a_float32_scalar(kind, warmup_epochs):
    schedule = recipe(kind=kind, warmup_epochs=warmup_epochs)
    for step in (tf.constant(40000, tf.int64), tf.Variable(40000, dtype=tf.int64)):
        rate = schedule(step)
        assert isinstance(rate, tf.Tensor)
        assert rate.dtype == tf.float32
        assert rate.shape == ()
        assert float(rate) == pytest.approx(schedule(40000), rel=1e-6)


@pytest.mark.parametrize("step", [7, np.int64(7)])
def test_an_integer_gives_a_float(step):
    assert type(recipe()(step)) is float


def test_options_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe().peak = 1.0


def test_unknown_kind_names_the_nearest():
    message = r"kind must be one of .*; received 'exponental'\. Did you mean \"exponential\""
    with pytest.raises(UsageError, match=message):
        recipe(kind="exponental")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("peak", 0.0),
        ("peak", float("nan")),
        ("peak", float("inf")),
        ("steps_per_epoch", 0.0),
        ("total_steps", 0),
        ("warmup_epochs", -1.0),
        ("decay_epochs", 0.0),
        ("decay_factor", 0.0),
        ("decay_factor", 1.01),
        ("end", -0.1),
        ("power", 0.0),
    ],
)
def test_out_of_range_options_are_named(option, value):
    with pytest.raises(UsageError, match=f"^{option} must be .*; received {value!r}\\. [A-Z]"):
        recipe(**{option: value})


def test_polynomial_needs_room_after_the_warmup():
    with pytest.raises(UsageError, match=r"warmup_epochs must be at most 4\.99 .*received 5\.0"):
        recipe(kind="polynomial", steps_per_epoch=100.2, total_steps=500)
    recipe(kind="exponential", steps_per_epoch=100.2, total_steps=500)


def test_learning_rate_scales_with_the_batch():
    assert scaled_learning_rate(0.016, 256) == 0.016
    assert scaled_learning_rate(0.016, 2048) == pytest.approx(0.128)
    assert scaled_learning_rate(0.016, 4096) == pytest.approx(0.256)  # the paper's section 5.2


def test_scaling_refuses_what_is_not_positive():
    with pytest.raises(UsageError, match=r"base must be a positive number; received 0\.0"):
        scaled_learning_rate(0.0, 256)
    with pytest.raises(UsageError, match=r"global_batch_size must be .* received -1"):
        scaled_learning_rate(0.016, -1)


def test_reading_an_integer_step_loads_no_framework():
    code = (
        "import sys\n"
        "from efficientnet_tf.optim.schedule import Schedule\n"
        "Schedule('cosine', 0.1, 10.0, 100)(60)\n"
        "print([name for name in ('tensorflow', 'keras', 'jax') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
