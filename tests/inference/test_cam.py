"""Class activation maps against their definitions, and the pictures made of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.inference.cam import ActivationMapper, class_number, find_head, find_map
from efficientnet_tf.inference.cam_figure import SIDE, coloured, fitted, overlay, scaled, sheet
from efficientnet_tf.zoo import create_model

SMALL = {"resolution": 64, "width_coefficient": 0.1, "classes": 7}


def images(size: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def awake(model: keras.Model) -> keras.Model:
    """Random statistics, biases and classifier, as if it were trained."""
    random = np.random.default_rng(1)
    for weight in model.weights:
        name = weight.path.rsplit("/", 1)[-1]
        if name in ("beta", "moving_mean", "bias"):
            weight.assign(random.normal(0, 0.5, weight.shape))
        elif name in ("gamma", "moving_variance"):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif weight.path.startswith("predictions"):
            weight.assign(random.normal(0, 1, weight.shape))
    return model


@pytest.fixture(scope="module")
def network(tiny_network: Callable[..., keras.Model]) -> keras.Model:
    return awake(tiny_network(resolution=32, classifier_activation="softmax"))


@pytest.mark.parametrize("name", ["mobilenet-v2", "resnet-50", "efficientnet-lite0"])
def test_the_mean_of_the_map_and_the_bias_are_the_logit(name: str) -> None:
    model = awake(create_model(name, **SMALL))
    twin = create_model(name, **SMALL, classifier_activation=None)
    twin.set_weights(model.get_weights())
    batch = images(64)
    logits = twin(batch, training=False).numpy()
    result = ActivationMapper(model)(batch)
    bias = model.get_layer("predictions").bias.numpy()
    assert result.maps.shape == (3, 2, 2)
    assert list(result.classes) == list(logits.argmax(axis=1))
    means = result.maps.mean(axis=(1, 2)) + bias[result.classes]
    assert np.abs(means - logits.max(axis=1)).max() <= 1e-4 * max(1, np.abs(logits).max())
    shares = model(batch, training=False).numpy().max(axis=1)
    assert result.probabilities == pytest.approx(shares, abs=1e-5)


def test_every_class_has_its_own_map(network: keras.Model) -> None:
    mapper, batch = ActivationMapper(network), images(32, 2)
    one, other = mapper(batch, 3), mapper(batch, [3, 5])
    bias = network.get_layer("predictions").bias.numpy()
    for result in (one, other):
        means = result.maps.mean(axis=(1, 2)) + bias[result.classes]
        assert means == pytest.approx(result.logits[range(2), result.classes], abs=1e-4)
    assert list(one.classes) == [3, 3]
    assert list(other.classes) == [3, 5]
    assert one.maps[0] == pytest.approx(other.maps[0])
    assert np.abs(one.maps[1] - other.maps[1]).max() > 1e-2


def test_grad_cam_at_the_last_map_is_the_positive_part_of_cam(network: keras.Model) -> None:
    batch = images(32)
    cam = ActivationMapper(network)(batch).maps
    grad_cam = ActivationMapper(network, "grad-cam")(batch).maps
    pixels = cam.shape[1] * cam.shape[2]
    assert (cam > 0).any()
    assert grad_cam == pytest.approx(np.maximum(cam, 0) / pixels, abs=1e-5)


def test_grad_cam_of_a_block_follows_its_definition(network: keras.Model) -> None:
    """Against the rest of the network, cut out by hand and differentiated."""
    batch = images(32, 1)
    result = ActivationMapper(network, "grad-cam", "block_0")(batch, 4)
    symbolic = find_map(network, "block_0")
    head = find_head(network)
    first = keras.Model(network.input, symbolic)
    rest = keras.Model(symbolic, head.pooled)
    values = tf.Variable(first(batch, training=False))
    with tf.GradientTape() as tape:
        logit = (rest(values, training=False) @ head.dense.kernel + head.dense.bias)[0, 4]
    alpha = tape.gradient(logit, values).numpy().mean(axis=(1, 2))
    expected = np.maximum((values.numpy() * alpha[:, None, None]).sum(axis=-1), 0)
    assert result.maps.shape == expected.shape == (1, 8, 8)
    assert expected.max() > 0
    assert result.maps == pytest.approx(expected, abs=1e-5 * float(expected.max()))


def test_a_frozen_model_and_names_of_layers(network: keras.Model) -> None:
    batch = images(32, 1)
    before = ActivationMapper(network, "grad-cam", "reduction_1")(batch).maps
    network.trainable = False
    try:
        after = ActivationMapper(network, "grad-cam", "reduction_1")(batch).maps
    finally:
        network.trainable = True
    assert before == pytest.approx(after)
    assert ActivationMapper(network, "grad-cam", "stem_conv")(batch).maps.shape == (1, 16, 16)


def test_a_model_of_the_user_with_frozen_parts_and_no_bias() -> None:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(5, 3, activation="relu"),
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(4, use_bias=False),
            layers.Softmax(),
        ]
    )
    result = ActivationMapper(model)(images(16))
    chosen = result.logits[range(3), result.classes]
    assert result.maps.shape == (3, 14, 14)
    assert result.maps.mean(axis=(1, 2)) == pytest.approx(chosen, abs=1e-3)
    shares = model(images(16), training=False).numpy()
    assert result.probabilities == pytest.approx(shares.max(axis=1), abs=1e-5)


def test_reduced_precision_gives_maps_in_float32(tiny_network: Any) -> None:
    model = awake(tiny_network(resolution=32, dtype="mixed_bfloat16"))
    result = ActivationMapper(model)(images(32))
    assert result.maps.dtype == np.float32
    bias = model.get_layer("predictions").bias.numpy()
    chosen = result.logits[range(3), result.classes]
    means = result.maps.mean(axis=(1, 2)) + bias[result.classes]
    assert means == pytest.approx(chosen, abs=0.05)  # the pooling rounds to bfloat16
    assert ActivationMapper(model, "grad-cam", "block_0")(images(32)).maps.dtype == np.float32


class Subclassed(keras.Model):
    """A model that says nothing of its inside."""


def test_models_without_the_needed_end_are_refused(network: keras.Model) -> None:
    layers = keras.layers
    bare = create_model("mobilenet-v2", **{**SMALL, "classes": 2}, include_top=False)
    with pytest.raises(UsageError, match="ends in a Dense layer.*include_top=True"):
        ActivationMapper(bare)
    with pytest.raises(UsageError, match="ends in something else"):
        ActivationMapper(Subclassed(name="own"))
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3, name="only")(inputs))
    peaks = keras.Model(inputs, layers.Dense(3)(x), name="peaks")
    with pytest.raises(UsageError, match="peaks has no global average pooling.*--layer=NAME"):
        ActivationMapper(peaks)
    assert ActivationMapper(peaks, "grad-cam", "only")(images(8)).maps.shape == (3, 6, 6)


@pytest.mark.parametrize(
    ("method", "layer", "message"),
    [
        ("gradcam", None, 'must be one of cam, grad-cam, received "gradcam".*"grad-cam"'),
        ("cam", "block_0", "--layer goes with --method=grad-cam"),
        ("grad-cam", "block_00", 'has no layer or endpoint "block_00".*Did you mean "block_0"'),
        ("grad-cam", "zzzz", "Blocks and maps: stem, .*block_1"),
        ("grad-cam", "pooled_features", "is no map .*Give a layer before the pooling"),
    ],
)
def test_wrong_methods_and_layers_are_refused(
    network: keras.Model, method: str, layer: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        ActivationMapper(network, method, layer)


def test_a_class_that_is_not_there_is_refused(network: keras.Model) -> None:
    with pytest.raises(UsageError, match="--class must be from 0 to 9, received 10"):
        ActivationMapper(network)(images(32), 10)


def test_classes_are_asked_for_by_name_or_number() -> None:
    names = ["cat", "3", "dog", "hen"]
    assert [class_number(asked, names, 4) for asked in ("dog", "2", "3", None)] == [2, 2, 1, None]
    assert class_number("3", None, 4) == 3
    for asked in ("4", "-1", "cats"):
        with pytest.raises(UsageError, match=f'number from 0 to 3, received "{asked}"'):
            class_number(asked, names, 4)
    with pytest.raises(UsageError, match='Did you mean "cat"'):
        class_number("cats", names, 4)


def test_scaled_maps_run_from_0_to_1() -> None:
    assert scaled(np.array([[-2.0, 0.0], [1.0, 2.0]])) == pytest.approx(
        np.array([[0, 0.5], [0.75, 1]])
    )
    assert not scaled(np.full((2, 2), 3.0)).any()


def test_cold_is_blue_and_hot_is_red() -> None:
    (cold, hot) = coloured(np.array([[0.0, 1.0]]))[0]
    assert list(cold) == [0, 0, 128]
    assert list(hot) == [128, 0, 0]


def test_the_overlay_colours_the_crop_alone_and_in_place() -> None:
    picture = np.full((40, 60, 3), 100, np.uint8)
    values = np.zeros((2, 2))
    values[1, 0] = 5.0  # lower left
    drawn = overlay(picture, (10, 20, 20, 20), values)
    outside = np.ones((40, 60), bool)
    outside[10:30, 20:40] = False
    assert (drawn[outside] == 100).all()
    assert list(drawn[29, 20]) == [114, 50, 50]  # halfway to (128, 0, 0)
    assert list(drawn[10, 39]) == [50, 50, 114]
    assert (picture == 100).all(), "the picture itself is unchanged"


@pytest.mark.parametrize("shape", [(1000, 500), (30, 90), (1, 2000)])
def test_pictures_are_fitted_with_their_boxes(shape: tuple[int, int]) -> None:
    height, width = shape
    picture = np.zeros((height, width, 3), np.uint8)
    small, (top, left, tall, wide) = fitted(picture, (0, width // 2, height, width - width // 2))
    assert max(small.shape[:2]) == SIDE
    assert left == pytest.approx(small.shape[1] / 2, abs=1)
    assert (top, tall) == (0, small.shape[0])
    assert left + wide <= small.shape[1]
    overlay(small, (top, left, tall, wide), np.eye(2))


def test_a_sheet_has_a_column_for_each_model(tmp_path: Path) -> None:
    cell = np.zeros((SIDE // 2, SIDE, 3), np.uint8)
    long = "a name that is much too long, with letters such as 熊 " * 5
    page = sheet(["image", "one", "two"], [[(cell, long)] * 3, [(cell, "x")] * 3])
    pixels = np.asarray(page)
    assert pixels.shape[1] == 3 * (SIDE + 8) + 8
    black = (pixels == 0).all(axis=2)
    # 100 rows into the first picture: three of them, with white between.
    assert black[100].sum() == 3 * SIDE
    assert (pixels[:, :8] == 255).all(), "text stays inside its column"
