"""The CPU's training kernels against the plain definitions in float64, values and gradients."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.models.engine import use_engine
from efficientnet_tf.training import cpu_kernels
from efficientnet_tf.training.distribution import ReplicaEngine, kernels_for
from efficientnet_tf.zoo import create_model

TOLERANCE = 1e-5  # of the largest element


def normal(shape: tuple[int, ...], seed: int, mean: float = 0.0) -> np.ndarray:
    return np.random.RandomState(seed).normal(mean, 1.0, shape).astype(np.float32)


def with_gradients(
    function: Callable[..., Any], arguments: list[np.ndarray], dtype: Any, *, graph: bool
) -> list[np.ndarray]:
    """The first output of `function`, and the gradients of its product with fixed numbers."""

    def run(*tensors: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            output = function(*tensors)
            output = output[0] if isinstance(output, tuple) else output
            weights = tf.constant(normal(tuple(output.shape), 99), dtype)
            total = tf.reduce_sum(output * weights)
        return output, *tape.gradient(total, tensors)

    call = tf.function(run, autograph=False) if graph else run
    return [value.numpy() for value in call(*(tf.constant(a, dtype) for a in arguments))]


def assert_same(
    fast: Callable[..., Any],
    plain: Callable[..., Any],
    arguments: list[np.ndarray],
    tolerance: float = TOLERANCE,
) -> None:
    expected = with_gradients(plain, arguments, tf.float64, graph=False)
    for graph in (False, True):
        got = with_gradients(fast, arguments, tf.float32, graph=graph)
        for number, (one, other) in enumerate(zip(got, expected, strict=True)):
            scale = np.abs(other).max()
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale, err_msg=number)


def plain_batch_norm(swish: bool) -> Callable[..., Any]:
    def run(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        z = (x - mean) / tf.sqrt(variance + tf.constant(1e-3, x.dtype)) * gamma + beta
        return z * tf.sigmoid(z) if swish else z

    return run


@pytest.mark.parametrize("swish", [True, False])
@pytest.mark.parametrize("shape", [(4, 7, 7, 24), (2, 16, 16, 8), (3, 1, 1, 40), (8, 5, 3, 1)])
def test_batch_norm(shape: tuple[int, ...], swish: bool) -> None:
    channels = shape[-1:]
    arguments = [normal(shape, 0, mean=0.5), normal(channels, 1, mean=1.0), normal(channels, 2)]
    assert_same(
        lambda *a: cpu_kernels.batch_norm(*a, 1e-3, swish=swish), plain_batch_norm(swish), arguments
    )


def test_batch_norm_returns_the_mean_and_the_biased_variance() -> None:
    x = normal((2, 3, 3, 4), 0, mean=2.0)
    _, mean, variance = cpu_kernels.batch_norm(
        tf.constant(x), tf.ones(4), tf.zeros(4), 1e-3, swish=True
    )
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var(axis=(0, 1, 2), dtype=np.float64), rtol=1e-5)


def gate_of(squeezed: Any, reduce: Any, reduce_bias: Any, expand: Any, expand_bias: Any) -> Any:
    hidden = tf.matmul(squeezed, reduce) + reduce_bias
    return tf.sigmoid(tf.matmul(hidden * tf.sigmoid(hidden), expand) + expand_bias)


@pytest.mark.parametrize("shape", [(3, 8, 8, 12), (2, 7, 7, 20), (2, 1, 1, 6), (2, 13, 11, 4)])
def test_squeeze_excitation(shape: tuple[int, ...]) -> None:
    channels, squeezed = shape[-1], 3
    weights = [
        normal((channels, squeezed), 1),
        normal((squeezed,), 2),
        normal((squeezed, channels), 3),
        normal((channels,), 4),
    ]

    def plain(x: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
        gate = gate_of(tf.reduce_mean(x, [1, 2]), *weights)
        return x * gate[:, tf.newaxis, tf.newaxis]

    assert_same(
        lambda x, *weights: cpu_kernels.squeeze_excitation(x, gate_of, *weights),
        plain,
        [normal(shape, 0), *weights],
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 5, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 4), (7, 7), (8, 9), (16, 16)])
def test_depthwise_convolution(size: tuple[int, int], kernel: int, stride: int) -> None:
    def plain(x: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        return tf.nn.depthwise_conv2d(x, weights, [1, stride, stride, 1], "SAME")

    assert_same(
        lambda x, weights: cpu_kernels.depthwise_conv(x, weights, stride),
        plain,
        [normal((2, *size, 6), 0), normal((kernel, kernel, 6, 1), 1)],
    )


def test_pointwise_convolution() -> None:
    assert_same(
        cpu_kernels.pointwise_conv,
        lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "SAME"),
        [normal((2, 5, 7, 12), 0), normal((1, 1, 12, 8), 1)],
    )


@pytest.mark.usefixtures("smooth_activations")
@pytest.mark.parametrize(
    ("name", "seed"),
    [("efficientnet-b0", 0), ("efficientnet-lite0", 1), ("efficientnet-edgetpu-S", 2)],
)
def test_a_network_trains_the_same_with_and_without_them(name: str, seed: int) -> None:
    keras.utils.set_random_seed(seed)
    model = create_model(
        name,
        width_coefficient=0.25,
        depth_coefficient=0.5,
        resolution=40,
        classes=7,
        classifier_activation=None,
    )
    images = tf.constant(np.random.RandomState(0).uniform(0, 255, (8, 40, 40, 3)), tf.float32)
    start = [weight.numpy() for weight in model.weights]

    def run(kernels: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        for weight, value in zip(model.weights, start, strict=True):
            weight.assign(value)
        with use_engine(ReplicaEngine(0, tf.constant(3, tf.int64), kernels=kernels)):
            with tf.GradientTape() as tape:
                logits = model(images, training=True)
                loss = tf.reduce_sum(tf.square(logits))
            gradients = tape.gradient(loss, model.trainable_variables)
        values = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
        return values, [weight.numpy() for weight in model.non_trainable_weights]

    plain_gradients, plain_statistics = run(None)
    fast_gradients, fast_statistics = run(cpu_kernels)
    largest = max(np.abs(gradient).max() for gradient in plain_gradients)
    for one, other in zip(fast_gradients, plain_gradients, strict=True):
        # What a following batch norm cancels is rounding noise, a millionth of the largest.
        tolerance = 1e-3 * np.abs(other).max() + 1e-6 * largest
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)
    for one, other in zip(fast_statistics, plain_statistics, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_only_cpus_get_them() -> None:
    assert kernels_for(tf.distribute.OneDeviceStrategy("/cpu:0")) is cpu_kernels
    assert kernels_for(tf.distribute.OneDeviceStrategy("/gpu:0")) is None
