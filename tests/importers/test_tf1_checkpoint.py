"""Official TF1 checkpoints: the names, the numbers that come out, and what is refused."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import fill

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers.tf1_checkpoint import load_weights, variable_names
from efficientnet_tf.models.variants import VARIANTS
from efficientnet_tf.zoo import create_model

GOLDEN = Path(__file__).parents[1] / "golden"
VARIABLES = json.loads((GOLDEN / "ckpt_b0_variables.json").read_text())
TINY = GOLDEN / "ckpt_tiny"  # written by the official main.py, after twelve steps
EMA = "/ExponentialMovingAverage"
OPTIONS = {
    "width_coefficient": 0.1,
    "depth_coefficient": 0.3,
    "resolution": 64,
    "classes": 10,
    "classifier_activation": None,
}


def tiny_model(**changes):
    return create_model("efficientnet-b0", **{**OPTIONS, **changes})


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def tensors():
    """Everything in the tiny checkpoint, by name."""
    reader = tf.train.load_checkpoint(str(TINY))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.fixture
def write(tmp_path):
    """Writes tensors as TF1's Saver does; returns the prefix."""

    def write_checkpoint(tensors):
        prefix = str(tmp_path / "model.ckpt-7")
        names = list(tensors)
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tensors[name] for name in names],
        )
        return prefix

    return write_checkpoint


def refused(model, path, **kwargs):
    """The message, after a check that the model is untouched."""
    before = model.get_weights()
    with pytest.raises(UsageError) as error:
        load_weights(model, path, **kwargs)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    return str(error.value)


# ---- names


def test_names_and_shapes_are_those_of_an_official_b0_checkpoint():
    plain = {
        name: tuple(shape)
        for name, shape in VARIABLES.items()
        if not name.endswith((EMA, "/RMSProp", "/RMSProp_1")) and name != "global_step"
    }
    assert len(plain) == 311
    model = create_model("efficientnet-b0")
    names = variable_names(model, "efficientnet-b0")
    shapes = {names[weight.path]: tuple(weight.shape) for weight in model.weights}
    assert len(shapes) == len(model.weights) == 311
    assert shapes == plain


def test_each_layer_has_its_official_name():
    """The same local name means another layer in a block without expansion."""
    names = variable_names(create_model("efficientnet-b0", resolution=32), "root")
    assert names["stem_conv/kernel"] == "root/stem/conv2d/kernel"
    assert names["block1a_dwconv/kernel"] == "root/blocks_0/depthwise_conv2d/depthwise_kernel"
    assert names["block1a_bn/gamma"] == "root/blocks_0/tpu_batch_normalization/gamma"
    assert names["block1a_project_conv/kernel"] == "root/blocks_0/conv2d/kernel"
    assert names["block1a_project_bn/beta"] == "root/blocks_0/tpu_batch_normalization_1/beta"
    assert names["block2a_expand_conv/kernel"] == "root/blocks_1/conv2d/kernel"
    assert names["block2a_expand_bn/beta"] == "root/blocks_1/tpu_batch_normalization/beta"
    assert names["block2a_bn/moving_mean"] == "root/blocks_1/tpu_batch_normalization_1/moving_mean"
    assert names["block2a_se/reduce_kernel"] == "root/blocks_1/se/conv2d/kernel"
    assert names["block2a_se/reduce_bias"] == "root/blocks_1/se/conv2d/bias"
    assert names["block2a_se/expand_kernel"] == "root/blocks_1/se/conv2d_1/kernel"
    assert names["block2a_se/expand_bias"] == "root/blocks_1/se/conv2d_1/bias"
    assert names["block2a_project_conv/kernel"] == "root/blocks_1/conv2d_1/kernel"
    last = "root/blocks_15/tpu_batch_normalization_2/moving_variance"
    assert names["block7a_project_bn/moving_variance"] == last
    assert names["top_conv/kernel"] == "root/head/conv2d/kernel"
    assert names["top_bn/gamma"] == "root/head/tpu_batch_normalization/gamma"
    assert names["predictions/bias"] == "root/head/dense/bias"


def test_a_fused_block_has_two_convolutions_and_two_norms():
    model = create_model("efficientnet-edgetpu-S", resolution=32, width_coefficient=0.25)
    names = variable_names(model, "e")
    assert names["block1a_expand_conv/kernel"] == "e/blocks_0/conv2d/kernel"
    assert names["block1a_expand_bn/gamma"] == "e/blocks_0/tpu_batch_normalization/gamma"
    assert names["block1a_project_conv/kernel"] == "e/blocks_0/conv2d_1/kernel"
    assert names["block1a_project_bn/gamma"] == "e/blocks_0/tpu_batch_normalization_1/gamma"


def test_every_repeat_of_a_stage_without_expansion_is_named_like_the_first():
    two_stages = VARIANTS["efficientnet-b7"].blocks_args[:2]
    model = create_model("efficientnet-b7", resolution=32, blocks_args=two_stages)
    names = variable_names(model, "b7")
    for index, letter in enumerate("abcd"):
        found = names[f"block1{letter}_project_conv/kernel"]
        assert found == f"b7/blocks_{index}/conv2d/kernel"
    assert names["block2a_project_conv/kernel"] == "b7/blocks_4/conv2d_1/kernel"


def test_a_weight_of_no_official_network_is_refused(model):
    head = keras.layers.Dense(3, name="my_head")(model.get_layer("pooled_features").output)
    other = keras.Model(model.input, head, name="other")
    with pytest.raises(UsageError) as error:
        variable_names(other, "efficientnet-b0")
    assert str(error.value) == (
        'weight "my_head/kernel" of model "other" has no counterpart in the official networks; '
        "import into a model made by create_model."
    )


# ---- a checkpoint of the official program


@pytest.mark.parametrize("use_ema", [True, False])
@pytest.mark.parametrize("path", [TINY, TINY / "model.ckpt-12", TINY / "model.ckpt-12.index"])
def test_an_official_checkpoint_gives_the_recorded_logits(model, use_ema, path):
    receipt = load_weights(model, path, use_ema=use_ema)
    images = fill.image_batch(3300, 4, 64).astype(np.float32)
    with np.load(TINY / "eval.npz") as archive:
        logits, pooled = (archive[f"{key}|ema={use_ema:d}"] for key in ("logits", "pooled"))
    assert np.abs(model(images) - logits).max() <= 1e-5 * logits.std()
    probe = keras.Model(model.input, model.get_layer("pooled_features").output)
    assert np.abs(probe(images) - pooled).max() <= 1e-5 * pooled.std()
    assert receipt.source == str(TINY / "model.ckpt-12")
    assert receipt.unmatched_source == ()


def test_averages_are_the_default(model):
    load_weights(model, TINY)
    default = model.get_weights()
    load_weights(model, TINY, use_ema=True)
    for first, second in zip(default, model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    load_weights(model, TINY, use_ema=False)
    changed = [
        (first != second).any() for first, second in zip(default, model.get_weights(), strict=True)
    ]
    assert all(changed)


def test_every_tensor_is_taken_or_accounted_for(model, tensors):
    plain, averaged = (load_weights(model, TINY, use_ema=use_ema) for use_ema in (False, True))
    for receipt in (plain, averaged):
        taken = [name for name, _ in receipt.matched]
        assert [path for _, path in receipt.matched] == [w.path for w in model.weights]
        assert len(taken) + len(receipt.ignored_source) == len(tensors) == 537
        assert "global_step" in receipt.ignored_source
        assert not set(taken) & {name for name in receipt.ignored_source if "/" not in name}
    assert plain.matched == averaged.matched
    assert plain.checksum != averaged.checksum
    assert {name + EMA for name, _ in plain.matched} <= set(plain.ignored_source)
    assert {name for name, _ in plain.matched} <= set(averaged.ignored_source)


def test_weights_arrive_as_they_are_stored(model, tensors):
    receipt = load_weights(model, TINY)
    variables = {weight.path: weight.numpy() for weight in model.weights}
    for name, path in receipt.matched:
        np.testing.assert_array_equal(variables[path], tensors[name + EMA])


def test_a_file_with_averages_alone_is_loaded(model, tensors, write):
    """The published NoisyStudent L2 checkpoint holds no plain variables."""
    path = write({name: value for name, value in tensors.items() if name.endswith(EMA)})
    receipt = load_weights(model, path)
    assert receipt.ignored_source == ()
    other = tiny_model()
    assert receipt.checksum == load_weights(other, TINY).checksum
    for first, second in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_file_without_averages_is_loaded_if_plain_weights_are_asked_for(model, tensors, write):
    plain = {name: value for name, value in tensors.items() if not name.endswith(EMA)}
    path = write(plain)
    receipt = load_weights(model, path, use_ema=False)
    assert receipt.checksum == load_weights(tiny_model(), TINY, use_ema=False).checksum


def test_the_scope_of_the_file_need_not_be_the_models_name(tensors, write):
    renamed = {name.replace("efficientnet-b0", "mine"): value for name, value in tensors.items()}
    model = tiny_model(model_name="another")
    receipt = load_weights(model, write(renamed))
    assert receipt.matched[0] == ("mine/stem/conv2d/kernel", "stem_conv/kernel")


# ---- refusals


def test_the_wrong_kind_of_weights_is_refused(model, tensors, write):
    path = write({name: value for name, value in tensors.items() if name.endswith(EMA)})
    assert refused(model, path, use_ema=False) == (
        f'checkpoint_path: "{path}" holds no plain weights; load it with use_ema=True.'
    )
    path = write({name: value for name, value in tensors.items() if not name.endswith(EMA)})
    assert refused(model, path) == (
        f'checkpoint_path: "{path}" holds no averaged weights; load it with use_ema=False.'
    )


def test_other_classes_are_refused():
    path = TINY / "model.ckpt-12"
    assert refused(tiny_model(classes=11), path) == (
        f'{path} does not fit model "efficientnet-b0"; nothing was loaded.\n'
        "2 shapes differ:\n"
        "  predictions/kernel (128, 11): efficientnet-b0/head/dense/kernel has (128, 10)\n"
        "  predictions/bias (11,): efficientnet-b0/head/dense/bias has (10,)\n"
        "Build the model the checkpoint was made with: same name, coefficients and classes."
    )


def test_another_width_is_refused():
    message = refused(tiny_model(width_coefficient=0.2), TINY)
    assert "shapes differ:" in message
    assert "block4a_project_conv/kernel (1, 1, 48, 16): efficientnet-b0/blocks_3/" in message
    assert "not in it" not in message


def test_another_depth_is_refused():
    message = refused(tiny_model(depth_coefficient=0.5), TINY)
    assert "variables of the model are not in it:" in message
    message = refused(tiny_model(depth_coefficient=0.2), TINY)
    assert "of its weights have no place:" in message


def test_another_family_is_refused():
    model = create_model("efficientnet-lite0", **OPTIONS)
    message = refused(model, TINY)
    assert "of its weights have no place:" in message
    assert "se/conv2d/kernel" in message


def test_a_model_without_its_head_is_refused():
    message = refused(tiny_model(include_top=False), TINY)
    assert "2 of its weights have no place:\n  efficientnet-b0/head/dense/bias\n" in message


def test_a_missing_tensor_is_refused(model, tensors, write):
    kept = dict(tensors)
    del kept[f"efficientnet-b0/blocks_2/se/conv2d/bias{EMA}"]
    message = refused(model, write(kept))
    wanted = "block3a_se/reduce_bias (2,): no efficientnet-b0/blocks_2/se/conv2d/bias"
    assert f"1 variables of the model are not in it:\n  {wanted}\n" in message


def test_a_tensor_too_many_is_refused(model, tensors, write):
    extra = f"efficientnet-b0/blocks_0/dense/kernel{EMA}"
    message = refused(model, write({**tensors, extra: np.zeros((3, 4), np.float32)}))
    assert "1 of its weights have no place:\n  efficientnet-b0/blocks_0/dense/kernel\n" in message


def test_a_checkpoint_of_something_else_is_refused(model, write):
    path = write({"dense/kernel": np.zeros((2, 2), np.float32)})
    assert refused(model, path) == (
        f'checkpoint_path: "{path}" is not an official EfficientNet checkpoint: expected one '
        'variable "<model>/stem/conv2d/kernel", found 0.'
    )


def test_two_networks_in_one_file_are_refused(model, tensors, write):
    twice = {name.replace("efficientnet-b0", "teacher"): value for name, value in tensors.items()}
    message = refused(model, write({**twice, **tensors}))
    assert message.endswith('expected one variable "<model>/stem/conv2d/kernel", found 2.')


def test_a_path_without_a_checkpoint_is_refused(model, tmp_path):
    path = tmp_path / "model.ckpt-3"
    assert refused(model, path) == (
        f'checkpoint_path: no checkpoint at "{path}" (expected "{path}.index" and '
        f'"{path}.data-*"; give the path without these endings, or the folder).'
    )


def test_an_empty_folder_is_refused(model, tmp_path):
    assert refused(model, tmp_path) == (
        f'checkpoint_path: no checkpoint in the folder "{tmp_path}" (expected a file named '
        '"checkpoint" beside model.ckpt-N.index and model.ckpt-N.data-*).'
    )


@pytest.mark.parametrize("damage", ["index", "no data", "half the data", "a byte"])
def test_damaged_files_are_refused(model, tmp_path, damage):
    index, data = "model.ckpt-12.index", "model.ckpt-12.data-00000-of-00001"
    for name in (index, data):
        shutil.copyfile(TINY / name, tmp_path / name)
    stored = (tmp_path / data).read_bytes()
    if damage == "index":
        (tmp_path / index).write_bytes(b"no table at all")
    elif damage == "no data":
        (tmp_path / data).unlink()
    elif damage == "half the data":
        (tmp_path / data).write_bytes(stored[: len(stored) // 2])
    else:
        kernel = tf.train.load_checkpoint(str(TINY)).get_tensor(
            f"efficientnet-b0/stem/conv2d/kernel{EMA}"
        )
        place = stored.index(kernel.tobytes())
        changed = bytes([stored[place] ^ 1])
        (tmp_path / data).write_bytes(stored[:place] + changed + stored[place + 1 :])
    path = tmp_path / "model.ckpt-12"
    message = refused(model, path)
    assert message.startswith(f'checkpoint_path: "{path}" cannot be read: ')
    assert message.endswith(" Copy all its files again.")
