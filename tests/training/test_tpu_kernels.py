"""The TPU's training kernels, compiled by XLA, against the plain definitions in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS

from efficientnet_tf.models.engine import use_engine
from efficientnet_tf.training import tpu_kernels
from efficientnet_tf.training.distribution import ReplicaEngine
from efficientnet_tf.zoo import create_model

EPSILON = 1e-3


def normal(shape: tuple[int, ...], seed: int, mean: float = 0.0) -> np.ndarray:
    return np.random.RandomState(seed).normal(mean, 1.0, shape).astype(np.float32)


def as_bfloat16(value: np.ndarray) -> np.ndarray:
    return value.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32)


def swish(z: tf.Tensor) -> tf.Tensor:
    return z * tf.sigmoid(z)


@pytest.fixture(autouse=True)
def _short_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batches below shall be large enough for what is done with large ones."""
    monkeypatch.setattr(tpu_kernels, "LANES", 4)


# ---- the plain definitions


def plain_batch_norm(x: Any, gamma: Any, beta: Any, activated: bool) -> tf.Tensor:
    """Moments and arithmetic in float32 at least, as models/layers.py does it."""
    wide = x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, [0, 1, 2])
    z = (wide - mean) / tf.sqrt(variance + tf.cast(EPSILON, wide.dtype)) * gamma + beta
    z = tf.cast(z, x.dtype)
    return swish(z) if activated else z


def plain_excitation(x: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
    return x * gate_of(tf.reduce_mean(x, [1, 2]), *weights)[:, tf.newaxis, tf.newaxis]


def gate_of(squeezed: Any, reduce: Any, reduce_bias: Any, expand: Any, expand_bias: Any) -> Any:
    return tf.sigmoid(swish(squeezed @ reduce + reduce_bias) @ expand + expand_bias)


def fast_batch_norm(x: Any, gamma: Any, beta: Any, activated: bool) -> tf.Tensor:
    return tpu_kernels.batch_norm(x, gamma, beta, EPSILON, swish=activated)[0]


def fast_excitation(x: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
    return tpu_kernels.squeeze_excitation(x, gate_of, *weights)


def plain_pointwise(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


# ---- chains of layers: chain(layers, *tensors)

PLAIN = (plain_pointwise, plain_batch_norm, plain_excitation)
FAST = (tpu_kernels.pointwise_conv, fast_batch_norm, fast_excitation)
Layers = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


def norm(layers: Layers, x: Any, gamma: Any, beta: Any) -> Any:
    return layers[1](x, gamma, beta, False)


def norm_swish(layers: Layers, x: Any, gamma: Any, beta: Any) -> Any:
    return layers[1](x, gamma, beta, True)


def conv_norm(layers: Layers, x: Any, gamma: Any, beta: Any, kernel: Any) -> Any:
    return layers[1](layers[0](x, kernel), gamma, beta, False)


def conv_norm_swish(layers: Layers, x: Any, gamma: Any, beta: Any, kernel: Any) -> Any:
    return layers[1](layers[0](x, kernel), gamma, beta, True)


def excitation(layers: Layers, x: Any, *weights: Any) -> Any:
    return layers[2](x, *weights)


def norm_swish_excitation(layers: Layers, x: Any, gamma: Any, beta: Any, *weights: Any) -> Any:
    return layers[2](layers[1](x, gamma, beta, True), *weights)


def conv_norm_swish_excitation(
    layers: Layers, x: Any, gamma: Any, beta: Any, kernel: Any, *weights: Any
) -> Any:
    return layers[2](layers[1](layers[0](x, kernel), gamma, beta, True), *weights)


def residuals(layers: Layers, x: Any, *weights: Any) -> Any:
    """Blocks of conv, norm and residual, then the wide convolution that makes their sum again."""
    *narrow, gamma, beta, kernel = weights
    for index in range(0, len(narrow), 3):
        branch = layers[1](layers[0](x, narrow[index + 2]), *narrow[index : index + 2], False)
        x = x + branch / tf.cast(2.0, x.dtype)
    wide = layers[1](layers[0](x, kernel), gamma, beta, True)
    return tf.concat([wide, x], axis=3)  # the sum goes on, else the norm would cancel each beta


def affine(channels: int) -> list[np.ndarray]:
    return [normal((channels,), 1, mean=1.0), normal((channels,), 2)]


def kernel(before: int, after: int) -> list[np.ndarray]:
    return [normal((1, 1, before, after), 3) / before**0.5]


def gate_weights(channels: int) -> list[np.ndarray]:
    return [
        normal((channels, 3), 4) / channels**0.5,
        normal((3,), 5),
        normal((3, channels), 6),
        normal((channels,), 7),
    ]


MAPS = normal((4, 7, 5, 6), 0, mean=0.5)
CHAINS: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "norm": (norm, affine(6)),
    "norm_swish": (norm_swish, affine(6)),
    "widening_conv_norm": (conv_norm, affine(24) + kernel(6, 24)),
    "widening_conv_norm_swish": (conv_norm_swish, affine(24) + kernel(6, 24)),
    "narrowing_conv_norm": (conv_norm, affine(3) + kernel(6, 3)),
    "excitation": (excitation, gate_weights(6)),
    "norm_swish_excitation": (norm_swish_excitation, affine(6) + gate_weights(6)),
    "all": (conv_norm_swish_excitation, affine(24) + kernel(6, 24) + gate_weights(24)),
    "residuals": (residuals, 4 * (affine(6) + kernel(6, 6)) + affine(24) + kernel(6, 24)),
}


def with_gradients(
    chain: Callable[..., Any],
    layers: Layers,
    arguments: list[Any],
    engine: Any = None,
    compiled: bool = True,
) -> list[np.ndarray]:
    """Output of the chain, and the gradients of its product with fixed numbers, float64."""

    def run(*tensors: tf.Tensor) -> Any:
        with use_engine(engine), tf.GradientTape() as tape:
            tape.watch(tensors)
            output = chain(layers, *tensors)
            weights = tf.cast(as_bfloat16(normal(tuple(output.shape), 99, mean=0.3)), output.dtype)
            total = tf.reduce_sum(output * weights)
        return output, *tape.gradient(total, tensors)

    call = tf.function(run, jit_compile=True, autograph=False) if compiled else run
    return [tf.cast(value, tf.float64).numpy() for value in call(*arguments)]


def tensors(arguments: list[np.ndarray], dtype: str) -> list[tf.Tensor]:
    """Weights of batch norm, the vectors before a gate's, are float32 in every policy."""
    is_gate = [value.ndim == 2 for value in arguments]
    before_gate = is_gate.index(True) if True in is_gate else len(arguments)
    return [
        tf.cast(value, "float32" if value.ndim == 1 and index < before_gate else dtype)
        for index, value in enumerate(arguments)
    ]


def errors(found: list[np.ndarray], wanted: list[np.ndarray]) -> list[float]:
    """Of each tensor, by the norm of all of its elements."""
    return [
        float(np.linalg.norm(one - other) / np.linalg.norm(other))
        for one, other in zip(found, wanted, strict=True)
    ]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CHAINS)
def test_values_and_gradients_of_chains(name: str, dtype: str) -> None:
    chain, weights = CHAINS[name]
    arguments = [as_bfloat16(value) for value in (MAPS, *weights)]
    wide = [tf.constant(value, tf.float64) for value in arguments]
    exact = with_gradients(chain, PLAIN, wide, compiled=False)
    fast = errors(with_gradients(chain, FAST, tensors(arguments, dtype)), exact)
    plain = errors(with_gradients(chain, PLAIN, tensors(arguments, dtype)), exact)
    if dtype == "float32":
        # Through five convolutions the plain layers, too, lose more. Measured for these: plain
        # 2.6e-6, fast 5.8e-6 on TensorFlow 2.21; 2.9e-6, 1.07e-5 on 2.19.
        assert max(fast) < max(1e-5, 5 * max(plain))
    else:  # about what the plain layers lose by rounding to bfloat16
        assert max(fast) < 1.5 * max(plain)
        assert max(plain) < 0.1  # else this says nothing


@pytest.mark.parametrize(
    ("batch", "filters", "reads_narrow"), [(4, 24, True), (3, 24, False), (4, 6, False)]
)
def test_only_a_large_batch_behind_a_widening_convolution_takes_the_first_identity(
    batch: int, filters: int, reads_narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    function = tpu_kernels._convolution_gradients

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(tpu_kernels, "_convolution_gradients", counted)
    arguments = [MAPS[:batch], *affine(filters), *kernel(6, filters)]
    with_gradients(conv_norm_swish, FAST, tensors(arguments, "float32"))
    assert bool(calls) == reads_narrow


def test_mean_and_variance_are_those_of_the_batch() -> None:
    x = normal((2, 3, 3, 4), 0, mean=2.0)
    _, mean, variance = tpu_kernels.batch_norm(
        tf.constant(x), tf.ones(4), tf.zeros(4), EPSILON, swish=True
    )
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var(axis=(0, 1, 2), dtype=np.float64), rtol=1e-5)


class Averaging:
    """Stands for a batch-norm group: its average, too, is linear and its own adjoint."""

    kernels = tpu_kernels
    averages_moments = True

    def average_moments(self, *moments: tf.Tensor) -> list[tf.Tensor]:
        return [0.5 * each + 0.5 * tf.reduce_mean(each) for each in moments]


@pytest.mark.parametrize("name", ["norm_swish", "widening_conv_norm_swish", "all"])
def test_averaged_moments_have_averaged_gradients(name: str) -> None:
    """Against the plain layer's own arithmetic, which TensorFlow differentiates."""
    chain, weights = CHAINS[name]
    arguments = tensors([MAPS, *weights], "float32")
    engine = Averaging()

    def averaged(x: Any, gamma: Any, beta: Any, activated: bool) -> tf.Tensor:
        mean, squares = tf.reduce_mean(x, [0, 1, 2]), tf.reduce_mean(x * x, [0, 1, 2])
        mean, squares = engine.average_moments(mean, squares)
        z = (x - mean) * tf.math.rsqrt(squares - mean * mean + EPSILON) * gamma + beta
        return swish(z) if activated else z

    plain = with_gradients(chain, (plain_pointwise, averaged, plain_excitation), arguments)
    fast = with_gradients(chain, FAST, arguments, engine)
    assert max(errors(fast, plain)) < 1e-5


# ---- networks

NETWORKS = {
    "efficientnet-b0": TWO_BLOCKS,
    "efficientnet-lite0": ("r1_k3_s22_e6_i32_o24",),
    "efficientnet-edgetpu-S": ("r2_k3_s22_e4_i32_o24_c1",),
}


def small(name: str, dtype: str = "float32") -> Any:
    return create_model(
        name,
        blocks_args=NETWORKS[name],
        width_coefficient=0.25,
        resolution=16,
        classes=7,
        classifier_activation=None,
        dtype=dtype,
    )


def gradients_of(model: Any, kernels: Any) -> Any:
    """A function that XLA compiles: the gradients of one training pass of the model."""
    images = tf.constant(np.random.RandomState(0).uniform(0, 255, (8, 16, 16, 3)), tf.float32)

    @tf.function(jit_compile=True, autograph=False)
    def run() -> Any:
        engine = ReplicaEngine(0, tf.constant(3, tf.int64), kernels=kernels)
        with use_engine(engine), tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(images, training=True)))
        return tape.gradient(loss, model.trainable_variables)

    return run


@pytest.mark.usefixtures("smooth_activations")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_the_same_with_and_without_them(name: str) -> None:
    model = small(name)
    start = [weight.numpy() for weight in model.weights]

    def run(kernels: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        for weight, value in zip(model.weights, start, strict=True):
            weight.assign(value)
        found = [gradient.numpy() for gradient in gradients_of(model, kernels)()]
        return found, [weight.numpy() for weight in model.non_trainable_weights]

    plain_gradients, plain_statistics = run(None)
    fast_gradients, fast_statistics = run(tpu_kernels)
    largest = max(np.abs(gradient).max() for gradient in plain_gradients)
    for one, other in zip(fast_gradients, plain_gradients, strict=True):
        # What a following batch norm cancels is rounding noise, a millionth of the largest.
        tolerance = 1e-5 * np.abs(other).max() + 1e-6 * largest
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)
    for one, other in zip(fast_statistics, plain_statistics, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_every_chain_of_a_network_is_found(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notes reach the next layer through Keras; without them nothing would be saved."""
    calls = {"_convolution_gradients": 0, "_excite_normalized": 0}

    def counted(name: str) -> Callable[..., Any]:
        function = getattr(tpu_kernels, name)

        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        return call

    for name in calls:
        monkeypatch.setattr(tpu_kernels, name, counted(name))
    model = small("efficientnet-b0", dtype)
    gradients_of(model, tpu_kernels).get_concrete_function()
    # One block expands, then the head; both squeeze and excite.
    assert calls == {"_convolution_gradients": 2, "_excite_normalized": 2}
