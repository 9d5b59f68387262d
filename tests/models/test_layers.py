"""The layers of the family against float64 references, recorded values and statistics."""

import json
import zlib
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.engine import current_engine, use_engine
from efficientnet_tf.models.layers import (
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    ImageNormalization,
    SqueezeExcitation,
    StochasticDepth,
)
from efficientnet_tf.training.distribution import kernels_for

GOLDEN = Path(__file__).parents[1] / "golden"
EXAMPLE = json.loads((GOLDEN / "drop_connect_and_l2.json").read_text())["drop_connect_example"]
EPSILON, MOMENTUM = 1e-3, 0.99


class FakeEngine:
    """Answers with given numbers, or with numbers that depend on (seed, layer) alone."""

    def __init__(self, seed=0, uniform=None, moments=None, kernels=None):
        self.seed, self.given, self.moments = seed, uniform, moments
        self.kernels = kernels
        self.asked = []

    def uniform(self, shape, layer_id):
        self.asked.append((tuple(int(side) for side in shape), layer_id))
        if self.given is not None:
            return tf.reshape(tf.constant(self.given, tf.float32), shape)
        return tf.random.stateless_uniform(shape, [self.seed, layer_id])

    @property
    def averages_moments(self):
        return self.moments is not None

    def average_moments(self, mean, mean_of_squares):
        return (mean, mean_of_squares) if self.moments is None else self.moments


# What a layer computes in training must not depend on who runs the step: a user's own `fit`, ours,
# or ours with the kernels of this machine.
RUNS = {
    "fit": nullcontext,
    "step": lambda: use_engine(FakeEngine()),
    "step_with_kernels": lambda: use_engine(
        FakeEngine(kernels=kernels_for(tf.distribute.OneDeviceStrategy("/cpu:0")))
    ),
}


def features(shape=(3, 5, 7, 6), seed=0, mean=0.7):
    """Channels of different mean and spread, [batch, height, width, channels]."""
    random = np.random.default_rng(seed)
    spread = np.linspace(0.2, 3.0, shape[-1])
    return (mean + spread * random.standard_normal(shape)).astype(np.float32)


# ---- activations of the references, float64

ACTIVATIONS = {
    None: (lambda y: y, lambda y: np.ones_like(y)),
    "relu": (lambda y: np.maximum(y, 0), lambda y: (y > 0) * 1.0),
    "relu6": (lambda y: np.clip(y, 0, 6), lambda y: ((y > 0) & (y < 6)) * 1.0),
    "swish": (
        lambda y: y / (1 + np.exp(-y)),
        lambda y: (1 + y * (1 - 1 / (1 + np.exp(-y)))) / (1 + np.exp(-y)),
    ),
}


# ---- input normalisation


def test_images_are_normalised_per_channel_on_the_scale_of_bytes():
    layer = ImageNormalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    image = np.array([[[[0, 0, 0], [255, 255, 255], [124, 116, 104]]]], np.uint8)
    expected = [
        [-2.117904, -2.035714, -1.804444],
        [2.248908, 2.428571, 2.640000],
        [0.005566, -0.004902, 0.008192],
    ]
    np.testing.assert_allclose(layer(image)[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16", "bfloat16", "int32"])
def test_normalised_images_are_float32_whatever_comes_in(dtype):
    layer = ImageNormalization((127.0,) * 3, (128.0,) * 3)
    image = np.arange(48).reshape(1, 4, 4, 3)
    output = layer(tf.cast(image, dtype))
    assert output.dtype == tf.float32
    np.testing.assert_array_equal(output, (image - 127) / 128)


def test_normalisation_stays_in_float32_under_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = ImageNormalization((123.675,) * 3, (58.395,) * 3)
    finally:
        keras.config.set_dtype_policy("float32")
    output = layer(np.full((1, 1, 1, 3), 200, np.uint8))
    assert output.dtype == tf.float32
    np.testing.assert_allclose(output, (200 - 123.675) / 58.395, rtol=1e-6)


# ---- batch normalisation


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


# ---- squeeze and excitation


@pytest.mark.parametrize("activation", ["swish", "relu", "relu6"])
@pytest.mark.parametrize("run", RUNS)
def test_squeeze_excitation_equals_its_two_convolutions(activation, run):
    """The reference: two keras.layers.Conv2D on the spatial mean, in float64."""
    random = np.random.default_rng(4)
    x = features((2, 5, 4, 12))
    layer = SqueezeExcitation(3, activation=activation)
    layer.build(x.shape)
    reduce = keras.layers.Conv2D(3, 1, dtype="float64")
    expand = keras.layers.Conv2D(12, 1, dtype="float64")
    act = {"swish": keras.ops.silu, "relu": keras.ops.relu, "relu6": keras.ops.relu6}[activation]

    def reference(x):
        return x * keras.ops.sigmoid(expand(act(reduce(keras.ops.mean(x, (1, 2), keepdims=True)))))

    reference(tf.constant(x, tf.float64))
    own = [layer.reduce_kernel, layer.reduce_bias, layer.expand_kernel, layer.expand_bias]
    theirs = [reduce.kernel, reduce.bias, expand.kernel, expand.bias]
    for mine, other in zip(own, theirs, strict=True):
        assert tuple(mine.shape) == tuple(other.shape)
        value = random.standard_normal(mine.shape).astype(np.float32)
        mine.assign(value)
        other.assign(value)
    upstream = random.standard_normal(x.shape).astype(np.float32)
    results = []

    def in_training(x):
        return layer(x, training=True)

    for call, weights, dtype in ((in_training, own, tf.float32), (reference, theirs, tf.float64)):
        tensor = tf.constant(x, dtype)
        with RUNS[run](), tf.GradientTape() as tape:
            tape.watch(tensor)
            y = call(tensor)
            loss = tf.reduce_sum(y * tf.cast(upstream, dtype))
        results.append([y, *tape.gradient(loss, [tensor, *(w.value for w in weights)])])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_allclose(layer(x, training=False), results[1][0], rtol=1e-5, atol=1e-6)


def test_squeeze_excitation_takes_images_of_any_size():
    layer = SqueezeExcitation(2)
    model = keras.Sequential([keras.Input((None, None, 8)), layer])
    for side in (1, 3, 6):
        assert model(features((2, side, side + 1, 8))).shape == (2, side, side + 1, 8)


def test_squeeze_excitation_computes_in_the_precision_of_its_policy():
    layer = SqueezeExcitation(4, dtype="mixed_bfloat16")
    x = features((2, 6, 6, 16))
    y = layer(x)
    assert y.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    exact = SqueezeExcitation(4)
    exact.build(x.shape)
    exact.set_weights(layer.get_weights())
    np.testing.assert_allclose(tf.cast(y, tf.float32), exact(x), rtol=0.05, atol=0.02)


# ---- convolutions


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    ("ours", "reference", "arguments", "sides"),
    [
        (Conv2D, keras.layers.Conv2D, {"filters": 5, "kernel_size": 1}, (6, 7)),
        (Conv2D, keras.layers.Conv2D, {"filters": 5, "kernel_size": 3, "strides": 2}, (7, 6)),
        (Conv2D, keras.layers.Conv2D, {"filters": 5, "kernel_size": 1, "strides": 2}, (5, 5)),
        *(
            (
                DepthwiseConv2D,
                keras.layers.DepthwiseConv2D,
                {"kernel_size": kernel, "strides": strides},
                sides,
            )
            for kernel in (3, 5)
            for strides in (1, 2, (1, 1))
            for sides in ((6, 7), (9, 8), (1, 1), (2, 3))
        ),
    ],
)
def test_convolutions_are_those_of_keras(ours, reference, arguments, sides, run):
    arguments = {**arguments, "padding": "same", "use_bias": False}
    random = np.random.default_rng(6)
    x = random.standard_normal((2, *sides, 8)).astype(np.float32)
    layer, exact = ours(**arguments), reference(**arguments, dtype="float64")
    exact.build(x.shape)
    layer.build(x.shape)
    kernel = random.standard_normal(exact.kernel.shape).astype(np.float32)
    layer.kernel.assign(kernel)
    exact.kernel.assign(kernel)
    upstream = None
    results = []
    for call, dtype in ((lambda x: layer(x, training=True), "float32"), (exact, "float64")):
        tensor = tf.constant(x, dtype)
        weight = (layer if dtype == "float32" else exact).kernel.value
        with RUNS[run](), tf.GradientTape() as tape:
            tape.watch(tensor)
            y = call(tensor)
            if upstream is None:
                upstream = random.standard_normal(y.shape)
            loss = tf.reduce_sum(y * tf.cast(upstream, dtype))
        results.append([y, *tape.gradient(loss, [tensor, weight])])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(layer(x, training=False), results[1][0], rtol=1e-4, atol=2e-5)


# ---- random masks


@pytest.mark.parametrize("survival_prob", [0.8, 0.9875, 0.3])
def test_stochastic_depth_keeps_whole_examples_at_its_rate(survival_prob):
    batch = 40_000
    layer = StochasticDepth(survival_prob, name="block2b_drop")
    with use_engine(FakeEngine(seed=3)):
        y = layer(tf.ones((batch, 2, 1, 3)), training=True).numpy()
    kept = y[:, 0, 0, 0] > 0
    np.testing.assert_allclose(y[kept], 1 / survival_prob, rtol=1e-6)
    np.testing.assert_array_equal(y[~kept], 0.0)
    sigma = np.sqrt(survival_prob * (1 - survival_prob) / batch)
    assert abs(kept.mean() - survival_prob) < 5 * sigma


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_drops_single_numbers_at_its_rate(rate):
    layer = Dropout(rate, name="top_dropout")
    with use_engine(FakeEngine(seed=3)):
        y = layer(tf.ones((200, 300)), training=True).numpy()
    kept = y > 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    sigma = np.sqrt(rate * (1 - rate) / y.size)
    assert abs(kept.mean() - (1 - rate)) < 5 * sigma
    # Single numbers: rows and columns are cut nowhere as a whole.
    assert 0 < kept.mean(axis=0).min() < kept.mean(axis=0).max() < 1
    assert 0 < kept.mean(axis=1).min() < kept.mean(axis=1).max() < 1


LAYERS = {
    "dropout": (lambda name=None: Dropout(0.3, name=name), (64, 50)),
    "stochastic_depth": (lambda name=None: StochasticDepth(0.7, name=name), (512, 1, 1, 2)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_without_an_engine_keras_draws_and_the_rate_is_the_same(kind):
    make, shape = LAYERS[kind]
    keras.utils.set_random_seed(11)
    layer = make()
    first, second = (layer(tf.ones(shape), training=True).numpy() for _ in range(2))
    assert (first != second).any()
    draws = np.prod(shape) if kind == "dropout" else shape[0]
    assert abs((first > 0).mean() - 0.7) < 5 * np.sqrt(0.21 / draws)
    np.testing.assert_allclose(first[first > 0], 1 / 0.7, rtol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_masks_depend_on_seed_and_layer_name_alone(kind):
    make, shape = LAYERS[kind]

    def mask(name, seed):
        with use_engine(FakeEngine(seed=seed)):
            return make(name)(tf.ones(shape), training=True).numpy() > 0

    np.testing.assert_array_equal(mask("block2b_drop", 1), mask("block2b_drop", 1))
    assert (mask("block2b_drop", 1) != mask("block2c_drop", 1)).any()
    assert (mask("block2b_drop", 1) != mask("block2b_drop", 2)).any()


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_asks_the_engine_once_under_a_number_made_from_its_name(kind):
    make, shape = LAYERS[kind]
    engine = FakeEngine()
    with use_engine(engine):
        make("block2b_drop")(tf.ones(shape), training=True)
    wanted = shape if kind == "dropout" else (shape[0], 1, 1, 1)
    assert engine.asked == [(wanted, zlib.crc32(b"block2b_drop") % 2**31)]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("training", [False, None])
def test_inference_drops_nothing(kind, training):
    make, shape = LAYERS[kind]
    x = features((*shape[:-1], shape[-1]))
    engine = FakeEngine()
    with use_engine(engine):
        np.testing.assert_array_equal(make()(x, training=training), x)
    assert engine.asked == []


@pytest.mark.parametrize("layer", [Dropout(0.0), StochasticDepth(1.0)])
def test_a_layer_that_drops_nothing_asks_for_nothing(layer):
    x = features((4, 2, 2, 3))
    engine = FakeEngine()
    with use_engine(engine):
        np.testing.assert_array_equal(layer(x, training=True), x)
    assert engine.asked == []


def test_stochastic_depth_repeats_the_recorded_example():
    layer = StochasticDepth(EXAMPLE["survival_prob"])
    with use_engine(FakeEngine(uniform=EXAMPLE["u"])):
        y = layer(np.array(EXAMPLE["x"], np.float32), training=True)
    np.testing.assert_array_equal(y, np.array(EXAMPLE["y"], np.float32))


def test_bfloat16_is_dropped_at_the_exact_rate():
    """The draw is float32 whatever the features are: no rate is rounded to bfloat16."""
    layer = StochasticDepth(0.9875, dtype="mixed_bfloat16")
    draw = np.array([0.0120, 0.0124, 0.0126, 0.0130], np.float32)
    with use_engine(FakeEngine(uniform=draw)):
        y = layer(tf.ones((4, 1, 1, 1), tf.bfloat16), training=True)
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(y, tf.float32)[:, 0, 0, 0] > 0, [0, 0, 1, 1])


def test_the_engine_ends_with_its_block():
    assert current_engine() is None
    outer, inner = FakeEngine(), FakeEngine()
    with use_engine(outer):
        with use_engine(inner):
            assert current_engine() is inner
        assert current_engine() is outer
        with pytest.raises(UsageError), use_engine(inner):
            BatchNormalization(activation="gelu")
        assert current_engine() is outer
    assert current_engine() is None


# ---- configuration


@pytest.mark.parametrize(
    "layer",
    [
        ImageNormalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), name="a"),
        BatchNormalization(momentum=0.9, epsilon=0.01, activation="relu6", name="b"),
        SqueezeExcitation(7, activation="relu", dtype="mixed_bfloat16", name="c"),
        Dropout(0.35, name="d"),
        StochasticDepth(0.85, trainable=False, name="e"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_is_made_again_from_its_configuration(layer):
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    copy = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(copy) is type(layer)
    assert json.dumps(keras.saving.serialize_keras_object(copy)) == text
    for name in ("mean", "std", "momentum", "epsilon", "activation", "filters", "rate"):
        assert getattr(copy, name, None) == getattr(layer, name, None), name
    assert getattr(copy, "survival_prob", None) == getattr(layer, "survival_prob", None)
    assert (copy.name, copy.trainable) == (layer.name, layer.trainable)


@pytest.mark.parametrize("activation", ["gelu", "Swish", "", 3])
@pytest.mark.parametrize("make", [BatchNormalization, lambda **kw: SqueezeExcitation(4, **kw)])
def test_an_unknown_activation_is_refused(make, activation):
    with pytest.raises(UsageError) as error:
        make(activation=activation)
    expected = (
        f'activation must be one of "swish", "relu6", "relu" or None, received {activation!r}.'
    )
    assert str(error.value) == expected
