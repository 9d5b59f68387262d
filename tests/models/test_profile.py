"""Counts of built models against the official graphs' (params.json), and layer by layer."""

import json
from pathlib import Path

import keras
import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.profile import profile
from efficientnet_tf.models.registry import create_model

GOLDEN = Path(__file__).parents[1] / "golden"
PARAMS = json.loads((GOLDEN / "params.json").read_text())


# Up to half a minute, and 2 GB of weights.
HUGE = ["efficientnet-l2"]
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
    layers = {layer.name: layer for layer in profile(small).layers}
    # Stem: 3x3 kernels from 3 to 32 channels at 20 * 20 positions.
    assert layers["stem_conv"].trainable_params == 9 * 3 * 32
    assert layers["stem_conv"].multiply_adds == 9 * 3 * 32 * 400
    # Batch norm: gamma and beta are trained, the moving statistics are not.
    assert layers["stem_bn"].trainable_params == 64
    assert layers["stem_bn"].total_params == 128
    assert layers["stem_bn"].multiply_adds == 0
    # 5x5 depthwise, 24 * 6 channels, from 10 to 5.
    assert layers["block3a_dwconv"].multiply_adds == 25 * 144 * 25
    # Squeeze and excitation, 144 channels to 6 and back, on the pooled vector.
    assert layers["block3a_se"].trainable_params == 2 * 144 * 6 + 144 + 6
    assert layers["block3a_se"].multiply_adds == 2 * 144 * 6
    assert layers["predictions"].trainable_params == 1280 * 7 + 7
    assert layers["predictions"].multiply_adds == 1280 * 7
    assert layers["predictions"].kind == "Dense"
    assert layers["top_dropout"].total_params == 0


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


def test_a_model_without_fixed_sides_cannot_be_counted():
    model = create_model("efficientnet-b0", depth_coefficient=0.1, input_shape=(None, 32, 3))
    with pytest.raises(UsageError) as error:
        profile(model)
    assert str(error.value) == (
        'layer "stem_conv" has no fixed output size, shape (None, None, 16, 32); build the model '
        "with a full input_shape, for example (224, 224, 3), to count multiply-adds."
    )
