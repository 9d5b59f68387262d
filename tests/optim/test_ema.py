"""The average of the weights, against sequences recorded from the official code."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.optim.ema import ema_decay, ema_enabled, ema_update

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED = json.loads((GOLDEN / "optim_regularisation_ema.json").read_text())["ema"]
STARTS = sorted(RECORDED)
FORMULA = "decay_formula_min(.9999,(1+n)/(10+n))_n=global_step_after_increment"


def test_recorded_starts():
    assert STARTS == ["start0", "start120000", "start5000"]
    assert RECORDED["start0"]["global_step"][0] == 1  # the first update sees the moved counter


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("of_tensors", [False, True])
@pytest.mark.parametrize("variable", ["w", "moving_mean"])
def test_averages_follow_the_recorded_sequence(start, of_tensors, variable):
    entry = RECORDED[start]
    average = np.array(entry["shadow_initial"][["w", "moving_mean"].index(variable)], np.float32)

    def update(average, value, step):
        return ema_update(average, value, ema_decay(step))

    in_graph = tf.function(update, autograph=False, reduce_retracing=True)
    for step, value, expected in zip(
        entry["global_step"], entry[variable], entry[f"{variable}_ema"], strict=True
    ):
        value = np.array(value, np.float32)
        if of_tensors:
            average = in_graph(average, value, tf.constant(step, tf.int64)).numpy()
        else:
            average = update(average, value, step)
        np.testing.assert_allclose(
            average, expected, rtol=1e-6, atol=1e-7, err_msg=f"diverges at step {step}"
        )


@pytest.mark.parametrize("start", STARTS)
def test_decays_are_those_of_the_formula_and_those_measured(start):
    entry = RECORDED[start]
    of_integers = [ema_decay(step) for step in entry["global_step"]]
    of_tensors = [float(ema_decay(tf.constant(step, tf.int64))) for step in entry["global_step"]]
    np.testing.assert_allclose(of_integers, entry[FORMULA], rtol=1e-12)
    np.testing.assert_allclose(of_tensors, entry[FORMULA], rtol=1e-6)
    # Measured from float32 differences, the worse the nearer the average is to its value.
    np.testing.assert_allclose(of_integers, entry["decay_measured"], rtol=3e-6)


def test_ramp_ends_at_step_89990():
    assert ema_decay(1) == pytest.approx(2 / 11)
    assert ema_decay(89_989) < 0.9999
    assert ema_decay(89_990) == pytest.approx(0.9999, rel=1e-12)
    assert ema_decay(350_000) == 0.9999


def test_bound_can_be_lowered():
    assert ema_decay(1000, decay=0.5) == 0.5
    assert float(ema_decay(tf.constant(1000), decay=0.5)) == 0.5


@pytest.mark.parametrize("step", [3, np.int64(3)])
def test_an_integer_gives_a_float(step):
    assert type(ema_decay(step)) is float


def test_a_tensor_or_variable_gives_a_float32_scalar():
    for step in (tf.constant(3, tf.int64), tf.Variable(3, dtype=tf.int64)):
        decay = ema_decay(step)
        assert isinstance(decay, tf.Tensor)
        assert decay.dtype == tf.float32
        assert decay.shape == ()


def test_zero_and_below_switch_the_average_off():
    assert ema_enabled(0.9999)
    assert not ema_enabled(0.0)
    assert not ema_enabled(-1.0)


@pytest.mark.parametrize("decay", [1.0, 1.5, float("nan")])
def test_a_decay_that_never_moves_is_refused(decay):
    with pytest.raises(UsageError, match=r"must be below 1; received .* Use 0\.9999"):
        ema_enabled(decay)
    with pytest.raises(UsageError, match="must be below 1"):
        ema_decay(1, decay=decay)


def test_no_decay_for_a_run_without_average():
    with pytest.raises(UsageError, match=r"switched off by its decay; received 0\.0\. Use 0\.9999"):
        ema_decay(1, decay=0.0)
