"""Models by name: the list that needs no TensorFlow, and what `create_model` passes on."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import efficientnet_tf
from efficientnet_tf import zoo
from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.variants import VARIANTS
from efficientnet_tf.zoo import ModelSummary, create_model, list_models

GOLDEN = Path(__file__).parent / "golden"
PARAMS = json.loads((GOLDEN / "params.json").read_text())
TINY = {"width_coefficient": 0.25, "depth_coefficient": 0.1, "resolution": 32}


def test_the_list_holds_every_model_with_the_recorded_numbers():
    assert list_models()[: len(PARAMS)] == [
        ModelSummary(
            name=name,
            resolution=recorded["image_size"],
            classes=recorded["num_classes"],
            params=recorded["trainable_params"],
            multiply_adds=recorded["multiply_adds"],
        )
        for name, recorded in PARAMS.items()
    ]


def test_the_list_is_made_without_tensorflow():
    code = (
        "import sys; from efficientnet_tf import list_models; print(len(list_models()));"
        "print([name for name in ('tensorflow', 'keras', 'jax') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr == ""
    assert result.stdout.split("\n")[:2] == [str(len(VARIANTS) + 4), "[]"]


def test_the_package_offers_create_model_and_list_models():
    assert efficientnet_tf.create_model is create_model
    assert efficientnet_tf.list_models is list_models
    assert {"create_model", "list_models", "EfficientNetB0"} <= set(dir(efficientnet_tf))


def test_a_model_is_called_like_its_variant_or_as_asked():
    assert create_model("EFFICIENTNET-B0", **TINY).name == "efficientnet-b0"
    assert create_model("efficientnet-b0", model_name="mine", **TINY).name == "mine"


@pytest.mark.parametrize(
    ("name", "classes"), [("efficientnet-lite0", 1000), ("efficientnet-edgetpu-S", 1001)]
)
def test_classes_are_those_of_the_published_checkpoints_unless_given(name, classes):
    assert create_model(name, **TINY).output_shape == (None, classes)
    assert create_model(name, classes=3, **TINY).output_shape == (None, 3)


def test_coefficients_rates_and_blocks_reach_the_model():
    blocks_args = ["r1_k3_s22_e1_i32_o16", "r2_k5_s11_e2_i16_o16_se0.5"]
    model = create_model(
        "efficientnet-b0",
        blocks_args=blocks_args,
        width_coefficient=0.5,
        depth_coefficient=1.5,
        resolution=48,
        dropout_rate=0.35,
        survival_prob=0.5,
        classes=4,
    )
    names = [layer.name for layer in model.layers if layer.name.endswith("_project_conv")]
    assert [name.split("_")[0] for name in names] == [
        *("block1a", "block1b"),
        *("block2a", "block2b", "block2c"),
    ]
    assert model.input_shape == (None, 48, 48, 3)
    assert model.get_layer("stem_conv").filters == 16
    assert model.get_layer("top_conv").filters == 640
    assert model.get_layer("block2a_dwconv").kernel_size == (5, 5)
    assert model.get_layer("block2a_se").filters == 4
    assert model.get_layer("top_dropout").rate == 0.35
    assert model.get_layer("block2c_drop").survival_prob == pytest.approx(1 - 0.5 * 4 / 5)


def test_the_dtype_policy_reaches_every_layer_but_input_and_logits():
    model = create_model("efficientnet-b0", dtype="mixed_bfloat16", **TINY)
    policies = {layer.name: layer.dtype_policy.name for layer in model.layers}
    single = {"image", "normalization", "predictions"}
    assert {name for name, policy in policies.items() if policy == "float32"} == single
    assert set(policies.values()) == {"float32", "mixed_bfloat16"}


def test_a_global_dtype_policy_is_followed_too():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = create_model("efficientnet-b0", **TINY)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert model.get_layer("predictions").compute_dtype == "float32"
    assert model.get_layer("normalization").compute_dtype == "float32"


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match='unknown model "efficientnet-b9".*Did you mean'):
        create_model("efficientnet-b9")


def test_the_constructors_are_called_like_those_of_keras_applications():
    theirs = inspect.signature(keras.applications.EfficientNetB0).parameters
    ours = inspect.signature(zoo.EfficientNetB0).parameters
    assert list(ours) == list(theirs)
    same = [name for name in theirs if name not in ("weights", "name")]
    assert [ours[name].default for name in same] == [theirs[name].default for name in same]
    assert ours["weights"].default is None


def test_every_variant_has_a_public_constructor():
    constructors = {
        name: value for name, value in vars(zoo).items() if name.startswith("Efficient")
    }
    built = [inspect.signature(make).parameters["name"].default for make in constructors.values()]
    assert built == list(VARIANTS)
    for name, constructor in constructors.items():
        parameters = inspect.signature(constructor).parameters
        variant = VARIANTS[parameters["name"].default]
        assert parameters["classes"].default == variant.classes
        assert constructor.__name__ == name
        assert constructor.__doc__.startswith(f"{name}, made like")
        assert f"{variant.resolution} x {variant.resolution}." in constructor.__doc__
        assert getattr(efficientnet_tf, name) is constructor


def test_a_constructor_builds_its_variant():
    model = zoo.EfficientNetB0(classes=7, classifier_activation=None, name="mine")
    assert model.name == "mine"
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 7)
    assert model.get_layer("predictions").activation is keras.activations.linear
    created = create_model("efficientnet-b0", classes=7)
    assert [w.path for w in model.weights] == [w.path for w in created.weights]
