"""The built networks: recorded outputs of the official code, endpoints, arguments, weight files."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import fill
from golden.recorded import fill_weights
from golden.rounding import is_rounding, is_rounding_of_one, of_moments, rms, with_spread

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.efficientnet import endpoints
from efficientnet_tf.models.engine import use_engine
from efficientnet_tf.models.layers import BatchNormalization
from efficientnet_tf.training.distribution import ReplicaEngine, kernels_for
from efficientnet_tf.zoo import create_model

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = {"width_coefficient": 0.25, "depth_coefficient": 0.1, "resolution": 32, "classes": 5}


class Recorded:
    """A network with its recorded inputs and outputs, in float64 and in float32.

    In each set of weights, A and C, `exact` has the endpoints in float64, `found` in float32, and
    `spread` how far float32 is expected to be from exact (golden/rounding.py).
    """

    def __init__(self, short_name):
        self.root = f"efficientnet-{short_name}"
        with np.load(GOLDEN / f"forward_{short_name}.npz") as archive:
            self.values = dict(archive)
        with np.load(GOLDEN / f"moving_{short_name}.npz") as archive:
            self.moments = dict(archive)
        self.endpoint_names = [str(name) for name in self.values["endpoint_names"]]
        self.single, self.double = self.build("float32"), self.build("float64")
        self.size = self.single.input_shape[1]
        self.images = self.batch("image_seed")
        probe_single, probe_double = self.probe(self.single), self.probe(self.double)
        self.found, self.exact, self.spread = {}, {}, {}
        self.names = fill_weights(self.single, self.root)
        for weights in ("A", "C"):
            if weights == "C":
                self.set_moments(self.single)
            self.double.set_weights(self.single.get_weights())
            self.found[weights] = probe_single()
            self.exact[weights], self.spread[weights] = with_spread(probe_double, self.double)

    def build(self, dtype):
        # Neither dropout nor stochastic depth, as in the recorded TRAIN-mode graph.
        return create_model(
            self.root, classifier_activation=None, dropout_rate=0, survival_prob=1, dtype=dtype
        )

    def set_moments(self, model):
        for weight in model.weights:
            if self.names[weight.path] in self.moments:
                weight.assign(self.moments[self.names[weight.path]].astype(np.float32))

    def batch(self, seed):
        return fill.image_batch(int(self.values[seed]), 2, self.size)

    def probe(self, model):
        compute = keras.Model(model.input, endpoints(model))
        images = self.images.astype(np.float32)
        return lambda: {name: value.numpy() for name, value in compute(images).items()}


@pytest.fixture(scope="module", params=["b0", pytest.param("b1", marks=pytest.mark.slow), "lite0"])
def recorded(request):
    return Recorded(request.param)


def test_the_images_are_those_of_the_recording(recorded):
    layer = recorded.single.get_layer("normalization")
    mean, std = np.float32(layer.mean), np.float32(layer.std)
    normalized = (recorded.images.astype(np.float32) - mean) / std
    digest = hashlib.sha256(normalized.tobytes()).hexdigest()
    assert digest == recorded.values["normalized_sha256"]
    np.testing.assert_allclose(layer(recorded.images), normalized, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("weights", ["A", "C"])
@pytest.mark.parametrize(
    ("ours", "theirs"), [("head", "logits"), ("pooled_features", "pooled_features")]
)
def test_inference_gives_the_recorded_numbers(recorded, weights, ours, theirs):
    expected = recorded.values[f"{weights}:{theirs}"]
    exact = recorded.exact[weights][ours]
    assert exact.shape == expected.shape
    assert is_rounding(exact - expected, recorded.spread[weights][ours])


@pytest.mark.parametrize("weights", ["A", "C"])
def test_every_endpoint_has_the_recorded_statistics(recorded, weights):
    values, wrong = recorded.values, {}
    for index, name in enumerate(recorded.endpoint_names):
        exact, spread = recorded.exact[weights][name], recorded.spread[weights][name]
        # The official lite head pools to [2, 1, 1, C] first.
        shape = [side for side in json.loads(str(values["endpoint_shapes"][index])) if side != 1]
        assert [side for side in exact.shape if side != 1] == shape, name
        for kind, value in (("mean", exact.mean()), ("std", exact.std())):
            if not is_rounding(value - values[f"{weights}:endpoint_{kind}"][index], spread):
                wrong[name, kind] = value
        picked = {"absmax": (np.abs(exact).max(), values[f"{weights}:endpoint_absmax"][index])}
        sample = values.get(f"{weights}:sample:{name}")
        if sample is not None:
            middle = exact[:, exact.shape[1] // 2, exact.shape[2] // 2, :16]
            picked["sample"] = (middle, sample)
        for kind, (value, expected) in picked.items():
            if not is_rounding_of_one(value - expected, value, exact, spread):
                wrong[name, kind] = value
    samples = {key.split(":")[2] for key in values if key.startswith(f"{weights}:sample:")}
    assert samples <= set(recorded.endpoint_names)
    assert wrong == {}


@pytest.mark.parametrize("weights", ["A", "C"])
def test_float32_is_as_near_to_exact_as_float32_can_be(recorded, weights):
    """On every processor: no other test of these outputs depends on it."""
    found, exact, spread = (
        each[weights] for each in (recorded.found, recorded.exact, recorded.spread)
    )
    assert {value.dtype.name for value in found.values()} == {"float32"}
    differences = {name: found[name] - exact[name] for name in exact}
    wrong = {
        name: rms(value) / spread[name]
        for name, value in differences.items()
        if not is_rounding(value, spread[name])
    }
    assert wrong == {}


# ---- training mode: batch statistics


def run_training_mode(recorded, model, engine=None):
    """{"logits": ..., path of a moving statistic: the batch's}."""
    statistics = [
        weight for weight in model.weights if recorded.names[weight.path] in recorded.moments
    ]
    for weight in statistics:
        weight.assign(np.zeros(weight.shape))
    calibration = recorded.batch("calibration_seed").astype(np.float32)
    if engine is None:
        logits = model(calibration, training=True)
    else:
        strategy = tf.distribute.OneDeviceStrategy("/cpu:0")

        def step():
            first = tf.constant(0, tf.int64)
            with use_engine(ReplicaEngine(0, first, kernels=kernels_for(strategy))):
                return model(calibration, training=True)

        logits = tf.function(lambda: strategy.run(step), autograph=False)()
    # From zero, the new statistic is (1 - momentum) times the batch's.
    moments = {weight.path: weight.numpy() / (1 - 0.99) for weight in statistics}
    return {"logits": logits.numpy(), **moments}


@pytest.fixture(scope="module")
def trained(recorded):
    """(exact, spread) of the recorded pass in training mode, with weights A."""
    fill_weights(recorded.single, recorded.root)
    model = recorded.double
    model.set_weights(recorded.single.get_weights())
    exact, spread = with_spread(lambda: run_training_mode(recorded, model), model, batch=2)
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            mean, variance = layer.moving_mean.path, layer.moving_variance.path
            own = of_moments(layer, exact[mean], exact[variance], batch=2)
            spread[mean] += own["moving_mean"]
            spread[variance] += own["moving_variance"]
    return exact, spread


def test_training_mode_gives_the_recorded_numbers_and_moments(recorded, trained):
    exact, spread = trained
    expected = recorded.values["logits_train_calibration"]
    assert exact["logits"].shape == expected.shape
    assert is_rounding(exact["logits"] - expected, spread["logits"])
    paths = {recorded.names[path]: path for path in exact if path != "logits"}
    assert paths.keys() == recorded.moments.keys()
    wrong = {}
    for name, path in paths.items():
        expected = recorded.moments[name].astype(np.float64)
        stored = 2.0**-11 * np.abs(expected) + 2.0**-25  # they are recorded in float16
        difference = np.maximum(np.abs(exact[path] - expected) - stored, 0)
        if not is_rounding(difference, spread[path]):
            wrong[name] = rms(difference) / spread[path]
    assert wrong == {}


@pytest.mark.parametrize("engine", [None, "step"])
def test_float32_in_training_mode_is_as_near_to_exact(recorded, trained, engine):
    exact, spread = trained
    found = run_training_mode(recorded, recorded.single, engine)
    wrong = {
        name: rms(found[name] - exact[name]) / spread[name]
        for name in exact
        if not is_rounding(found[name] - exact[name], spread[name])
    }
    assert wrong == {}


# ---- names, endpoints


def test_names_and_order_of_a_blocks_layers():
    model = create_model("efficientnet-b0", **TINY)
    names = [layer.name for layer in model.layers]
    assert names[:4] == ["image", "normalization", "stem_conv", "stem_bn"]
    first = names.index("block2a_expand_conv")
    assert names[first : first + 7] == [
        "block2a_expand_conv",
        "block2a_expand_bn",
        "block2a_dwconv",
        "block2a_bn",
        "block2a_se",
        "block2a_project_conv",
        "block2a_project_bn",
    ]
    assert names[-5:] == ["top_conv", "top_bn", "pooled_features", "top_dropout", "predictions"]
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)


def test_the_padding_is_same():
    """keras.applications pads for strided convolutions itself; official and ours do not."""
    model = create_model("efficientnet-b0", **TINY)
    convolutions = [layer for layer in model.layers if hasattr(layer, "padding")]
    assert len(convolutions) == 2 + 6 * 3 + 2
    assert {layer.padding for layer in convolutions} == {"same"}
    assert {layer.use_bias for layer in convolutions} == {False}


def test_batch_norm_has_the_papers_momentum_and_epsilon():
    model = create_model("efficientnet-b0", **TINY)
    layers = [layer for layer in model.layers if layer.name.endswith("bn")]
    assert len(layers) == 2 + 6 * 3 + 2
    assert {(layer.momentum, layer.epsilon) for layer in layers} == {(0.99, 1e-3)}
    linear = [layer.name for layer in layers if layer.activation is None]
    assert linear == [layer.name for layer in layers if layer.name.endswith("project_bn")]


def test_reductions_are_the_last_blocks_before_a_stride():
    ends = endpoints(create_model("efficientnet-b0", input_shape=(64, 64, 3)))
    for reduction, block in enumerate([0, 2, 4, 10, 15], start=1):
        for suffix in ("", "/expansion_output"):
            shape = ends[f"reduction_{reduction}{suffix}"].shape
            assert shape == ends[f"block_{block}{suffix}"].shape
            assert shape[1:3] == (64 // 2**reduction,) * 2
    assert "reduction_6" not in ends
    assert ends["features"].shape == ends["block_15"].shape


def test_stochastic_depth_is_only_in_blocks_with_a_residual():
    model = create_model("efficientnet-b0")
    names = [layer.name for layer in model.layers]
    added = [name.removesuffix("_add") for name in names if name.endswith("_add")]
    dropped = [name.removesuffix("_drop") for name in names if name.endswith("_drop")]
    wanted = ["block2b", "block3b", "block4b", "block4c", "block5b", "block5c"]
    assert added == dropped == [*wanted, "block6b", "block6c", "block6d"]
    rates = [model.get_layer(f"{name}_drop").survival_prob for name in dropped]
    assert rates == pytest.approx([1 - 0.2 * i / 16 for i in (2, 4, 6, 7, 9, 10, 12, 13, 14)])
    without = create_model("efficientnet-b0", survival_prob=1, dropout_rate=0)
    assert [layer.name for layer in without.layers if "drop" in layer.name] == []


def test_endpoints_of_a_model_without_top():
    ends = endpoints(create_model("efficientnet-b0", include_top=False, **TINY))
    assert "head_1x1" in ends
    assert "pooled_features" not in ends
    assert "head" not in ends


# ---- arguments


def test_probabilities_are_the_softmax_of_the_logits():
    images = fill.image_batch(1, 2, 32)
    probabilities = create_model("efficientnet-b0", **TINY)
    logits = create_model("efficientnet-b0", classifier_activation=None, **TINY)
    logits.set_weights(probabilities.get_weights())
    found = probabilities(images)
    np.testing.assert_allclose(found, tf.nn.softmax(logits(images)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(tf.reduce_sum(found, axis=1), 1, rtol=1e-6)


def test_images_of_any_size_go_through_a_network_without_fixed_sides():
    model = create_model("efficientnet-b0", input_shape=(None, None, 3), **TINY)
    fixed = create_model("efficientnet-b0", **TINY)
    fixed.set_weights(model.get_weights())
    images = fill.image_batch(1, 2, 32)
    np.testing.assert_allclose(model(images), fixed(images), rtol=1e-5, atol=1e-6)
    assert model(np.zeros((1, 47, 33, 3), np.uint8)).shape == (1, 5)


@pytest.mark.parametrize("make_input", ["input", "layer"])
def test_a_network_can_stand_on_another_tensor(make_input):
    inputs = tensor = keras.Input((32, 32, 3))
    if make_input == "layer":
        tensor = keras.layers.Rescaling(255.0)(inputs)
    model = create_model("efficientnet-b0", input_tensor=tensor, **TINY)
    plain = create_model("efficientnet-b0", **TINY)
    plain.set_weights(model.get_weights())
    images = fill.image_batch(1, 2, 32).astype(np.float32)
    given = images / 255 if make_input == "layer" else images
    np.testing.assert_allclose(model(given), plain(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("declared", [24, 32])
@pytest.mark.parametrize("kind", ["", "_c1"])
def test_a_first_stage_that_declares_other_filters_than_the_stem_has_is_built(declared, kind):
    """EdgeTPU and lite3 declare more or less than arrives; any block string of ours can."""
    blocks_args = [f"r1_k3_s11_e2_i{declared}_o24{kind}"]
    model = create_model("efficientnet-b0", resolution=16, blocks_args=blocks_args)
    ends = endpoints(model)
    assert ends["stem"].shape[-1] == 32
    assert ends["block_0/expansion_output"].shape[-1] == 2 * declared
    assert ends["block_0"].shape == (None, 8, 8, 24)


def test_pooling_of_a_headless_network():
    images = fill.image_batch(1, 2, 64)
    options = {**TINY, "resolution": 64}
    network = create_model("efficientnet-b0", include_top=False, **options)
    features = network(images).numpy()
    assert features.shape == (2, 2, 2, 320)
    for pooling, expected in (("avg", features.mean((1, 2))), ("max", features.max((1, 2)))):
        pooled = create_model("efficientnet-b0", include_top=False, pooling=pooling, **options)
        pooled.set_weights(network.get_weights())
        np.testing.assert_allclose(pooled(images), expected, rtol=1e-5, atol=1e-6)


def test_weights_are_saved_and_loaded(tmp_path):
    path = tmp_path / "b0.weights.h5"
    first = create_model("efficientnet-b0", **TINY)
    first.save_weights(path)
    second = create_model("efficientnet-b0", weights=path, **TINY)
    images = fill.image_batch(1, 2, 32)
    np.testing.assert_array_equal(first(images), second(images))


def test_weights_that_do_not_fit_or_do_not_exist_are_refused(tmp_path):
    missing = str(tmp_path / "none.weights.h5")
    with pytest.raises(UsageError, match=r'weights: ".*none.weights.h5" cannot be loaded into'):
        create_model("efficientnet-b0", weights=missing, **TINY)
    other = tmp_path / "other.weights.h5"
    create_model("efficientnet-b0", **{**TINY, "classes": 3}).save_weights(other)
    with pytest.raises(UsageError, match="cannot be loaded into efficientnet-b0: "):
        create_model("efficientnet-b0", weights=str(other), **TINY)


BAD = [
    ({"classes": 0}, "classes must be a whole number of at least 1, received 0."),
    ({"classes": 10.0}, "classes must be a whole number of at least 1, received 10.0."),
    ({"classes": True}, "classes must be a whole number of at least 1, received True."),
    ({"pooling": "mean"}, 'pooling must be None, "avg" or "max", received \'mean\'.'),
    (
        {"weights": "noisy-student"},
        'weights must be None, "imagenet" (those that keras.applications fetches), the path of a '
        ".safetensors file of `main.py import-weights`, or of a .weights.h5 file saved from this "
        "model, received 'noisy-student'. Official TF1 checkpoints, files of Keras and of timm are "
        "imported by `main.py import-weights`.",
    ),
    (
        {"input_shape": (32, 32, 1)},
        "input_shape must be (height, width, 3), images with three colours, received (32, 32, 1). "
        "Repeat the channel of grey images three times.",
    ),
    (
        {"input_shape": [32, 32]},
        "input_shape must be (height, width, 3), images with three colours, received (32, 32). "
        "Repeat the channel of grey images three times.",
    ),
    (
        {"input_tensor": np.zeros((1, 32, 32, 3))},
        "input_tensor must be the output of a Keras layer or keras.Input, received ndarray.",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(UsageError) as error:
        create_model("efficientnet-b0", **{**TINY, **arguments})
    assert str(error.value) == message
