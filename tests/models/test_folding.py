"""Folding: the same answers without batch norm, in Keras' own layers."""

from typing import Any

import keras
import numpy as np
import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.folding import fold
from efficientnet_tf.zoo import create_model


def unsettled(model: keras.Model) -> keras.Model:
    """As after training: statistics, scales and offsets that are not 0 and 1."""
    chance = np.random.RandomState(0)
    for weight in model.weights:
        if weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(chance.uniform(0.7, 1.4, weight.shape))
        elif weight.path.endswith(("moving_mean", "beta", "bias")):
            weight.assign(chance.normal(0, 0.3, weight.shape))
    return model


def check_answers(model: keras.Model, size: int) -> keras.Model:
    folded = fold(model)
    images = np.random.RandomState(1).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    expected = model(images, training=False).numpy()
    assert expected.std() > 1e-3
    answers = folded(images, training=False).numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-5 * np.abs(expected).max())
    return folded


@pytest.mark.parametrize(
    "name",
    [
        "efficientnet-b0",
        "efficientnet-lite0",
        "efficientnet-edgetpu-S",
        "mobilenet-v2",
        "resnet-50",
    ],
)
def test_a_folded_network_answers_the_same(name: str) -> None:
    made = create_model(
        name, resolution=32, depth_coefficient=0.5, classes=7, classifier_activation=None
    )
    folded = check_answers(unsettled(made), 32)
    kinds = {type(layer).__module__.split(".")[0] for layer in folded.layers}
    assert kinds == {"keras"}
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)


@pytest.mark.parametrize("make", [keras.applications.MobileNetV2, keras.applications.ResNet50])
def test_networks_of_keras_are_folded_too(make: Any) -> None:
    made = make(weights=None, input_shape=(32, 32, 3), classes=5, classifier_activation=None)
    folded = check_answers(unsettled(made), 32)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)


def test_the_statistics_of_a_normalization_of_keras_are_kept() -> None:
    made = keras.applications.EfficientNetB0(
        weights=None, input_shape=(32, 32, 3), classes=5, classifier_activation=None
    )
    (normalization,) = (
        layer for layer in made.layers if isinstance(layer, keras.layers.Normalization)
    )
    mean, variance, count = normalization.get_weights()
    normalization.set_weights([mean + [0.48, 0.45, 0.4], variance * [0.2, 0.3, 0.4], count])
    normalization.finalize_state()
    folded = check_answers(unsettled(made), 32)
    kept = folded.get_layer(normalization.name)
    assert not isinstance(kept, keras.layers.Normalization)


def test_a_norm_that_cannot_be_folded_stays() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="seen_twice")(inputs)
    first = keras.layers.BatchNormalization(name="beside")(x)
    x = keras.layers.Add()([first, x]) * 2 + 1
    x = keras.layers.Conv2D(4, 3, activation="relu", name="not_linear")(x)
    x = keras.layers.BatchNormalization(name="after_relu")(x)
    x = keras.layers.Conv2D(4, 3, name="plain")(x)
    x = keras.layers.BatchNormalization(name="folded", scale=False, center=False)(x)
    folded = check_answers(unsettled(keras.Model(inputs, x)), 8)
    names = {layer.name for layer in folded.layers}
    assert {"beside", "after_relu"} <= names
    assert "folded" not in names


def test_the_model_is_left_as_it_is(tiny_network: Any) -> None:
    model = unsettled(tiny_network())
    before = [weight.numpy().copy() for weight in model.weights]
    fold(model)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_other_precisions(tiny_network: Any, dtype: str, tolerance: float) -> None:
    model = unsettled(tiny_network())
    folded = fold(model, dtype)
    assert folded.get_layer("stem_conv").kernel.dtype == dtype
    assert folded.get_layer("predictions").kernel.dtype == "float32"
    images = np.random.RandomState(1).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    expected = model(images, training=False).numpy()
    answers = folded(images, training=False).numpy()
    assert answers.dtype == np.float32
    assert np.abs(answers - expected).max() < tolerance * np.abs(expected).max()


def test_what_is_not_functional_is_refused() -> None:
    class Own(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(UsageError, match="takes a functional model, received Own"):
        fold(Own())
