"""Counts of built models against the official graphs' (params.json), and layer by layer."""

import json
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers, ops

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.profile.measure import profile
from efficientnet_tf.zoo import create_model

GOLDEN = Path(__file__).parents[2] / "golden"
PARAMS = json.loads((GOLDEN / "params.json").read_text())


# Up to half a minute, and 2 GB of weights. test_architecture counts them without building them.
HUGE = [f"efficientnet-{size}" for size in ("b5", "b6", "b7", "b8", "l2")]
SIZES = [pytest.param(name, marks=pytest.mark.slow if name in HUGE else ()) for name in PARAMS]


@pytest.mark.parametrize("name", SIZES)
def test_a_built_model_has_the_recorded_counts(name):
    recorded = PARAMS[name]
    model = create_model(name)
    found = profile(model)
    assert found.trainable_params == recorded["trainable_params"]
    assert found.total_params == recorded["total_params"] == model.count_params()
    assert found.multiply_adds == recorded["multiply_adds"]
    assert len(model.weights) == recorded["num_variables"]
    assert len(model.trainable_weights) == recorded["num_trainable_variables"]


@pytest.fixture(scope="module")
def small():
    return create_model("efficientnet-b0", resolution=40, depth_coefficient=0.1, classes=7)


def test_layers_are_counted_by_hand(small):
    lines = {line.name: line for line in profile(small).layers}
    # Stem: 3x3 kernels from 3 to 32 channels at 20 * 20 positions.
    assert lines["stem_conv"].trainable_params == 9 * 3 * 32
    assert lines["stem_conv"].multiply_adds == 9 * 3 * 32 * 400
    # Batch norm: gamma and beta are trained, the moving statistics are not.
    assert lines["stem_bn"].trainable_params == 64
    assert lines["stem_bn"].total_params == 128
    assert lines["stem_bn"].multiply_adds == 0
    # 5x5 depthwise, 24 * 6 channels, from 10 to 5.
    assert lines["block3a_dwconv"].multiply_adds == 25 * 144 * 25
    # Squeeze and excitation, 144 channels to 6 and back, on the pooled vector.
    assert lines["block3a_se"].trainable_params == 2 * 144 * 6 + 144 + 6
    assert lines["block3a_se"].multiply_adds == 2 * 144 * 6
    assert lines["predictions"].trainable_params == 1280 * 7 + 7
    assert lines["predictions"].multiply_adds == 1280 * 7
    assert lines["predictions"].kind == "Dense"
    assert lines["top_dropout"].total_params == 0


def test_a_profile_has_every_layer_in_order(small):
    found = profile(small)
    assert [layer.name for layer in found.layers] == [layer.name for layer in small.layers]
    assert found.multiply_adds == sum(layer.multiply_adds for layer in found.layers)


def test_freezing_changes_no_count(small):
    before = profile(small)
    small.trainable = False
    try:
        assert profile(small) == before
    finally:
        small.trainable = True


def test_a_head_is_not_counted_where_there_is_none():
    options = {"resolution": 40, "depth_coefficient": 0.1, "classes": 7}
    whole = profile(create_model("efficientnet-b0", **options))
    body = profile(create_model("efficientnet-b0", include_top=False, **options))
    assert whole.total_params - body.total_params == 1280 * 7 + 7
    assert whole.multiply_adds - body.multiply_adds == 1280 * 7


def test_plain_keras_layers_are_counted_too():
    model = keras.Sequential(
        [
            keras.Input((8, 6, 3)),
            keras.layers.Conv2D(5, 3, strides=2, padding="same"),
            keras.layers.DepthwiseConv2D(3, padding="same"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    assert profile(model).multiply_adds == 27 * 5 * 12 + 9 * 5 * 12 + 10


def test_activations_by_hand():
    image = keras.Input((8, 6, 3))
    x = layers.Conv2D(5, 3, strides=2, padding="same", name="conv")(image)  # 4 * 3 * 5 numbers
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Flatten(name="flat")(x)  # the same tensor
    model = keras.Model(image, layers.Dense(2, name="dense")(x))
    found = profile(model)
    assert {line.name: line.activation_bytes for line in found.layers} == {
        image._keras_history.operation.name: 0,
        "conv": 4 * 60,
        "norm": 4 * 60,
        "flat": 0,
        "dense": 4 * 2,
    }
    assert {line.name: line.output_shape for line in found.layers}["conv"] == (4, 3, 5)
    assert found.activation_bytes == 4 * 122
    assert profile(model, dtype="bfloat16").activation_bytes == 2 * 122
    assert profile(model, dtype="float64").activation_bytes == 8 * 122


def test_activations_of_weighted_layers_are_those_of_the_table():
    """`operations.count` sums the outputs of weighted operations; SE has two inside."""
    model = create_model("efficientnet-lite0")
    kinds = ("Conv2D", "DepthwiseConv2D", "Dense")
    found = sum(line.activation_bytes for line in profile(model).layers if line.kind in kinds)
    network = find_network("efficientnet-lite0").scaled(depth=1.0, width=1.0, resolution=None)
    assert found == count(network.operations(classes=1000)).activation_bytes


def test_another_resolution_is_that_of_a_model_built_for_it():
    options = {"depth_coefficient": 0.1, "classes": 7}
    wide = create_model("efficientnet-b0", resolution=72, **options)
    expected = profile(wide)
    for shape in ((40, 40, 3), (None, None, 3), (None, 72, 3)):
        other = create_model("efficientnet-b0", input_shape=shape, **options)
        assert profile(other, (72, 72, 3)) == expected


def test_a_shared_layer_costs_twice_and_weighs_once():
    image = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    model = keras.Model(image, conv(layers.AveragePooling2D(2)(conv(image))))
    line = next(line for line in profile(model).layers if line.name == "conv")
    assert (line.calls, line.total_params) == (2, 27 * 3 + 3)
    assert line.multiply_adds == 27 * 3 * (64 + 16)
    assert line.activation_bytes == 4 * 3 * (64 + 16)
    assert profile(model).total_params == model.count_params()


def test_nested_models():
    options = {"depth_coefficient": 0.1, "include_top": False, "pooling": "avg"}
    body = create_model("efficientnet-b0", input_shape=(None, None, 3), **options)
    image = keras.Input((40, 40, 3))
    head = keras.Sequential([layers.Dense(8), layers.Dense(2)], name="head")
    model = keras.Model(image, head(body(image)))
    found = profile(model)
    alone = profile(body, (40, 40, 3))
    assert found.multiply_adds == alone.multiply_adds + 1280 * 8 + 8 * 2
    assert found.total_params == model.count_params()
    assert found.activation_bytes == alone.activation_bytes + 4 * (8 + 2)
    names = {line.name for line in found.layers}
    assert {"efficientnet-b0/stem_conv", f"head/{head.layers[0].name}"} <= names


class Subclassed(keras.Model):
    """A backbone, a residual addition, a classifier, and a layer that no call reaches."""

    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.conv = layers.Conv2D(3, 3, padding="same", name="conv")
        self.dense = layers.Dense(2, name="dense")
        self.auxiliary = layers.Dense(4, name="auxiliary")
        self.auxiliary.build((None, 5))

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.dense(ops.mean(inputs + self.conv(inputs), axis=(1, 2)))


def test_a_subclassed_model():
    model = Subclassed()
    found = profile(model, input_shape=(8, 8, 3))
    assert found.multiply_adds == 27 * 3 * 64 + 3 * 2
    assert found.total_params == model.count_params() == 84 + 8 + 24
    assert found.opaque == ("Subclassed",)
    assert found.uncounted == ("Dense (never called)",)
    lines = {line.name: line.calls for line in found.layers}
    assert list(lines.values()) == [1, 1, 1, 0]
    assert found.activation_bytes == 4 * (3 * 64 + 2)


def test_several_inputs():
    image, words = keras.Input((8, 8, 3)), keras.Input((None, 4))
    pooled = [layers.GlobalMaxPooling2D()(image), layers.GlobalMaxPooling1D()(words)]
    model = keras.Model([image, words], layers.Dense(2)(layers.Concatenate()(pooled)))
    found = profile(model, [(8, 8, 3), (5, 4)])
    assert found.multiply_adds == (3 + 4) * 2
    assert [line.output_shape for line in found.layers if line.kind == "InputLayer"] == [
        (8, 8, 3),
        (5, 4),
    ]


def test_a_fixed_batch_is_divided_away():
    image = keras.Input(batch_shape=(8, 6, 6, 3))
    model = keras.Model(image, layers.Reshape((4,))(layers.Dense(4)(ops.mean(image, axis=(1, 2)))))
    found = profile(model)
    assert found.multiply_adds == 12
    assert found.activation_bytes == 4 * (3 + 4)


def test_frozen_and_moving_weights_of_any_layer():
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.Normalization(), layers.Conv2D(2, 1, trainable=False)]
    )
    found = profile(model)
    assert found.trainable_params == 3 * 2 + 2
    assert found.total_params == model.count_params() == 3 * 2 + 2 + 7


@pytest.mark.parametrize("given", [(None, 32, 3), (None, None, 3)])
def test_a_model_without_fixed_sides_cannot_be_counted(given):
    model = create_model("efficientnet-b0", depth_coefficient=0.1, input_shape=given)
    with pytest.raises(UsageError) as error:
        profile(model)
    assert str(error.value) == (
        f'model "efficientnet-b0" has no fixed input size, shape {given}; give profile() an '
        "input_shape, for example input_shape=(224, 224, 3)."
    )


def test_a_model_that_knows_no_inputs_needs_a_shape():
    for model in (Subclassed(), keras.Sequential([layers.Dense(2)], name="subclassed")):
        with pytest.raises(UsageError, match='model "subclassed" has no inputs; give profile()'):
            profile(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (224, 224)}, r"must be of the form \(40, 40, 3\), for example"),
        ({"input_shape": [(40, 40, 3)] * 2}, r"must be of the form \(40, 40, 3\), for example"),
        ({"input_shape": (40, 0, 3)}, "whole numbers above 0 without the batch axis"),
        ({"input_shape": (40, None, 3)}, "whole numbers above 0 without the batch axis"),
        ({"input_shape": (40.0, 40, 3)}, "one shape, or a list of one for each input"),
        ({"input_shape": 224}, "one shape, or a list of one for each input, .* received 224"),
        ({"input_shape": ()}, "one shape, or a list of one for each input"),
        ({"input_shape": (40, 40, 4)}, r'"stem_conv" cannot take an input of shape \(1, 40,'),
        ({"dtype": "float8"}, "dtype must be one of \"float64\", .* received 'float8'"),
    ],
)
def test_wrong_arguments(small, arguments, message):
    with pytest.raises(UsageError, match=message):
        profile(small, **arguments)


def test_only_models_are_counted():
    with pytest.raises(UsageError, match=r"model must be a keras.Model, received Dense\."):
        profile(layers.Dense(2))


class Nonzero(layers.Layer):
    """As many numbers as are not zero: nothing to count before the numbers are there."""

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, shape: Any) -> Any:
        return (None, 2)


def test_a_size_that_depends_on_the_numbers():
    image = keras.Input((3,))
    with pytest.raises(UsageError, match=r'layer "nonzero" has an output of no fixed size, .*None'):
        profile(keras.Model(image, Nonzero(name="nonzero")(image)))
