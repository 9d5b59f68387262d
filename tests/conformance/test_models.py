"""Every kind of network through every property, at a tiny width, depth and resolution.

What depends on the true size is tested elsewhere: counts in test_architecture and test_profile,
recorded outputs in test_efficientnet.
"""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import fill

from efficientnet_tf.models.efficientnet import endpoints
from efficientnet_tf.models.networks import configured, find_network
from efficientnet_tf.models.variants import IMAGENET_MEAN, IMAGENET_STD, VARIANTS
from efficientnet_tf.optim.rmsprop import RMSProp
from efficientnet_tf.zoo import create_model, list_models

FAMILY = [
    *("efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3"),
    *("efficientnet-b4", "efficientnet-b5", "efficientnet-b6", "efficientnet-b7"),
    *("efficientnet-b8", "efficientnet-l2"),
    *("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"),
    *("efficientnet-lite3", "efficientnet-lite4"),
    *("efficientnet-edgetpu-S", "efficientnet-edgetpu-M", "efficientnet-edgetpu-L"),
]
BASELINES = ["mobilenet-v1", "mobilenet-v2", "resnet-50", "resnet-50-v1.5"]
MODELS = [*FAMILY, *BASELINES]
# One of each kind of network: the others differ from it in coefficients alone, which are the same
# for all at this size.
KINDS = ["efficientnet-b0", "efficientnet-lite0", "efficientnet-edgetpu-S", *BASELINES]
SIDE, CLASSES, BATCH = 64, 5, 4
TINY = {
    "width_coefficient": 0.25,
    "depth_coefficient": 0.1,
    "resolution": SIDE,
    "classes": CLASSES,
}
IMAGES = fill.image_batch(11, BATCH, SIDE)
LABELS = np.array([0, 1, 2, 4])


def make(name, **changes):
    return create_model(name, **{**TINY, **changes})


@pytest.fixture(scope="module", params=KINDS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    keras.utils.set_random_seed(5)
    return make(name, classifier_activation=None)


@pytest.fixture(scope="module")
def logits(model):
    return model(IMAGES).numpy()


def test_no_model_is_left_out():
    assert list(VARIANTS) == FAMILY
    assert [summary.name for summary in list_models()] == MODELS


def test_every_kind_of_network_is_tested():
    def kind(name):
        if name in BASELINES:
            return name
        coefficients = {"width_coefficient": 1, "depth_coefficient": 1, "resolution": 1}
        return dataclasses.replace(VARIANTS[name], name="", dropout_rate=0, **coefficients)

    assert {kind(name) for name in KINDS} == {kind(name) for name in MODELS}


def test_logits_are_finite_float32_and_differ_between_images(logits):
    assert logits.shape == (BATCH, CLASSES)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert (np.ptp(logits, axis=0) > 0).all()


def test_bytes_and_floats_give_the_same(model, logits):
    np.testing.assert_array_equal(model(IMAGES.astype(np.float32)), logits)
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), logits, rtol=1e-4, atol=1e-5)


def test_each_image_is_judged_alone_in_inference(model, logits):
    np.testing.assert_allclose(model(IMAGES[1:2]), logits[1:2], rtol=1e-4, atol=1e-5)


def test_the_arithmetic_lists_the_models_layers(name, model):
    coefficients = {key: value for key, value in TINY.items() if key != "classes"}
    operations = configured(name, **coefficients).operations(CLASSES)
    listed = {one.name: one for one in operations if "_se/" not in one.name}
    built = {layer.name: layer for layer in model.layers if hasattr(layer, "kernel")}
    assert built.keys() == listed.keys()
    for name_of_layer, one in listed.items():
        layer = built[name_of_layer]
        assert tuple(layer.kernel.shape) == one.kernel_shape, one.name
        assert layer.output.shape == (None, *one.output_shape), one.name
        assert layer.use_bias == one.has_bias, one.name
    assert sum(one.total_params for one in operations) == model.count_params()


def test_endpoints_have_their_strides(name, model):
    ends = endpoints(model)
    if name in BASELINES:  # which have no published endpoints
        assert {"pooled_features", "head"} <= set(ends)
        return
    for index in range(1, 6):
        shape = ends[f"reduction_{index}"].shape
        assert shape == model.get_layer(f"reduction_{index}").output.shape
        assert shape[1:3] == (SIDE // 2**index,) * 2
    assert "reduction_6" not in ends
    assert ends["stem"].shape[1:3] == (SIDE // 2,) * 2
    assert ends["features"].shape == ends["reduction_5"].shape
    assert ends["head_1x1"].shape[1:3] == ends["features"].shape[1:3]
    assert ends["pooled_features"].shape == (None, ends["head_1x1"].shape[-1])
    assert ends["head"].shape == (None, CLASSES)
    blocks = [key for key in ends if key.startswith("block_") and "/" not in key]
    assert blocks == [f"block_{index}" for index in range(len(blocks))]
    assert all(f"{block}/expansion_output" in ends for block in blocks)


def test_endpoints_can_be_computed(model, logits):
    ends = endpoints(model)
    outputs = keras.Model(model.input, ends)(IMAGES)
    assert outputs.keys() == ends.keys()
    np.testing.assert_array_equal(outputs["head"], logits)
    if "head_1x1" in outputs:
        np.testing.assert_allclose(
            tf.reduce_mean(outputs["head_1x1"], (1, 2)), outputs["pooled_features"], rtol=1e-5
        )
        np.testing.assert_array_equal(outputs["features"], outputs["reduction_5"])


def test_the_configuration_makes_the_same_model(model, logits):
    text = json.dumps(model.get_config())
    copy = keras.Model.from_config(json.loads(text))
    assert json.dumps(copy.get_config()) == text
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(IMAGES), logits)


def test_a_saved_model_gives_the_same(model, logits, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert [weight.path for weight in loaded.weights] == [weight.path for weight in model.weights]
    np.testing.assert_array_equal(loaded(IMAGES), logits)


def test_variable_paths_are_unique(model):
    """Checkpoints of the training go by them."""
    paths = [weight.path for weight in model.weights]
    assert len(set(paths)) == len(paths)


def test_two_steps_of_fit_change_every_weight(name):
    keras.utils.set_random_seed(5)
    model = make(name)
    before = [weight.numpy() for weight in model.weights]
    optimizer = RMSProp(0.016)
    optimizer.build(model.trainable_variables)  # or else the step is traced a second time
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    history = model.fit(IMAGES, LABELS, batch_size=2, epochs=1, verbose=0, shuffle=False)
    assert model.optimizer.iterations == 2
    assert np.isfinite(history.history["loss"]).all()
    for weight, old in zip(model.weights, before, strict=True):
        assert np.isfinite(weight.numpy()).all(), weight.path
        assert (weight.numpy() != old).any(), weight.path


def test_without_top_the_last_features_come_out(name, model):
    headless = make(name, include_top=False)
    filters = model.get_layer("predictions").kernel.shape[0]
    side = SIDE // 32
    assert headless.output_shape == (None, side, side, filters)
    headless.set_weights(model.get_weights()[:-2])
    features = headless(IMAGES)
    for pooling, reduce in (("avg", tf.reduce_mean), ("max", tf.reduce_max)):
        pooled = make(name, include_top=False, pooling=pooling)
        assert pooled.output_shape == (None, filters)
        pooled.set_weights(model.get_weights()[:-2])
        np.testing.assert_allclose(pooled(IMAGES), reduce(features, (1, 2)), rtol=1e-5, atol=1e-6)


def test_bfloat16_has_float32_logits_and_variables(name, model, logits):
    mixed = make(name, classifier_activation=None, dtype="mixed_bfloat16")
    mixed.set_weights(model.get_weights())
    output = mixed(IMAGES)
    assert output.dtype == tf.float32
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    convolutions = [each for each in mixed.layers if isinstance(each, keras.layers.Conv2D)]
    assert {each.output.dtype for each in convolutions} == {"bfloat16"}
    # Eight bits of mantissa, and some fifty layers.
    np.testing.assert_allclose(output, logits, atol=0.05 * np.abs(logits).max())


@pytest.mark.parametrize("name", MODELS)
def test_published_sizes_and_normalisation_are_the_default(name):
    network = find_network(name)
    model = create_model(name, width_coefficient=0.25, depth_coefficient=0.1)
    assert model.input_shape == (None, network.resolution, network.resolution, 3)
    assert model.output_shape == (None, network.classes)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if name in VARIANTS:
        mean, std = VARIANTS[name].mean, VARIANTS[name].std
    normal = (IMAGES - np.array(mean)) / np.array(std)
    normalised = model.get_layer("normalization")(IMAGES)
    np.testing.assert_allclose(normalised, normal, rtol=1e-4, atol=1e-5)
