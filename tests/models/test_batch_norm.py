"""Batch normalisation against its definition in float64, in training and inference."""

import numpy as np
import pytest
import tensorflow as tf
from fake_engine import RUNS, FakeEngine, features

from efficientnet_tf.models.engine import use_engine
from efficientnet_tf.models.layers import BatchNormalization

EPSILON, MOMENTUM = 1e-3, 0.99
# Each function and its slope, float64.
ACTIVATIONS = {
    None: (lambda y: y, lambda y: np.ones_like(y)),
    "relu": (lambda y: np.maximum(y, 0), lambda y: (y > 0) * 1.0),
    "relu6": (lambda y: np.clip(y, 0, 6), lambda y: ((y > 0) & (y < 6)) * 1.0),
    "swish": (
        lambda y: y / (1 + np.exp(-y)),
        lambda y: (1 + y * (1 - 1 / (1 + np.exp(-y)))) / (1 + np.exp(-y)),
    ),
}


def reference_batch_norm(x, gamma, beta, upstream, activation):
    """Output, moments and gradients of sum(upstream * output), all float64."""
    act, slope = ACTIVATIONS[activation]
    x, upstream = x.astype(np.float64), upstream.astype(np.float64)
    axes = (0, 1, 2)
    mean, variance = x.mean(axes), x.var(axes)
    root = np.sqrt(variance + EPSILON)
    normal = (x - mean) / root
    y = gamma * normal + beta
    dy = upstream * slope(y)
    dnormal = dy * gamma
    dx = (dnormal - dnormal.mean(axes) - normal * (dnormal * normal).mean(axes)) / root
    gradients = dx, (dy * normal).sum(axes), dy.sum(axes)
    return act(y), mean, variance, gradients


def batch_norm(channels=6, seed=1, **kwargs):
    random = np.random.default_rng(seed)
    layer = BatchNormalization(**kwargs)
    layer.build((None, None, None, channels))
    values = {
        "gamma": random.uniform(0.5, 1.5, channels),
        "beta": random.uniform(-1, 1, channels),
        "moving_mean": random.uniform(-1, 1, channels),
        "moving_variance": random.uniform(0.5, 2, channels),
    }
    for name, value in values.items():
        getattr(layer, name).assign(value.astype(np.float32))
    return layer, {name: value.astype(np.float32) for name, value in values.items()}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("run", RUNS)
def test_batch_norm_in_training(activation, graph, run):
    layer, values = batch_norm(activation=activation)
    x = features()
    upstream = np.random.default_rng(2).standard_normal(x.shape).astype(np.float32)

    def step(x):
        with RUNS[run](), tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y * upstream)
        return y, tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

    y, gradients = (tf.function(step) if graph else step)(tf.constant(x))
    expected, mean, variance, expected_gradients = reference_batch_norm(
        x, values["gamma"], values["beta"], upstream, activation
    )
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    # The biased variance, as the official training class.
    for moving, batch in (("moving_mean", mean), ("moving_variance", variance)):
        wanted = MOMENTUM * values[moving] + (1 - MOMENTUM) * batch
        np.testing.assert_allclose(getattr(layer, moving).numpy(), wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_batch_norm_in_inference_uses_and_keeps_the_moving_statistics(activation):
    layer, values = batch_norm(activation=activation)
    x = features()
    root = np.sqrt(values["moving_variance"].astype(np.float64) + EPSILON)
    y = values["gamma"] * (x - values["moving_mean"].astype(np.float64)) / root + values["beta"]
    expected = ACTIVATIONS[activation][0](y)
    for output in (layer(x), layer(x, training=False)):
        np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    for name, value in values.items():
        np.testing.assert_array_equal(getattr(layer, name).numpy(), value)


def test_gradients_of_batch_norm_in_inference():
    layer, values = batch_norm(activation="swish")
    x = features()
    upstream = np.random.default_rng(2).standard_normal(x.shape)
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        loss = tf.reduce_sum(layer(tensor, training=False) * upstream.astype(np.float32))
    found = tape.gradient(loss, [tensor, layer.gamma.value, layer.beta.value])
    root = np.sqrt(values["moving_variance"].astype(np.float64) + EPSILON)
    normal = (x - values["moving_mean"].astype(np.float64)) / root
    dy = upstream * ACTIVATIONS["swish"][1](values["gamma"] * normal + values["beta"])
    wanted = dy * values["gamma"] / root, (dy * normal).sum((0, 1, 2)), dy.sum((0, 1, 2))
    for gradient, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
        )


@pytest.mark.parametrize("run", RUNS)
def test_a_frozen_batch_norm_is_in_inference_also_in_training(run):
    layer, values = batch_norm(activation="relu")
    x = features()
    expected = layer(x, training=False)
    layer.trainable = False
    with RUNS[run]():
        np.testing.assert_array_equal(layer(x, training=True), expected)
    for name, value in values.items():
        np.testing.assert_array_equal(getattr(layer, name).numpy(), value)


@pytest.mark.parametrize("run", RUNS)
def test_momentum_and_epsilon_are_used(run):
    layer, values = batch_norm(momentum=0.6, epsilon=0.5)
    x = features()
    with RUNS[run]():
        y = layer(x, training=True)
    mean, variance = x.mean((0, 1, 2), np.float64), x.var((0, 1, 2), np.float64)
    expected = values["gamma"] * (x - mean) / np.sqrt(variance + 0.5) + values["beta"]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    wanted = 0.6 * values["moving_mean"] + 0.4 * mean
    np.testing.assert_allclose(layer.moving_mean.numpy(), wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("run", RUNS)
def test_one_pixel_and_one_example_have_no_variance(run):
    layer, values = batch_norm()
    with RUNS[run]():
        y = layer(features((1, 1, 1, 6)), training=True)
    np.testing.assert_allclose(y[0, 0, 0], values["beta"], atol=1e-4)
    wanted = MOMENTUM * values["moving_variance"]
    np.testing.assert_allclose(layer.moving_variance.numpy(), wanted, rtol=1e-5)


def test_bfloat16_features_are_normalised_in_float32():
    layer, values = batch_norm(activation="swish", dtype="mixed_bfloat16")
    x = tf.cast(features(), tf.bfloat16)
    y = layer(x, training=True)
    assert y.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    exact = tf.cast(x, tf.float32).numpy().astype(np.float64)
    expected, mean, variance, _ = reference_batch_norm(
        exact, values["gamma"], values["beta"], np.zeros_like(exact), "swish"
    )
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected, rtol=2**-7, atol=2**-9)
    wanted = MOMENTUM * values["moving_mean"] + (1 - MOMENTUM) * mean
    np.testing.assert_allclose(layer.moving_mean.numpy(), wanted, rtol=1e-6, atol=1e-7)
    wanted = MOMENTUM * values["moving_variance"] + (1 - MOMENTUM) * variance
    np.testing.assert_allclose(layer.moving_variance.numpy(), wanted, rtol=1e-6)


def test_moments_of_the_engine_take_the_place_of_the_batchs_own():
    layer, values = batch_norm()
    x = features()
    mean = np.linspace(-1, 1, 6, dtype=np.float32)
    variance = np.linspace(0.5, 2, 6, dtype=np.float32)
    engine = FakeEngine(moments=(tf.constant(mean), tf.constant(variance + mean**2)))
    with use_engine(engine):
        y = layer(x, training=True)
    expected = values["gamma"] * (x - mean) / np.sqrt(variance + EPSILON) + values["beta"]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    wanted = MOMENTUM * values["moving_mean"] + (1 - MOMENTUM) * mean
    np.testing.assert_allclose(layer.moving_mean.numpy(), wanted, rtol=1e-5, atol=1e-6)
    wanted = MOMENTUM * values["moving_variance"] + (1 - MOMENTUM) * variance
    np.testing.assert_allclose(layer.moving_variance.numpy(), wanted, rtol=1e-5)
