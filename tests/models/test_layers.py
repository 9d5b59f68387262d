"""Input normalisation, squeeze and excitation, convolutions; layers from their configuration."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from fake_engine import RUNS, features

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.layers import (
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    ImageNormalization,
    SqueezeExcitation,
    StochasticDepth,
)


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
