"""What create_model takes as whole numbers, tensors and classes, and what it refuses at once."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS

from efficientnet_tf import endpoints
from efficientnet_tf.errors import UsageError
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.models.profile.measure import profile
from efficientnet_tf.models.resnet import stem
from efficientnet_tf.models.staged import Stage, StagedNetwork

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")


@pytest.mark.parametrize("five", [np.int64(5), np.uint8(5), np.array(5), tf.constant(5)])
def test_whole_numbers_of_any_kind(tiny_network: Any, five: Any) -> None:
    model = tiny_network(classes=five, resolution=np.int32(16), width_coefficient=np.float32(0.1))
    assert model.output_shape == (None, 5)
    assert model.input_shape == (None, 16, 16, 3)
    assert profile(model, (np.int64(16), 16, np.uint8(3))).trainable_params > 0
    assert ExportOptions(batch=five).batch == 5
    side = tiny_network(input_shape=(np.int64(16), None, 3)).input_shape
    assert side == (None, 16, None, 3)
    staged = StagedNetwork("own", np.int64(32), (Stage(stem, np.int64(1), five, np.int8(2)),))
    assert staged.scaled(resolution=np.int16(40)).resolution == 40


@pytest.mark.parametrize(
    "value",
    [True, np.bool_(True), 5.0, np.float64(5), "5", None, 0, np.int64(-1), tf.constant(5.0)],
)
def test_what_is_no_whole_number(tiny_network: Any, value: Any) -> None:
    wrong: list[dict[str, Any]] = [{"resolution": value}, {"input_shape": (16, value, 3)}]
    if value is None:
        wrong = [{"classes": "None"}]
    else:
        wrong.append({"classes": value})
        with pytest.raises(UsageError, match="layers must be a whole number"):
            StagedNetwork("own", 32, (Stage(stem, value, 8),))
    for arguments in wrong:
        with pytest.raises(UsageError, match="classes|resolution|input_shape"):
            tiny_network(**arguments)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((16, 16, 1), "float32"),
        ((16, 16, 4), "uint8"),
        ((3, 16, 16), "float32"),
        ((16, 16, None), "float32"),
        ((16, 3), "float32"),
        ((16, 16, 3), "string"),
    ],
)
def test_a_tensor_that_is_no_image_is_refused(tiny_network: Any, shape: Any, dtype: str) -> None:
    with pytest.raises(UsageError, match=r"input_tensor must be .* received .*\n.*grey images"):
        tiny_network(input_tensor=keras.Input(shape, dtype=dtype))


def test_grey_images_as_the_message_advises(tiny_network: Any) -> None:
    grey = keras.Input((16, 16, 1), dtype="uint8")
    model = tiny_network(input_tensor=keras.layers.Concatenate()([grey] * 3))
    assert model(np.zeros((2, 16, 16, 1), "uint8")).shape == (2, 10)


def test_channels_first_is_refused(tiny_network: Any) -> None:
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(UsageError, match=r'"channels_first"\.\nCall keras\.config\.set_image'):
            tiny_network()
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("activation", ["softmax", "log_softmax", keras.activations.softmax])
def test_one_class_has_no_softmax(tiny_network: Any, activation: Any) -> None:
    with pytest.raises(UsageError, match=r"classes=1 .* always answer the same.*\nGive classes=2"):
        tiny_network(classes=1, classifier_activation=activation)
    with pytest.raises(UsageError, match="what Keras knows"):
        tiny_network(classifier_activation="softmx")


def test_one_class_with_a_sigmoid_or_without_a_head(tiny_network: Any) -> None:
    answers = tiny_network(classes=1, classifier_activation="sigmoid")(IMAGES)
    assert np.ptp(answers) > 0
    assert tiny_network(classes=1, classifier_activation=None)(IMAGES).shape == (2, 1)
    assert tiny_network(classes=1, include_top=False, pooling="avg")(IMAGES).ndim == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 10**9}, "resolution must be at most 8192"),
        ({"width_coefficient": 1e300}, "width_coefficient must be at most"),
        ({"depth_coefficient": 4000.0}, "deeper than Keras can build"),
        ({"classes": 2**50}, "parameters, more than"),
        ({"blocks_args": ["r1000000_k3_s22_e1_i32_o16"]}, 'token "r1000000" must be below'),
        ({"blocks_args": [f"r{'9' * 5000}_k3_s22_e1_i32_o16"]}, "must be below"),
        ({"blocks_args": ["r999999_k3_s22_e1_i32_o16"]}, "would have .* blocks"),
        (
            {"blocks_args": ["r1_k3_s22_e1_i32_o999999999999"]},
            'token "o999999999999" must be below',
        ),
        ({"blocks_args": ["r1_k999999_s22_e9_i99999_o99999"]}, "parameters, more than"),
    ],
)
def test_absurd_numbers_are_refused_before_anything_is_built(
    tiny_network: Any, arguments: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        tiny_network(**arguments)


def test_several_networks_on_one_tensor(tiny_network: Any) -> None:
    images = keras.Input((16, 16, 3))
    first = tiny_network(input_tensor=images, model_name="first")
    second = tiny_network(seed=1, input_tensor=images, model_name="second")
    third = tiny_network(seed=2, input_tensor=images, model_name="second")
    together = keras.Model(images, [each.output for each in (first, second, third)])
    for answers, each in zip(together(IMAGES), (first, second, third), strict=True):
        np.testing.assert_allclose(answers, each(IMAGES), rtol=1e-5, atol=1e-6)
    behind = keras.layers.Conv2D(3, 1)(first.get_layer("normalization").output)
    assert tiny_network(input_tensor=behind)(IMAGES).shape == (2, 10)


def test_weights_for_a_second_network_on_a_tensor(tiny_network: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "w.weights.h5")
    stored = tiny_network(seed=5)
    stored.save_weights(path)
    images = keras.Input((16, 16, 3))
    tiny_network(input_tensor=images)
    second = tiny_network(input_tensor=images, weights=path)
    np.testing.assert_allclose(second(IMAGES), stored(IMAGES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"classes": 7}, {"blocks_args": TWO_BLOCKS[:1]}])
def test_weights_that_do_not_fit_are_refused_in_whole_sentences(
    tiny_network: Any, tmp_path: Any, wrong: Any
) -> None:
    path = str(tmp_path / "w.weights.h5")
    tiny_network().save_weights(path)
    with pytest.raises(UsageError) as caught:
        tiny_network(weights=path, **wrong)
    first, second = str(caught.value).split("\n")
    assert first.startswith(f'weights: "{path}" cannot be loaded into efficientnet-b0: ')
    assert first.endswith((".", "!", "?"))
    assert second.startswith("Give a file saved with model.save_weights of the same network")


def test_endpoints_of_a_network_inside_another_model(tiny_network: Any) -> None:
    inner = tiny_network()
    names = set(endpoints(inner))
    outside = keras.Input((20, 20, 3))
    small = keras.layers.Resizing(16, 16)(outside)
    around = keras.Model(outside, keras.layers.Dense(3)(inner(small)))
    listed = keras.Sequential([keras.layers.Resizing(16, 16), inner, keras.layers.Dense(3)])
    listed.build((None, 20, 20, 3))
    twice = keras.Model(outside, around(outside))
    images = tf.image.resize(IMAGES, (20, 20)).numpy()
    tapped = keras.Model(inner.input, endpoints(inner))
    expected = tapped(keras.layers.Resizing(16, 16)(images), training=False)
    for model in (around, listed, twice):
        found = endpoints(model)
        assert set(found) == names
        # Keras keeps a Resizing layer's call in a graph as one in training.
        values = keras.Model(model.inputs[0], found)(images, training=False)
        for name in ("reduction_1", "head"):
            np.testing.assert_allclose(values[name], expected[name], rtol=1e-4, atol=1e-5)


def test_endpoints_of_two_networks_in_one_model(tiny_network: Any) -> None:
    images = keras.Input((16, 16, 3))
    networks = [tiny_network(model_name=name) for name in "ab"]
    both = keras.Model(images, [network(images) for network in networks])
    found = set(endpoints(both))
    assert {"a/reduction_1", "b/reduction_1"} <= found
    assert len(found) == 2 * len(endpoints(networks[0]))
