"""RMSProp, against a trajectory recorded from TF1 and against TF1's kernel."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.optim.keras_schedule import KerasSchedule
from efficientnet_tf.optim.rmsprop import (
    EPSILON,
    INITIAL_MEAN_SQUARE,
    MOMENTUM,
    RHO,
    RMSProp,
    rmsprop_update,
)
from efficientnet_tf.optim.schedule import Schedule

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def recorded():
    with np.load(GOLDEN / "optim_rmsprop.npz") as archive:
        return dict(archive)


def assert_close(actual, expected, what, step):
    # 1e-6 relative; for elements near zero, a float32 ulp of the largest element.
    np.testing.assert_allclose(
        actual,
        expected,
        rtol=1e-6,
        atol=1.2e-7 * np.abs(expected).max(),
        err_msg=f"{what} diverges at step {step}",
    )


def test_constants_are_the_recipe(recorded):
    assert (RHO, MOMENTUM, EPSILON) == (0.9, 0.9, 1e-3)
    assert np.all(recorded["rms_slot_initial"] == INITIAL_MEAN_SQUARE)


def test_pure_rule_follows_the_recorded_trajectory(recorded):
    weight, mean_square = recorded["w0"], recorded["rms_slot_initial"]
    momentum_buffer = np.zeros_like(weight)
    for step, (gradient, learning_rate) in enumerate(
        zip(recorded["grads"], recorded["lrs"], strict=True)
    ):
        weight, mean_square, momentum_buffer = rmsprop_update(
            weight, gradient, mean_square, momentum_buffer, learning_rate
        )
        assert_close(mean_square, recorded["rms"][step], "mean square", step)
        assert_close(momentum_buffer, recorded["momentum"][step], "momentum", step)
        assert_close(weight, recorded["weights"][step], "weight", step)
    assert step == 19


@pytest.mark.parametrize("in_graph", [False, True])
def test_optimizer_follows_the_recorded_trajectory(recorded, in_graph):
    weight = keras.Variable(recorded["w0"], name="w")
    optimizer = RMSProp()
    optimizer.build([weight])
    mean_square, momentum_buffer = optimizer.variables[-2:]
    assert mean_square.name.endswith("mean_square")
    assert momentum_buffer.name.endswith("momentum")

    def update(gradient):
        optimizer.apply_gradients([(gradient, weight)])

    if in_graph:
        update = tf.function(update, autograph=False)
    for step, (gradient, learning_rate) in enumerate(
        zip(recorded["grads"], recorded["lrs"], strict=True)
    ):
        optimizer.learning_rate = float(learning_rate)
        update(tf.constant(gradient))
        assert_close(mean_square.numpy(), recorded["rms"][step], "mean square", step)
        assert_close(momentum_buffer.numpy(), recorded["momentum"][step], "momentum", step)
        assert_close(weight.numpy(), recorded["weights"][step], "weight", step)
    assert int(optimizer.iterations) == 20


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("rho", [0.9, 0.99])
def test_pure_rule_equals_the_tf1_kernel_for_100_steps(rho, momentum):
    random = np.random.default_rng(5)
    shape = (3, 3, 4, 2)
    weight = random.standard_normal(shape).astype(np.float32)
    mean_square = np.ones(shape, np.float32)
    momentum_buffer = np.zeros(shape, np.float32)
    kernel = [tf.Variable(value) for value in (weight, mean_square, momentum_buffer)]
    rate = Schedule("exponential", 0.05, 10.0, 100, warmup_epochs=1.0, decay_epochs=2.0)
    for step in range(100):
        # Gradients of changing size, small ones where epsilon counts among them.
        scale = 10.0 ** random.uniform(-4, 1)
        gradient = (scale * random.standard_normal(shape)).astype(np.float32)
        tf.raw_ops.ResourceApplyRMSProp(
            var=kernel[0].handle,
            ms=kernel[1].handle,
            mom=kernel[2].handle,
            lr=rate(step),
            rho=rho,
            momentum=momentum,
            epsilon=1e-3,
            grad=gradient,
        )
        weight, mean_square, momentum_buffer = rmsprop_update(
            weight,
            gradient,
            mean_square,
            momentum_buffer,
            np.float32(rate(step)),
            rho=rho,
            momentum=momentum,
            epsilon=1e-3,
        )
        assert_close(mean_square, kernel[1].numpy(), "mean square", step)
        assert_close(momentum_buffer, kernel[2].numpy(), "momentum", step)
        assert_close(weight, kernel[0].numpy(), "weight", step)


def test_first_step_is_thirty_times_smaller_than_from_zero():
    def first_step(optimizer):
        weight = keras.Variable(np.zeros(1, np.float32))
        optimizer.apply_gradients([(np.full(1, 0.01, np.float32), weight)])
        return -float(weight.numpy()[0])

    # 0.1 * 0.01 / sqrt(0.9 + 0.1 * 0.01**2 + 1e-3), then the same from a mean square of 0.
    assert first_step(RMSProp(0.1)) == pytest.approx(0.00105, rel=5e-3)
    assert first_step(RMSProp(0.1, initial_mean_square=0.0)) == pytest.approx(0.0315, rel=5e-3)


def test_without_momentum_the_buffer_is_the_last_step():
    weight = keras.Variable(np.array([1.0, 1.0], np.float32))
    optimizer = RMSProp(0.5, rho=0.5, momentum=0.0, epsilon=0.25)
    optimizer.apply_gradients([(np.array([1.0, 0.0], np.float32), weight)])
    optimizer.apply_gradients([(np.array([0.0, 0.0], np.float32), weight)])
    moved = 0.5 * 1.0 / np.sqrt(0.5 + 0.5 + 0.25)
    np.testing.assert_allclose(weight.numpy(), [1.0 - moved, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(optimizer.variables[-1].numpy(), [0.0, 0.0])


def test_config_keeps_every_argument():
    schedule = KerasSchedule(Schedule("cosine", 0.1, 10.0, 100))
    optimizer = RMSProp(
        schedule,
        rho=0.8,
        momentum=0.7,
        epsilon=0.01,
        initial_mean_square=0.5,
        global_clipnorm=3.0,
        name="ours",
    )
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(restored, RMSProp)
    assert restored.get_config() == optimizer.get_config()
    assert (restored.rho, restored.momentum, restored.epsilon) == (0.8, 0.7, 0.01)
    assert (restored.initial_mean_square, restored.global_clipnorm) == (0.5, 3.0)


def compiled_model(optimizer):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, activation="relu", kernel_initializer=keras.initializers.Ones()),
            keras.layers.Dense(1, kernel_initializer=keras.initializers.Ones()),
        ]
    )
    model.compile(optimizer, loss="mse")
    return model


@pytest.fixture(scope="module")
def regression():
    random = np.random.default_rng(11)
    inputs = random.standard_normal((32, 4)).astype(np.float32)
    return inputs, inputs @ np.array([[0.5], [-1.0], [0.25], [2.0]], np.float32)


def test_fit_learns(regression):
    model = compiled_model(RMSProp(0.02))
    history = model.fit(*regression, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.1 * history[0]


@pytest.mark.parametrize("with_schedule", [False, True])
def test_a_saved_model_continues_with_its_slots(regression, tmp_path, with_schedule):
    rate = KerasSchedule(Schedule("exponential", 0.02, 4.0, 100)) if with_schedule else 0.02
    model = compiled_model(RMSProp(rate, rho=0.8))
    for _ in range(5):
        model.train_on_batch(*regression)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(restored.optimizer, RMSProp)
    assert int(restored.optimizer.iterations) == 5
    slots = [variable.numpy() for variable in model.optimizer.variables]
    for loaded, slot in zip(restored.optimizer.variables, slots, strict=True):
        np.testing.assert_array_equal(loaded.numpy(), slot, err_msg=loaded.name)
    model.train_on_batch(*regression)
    restored.train_on_batch(*regression)
    for continued, reference in zip(restored.weights, model.weights, strict=True):
        np.testing.assert_array_equal(continued.numpy(), reference.numpy())


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("rho", 1.0),
        ("rho", -0.1),
        ("momentum", 1.0),
        ("epsilon", 0.0),
        ("initial_mean_square", -1.0),
    ],
)
def test_out_of_range_arguments_are_named(argument, value):
    with pytest.raises(UsageError, match=f"^{argument} must be .*; received {value}.* The recipe"):
        RMSProp(**{argument: value})


def test_sparse_gradients_are_refused():
    weight = keras.Variable(np.ones((4, 2), np.float32), name="table")
    sparse = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([4, 2]))
    with pytest.raises(UsageError, match=r"gradient of .* dense tensor; received IndexedSlices"):
        RMSProp().apply_gradients([(sparse, weight)])
