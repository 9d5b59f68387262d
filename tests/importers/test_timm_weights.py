"""timm's weights: names of all models, logits of the real timm, and what is refused."""

import argparse
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers import timm as importer
from efficientnet_tf.importers.detect import detect, open_weights
from efficientnet_tf.importers.input_contract import apply_contract
from efficientnet_tf.importers.timm_names import published
from efficientnet_tf.importers.weights_source import merge_source
from efficientnet_tf.models.variants import VARIANTS
from efficientnet_tf.zoo import create_model

OURS = {
    **{f"tf_efficientnet_b{i}": f"efficientnet-b{i}" for i in range(9)},
    **{f"tf_efficientnet_lite{i}": f"efficientnet-lite{i}" for i in range(5)},
    "tf_efficientnet_l2": "efficientnet-l2",
    "tf_efficientnet_es": "efficientnet-edgetpu-S",
    "tf_efficientnet_em": "efficientnet-edgetpu-M",
    "tf_efficientnet_el": "efficientnet-edgetpu-L",
}
NARROW = {"width_coefficient": 0.1, "depth_coefficient": 0.3}
TINY = {  # as golden/importers/make.py has made them
    "b0": ("efficientnet-b0", NARROW),
    "lite0": ("efficientnet-lite0", NARROW),
    "es": ("efficientnet-edgetpu-S", {"width_coefficient": 0.25, "depth_coefficient": 0.4}),
}


@pytest.fixture(scope="module")
def golden(request):
    return request.path.parents[1] / "golden" / "importers"


@pytest.fixture
def tiny_b0(golden, tmp_path):
    """A copy of the narrow b0 that can be changed, under the name of the published model."""
    path = tmp_path / "tf_efficientnet_b0.safetensors"
    shutil.copyfile(golden / "timm_tiny_b0.safetensors", path)
    return path


def narrow_model(kind="b0", **changes):
    name, coefficients = TINY[kind]
    options = {"resolution": 64, "classes": 10, "classifier_activation": None}
    return create_model(name, **{**options, **coefficients, **changes})


def refused(path, **kwargs):
    with pytest.raises(UsageError) as error:
        open_weights(str(path), **kwargs)
    return str(error.value)


# ---- names


def our_shape(name, shape):
    return tuple(shape[axis] for axis in importer.our_axes(name, len(shape)))


@pytest.mark.parametrize("theirs", OURS)
def test_names_and_shapes_of_every_model(real_names, make_skeleton, theirs):
    expected = {
        name: our_shape(name, shape)
        for name, shape in real_names["timm"][theirs].items()
        if not name.endswith("num_batches_tracked")
    }
    model = make_skeleton(OURS[theirs])
    names = importer.names(model)
    assert {names[each.path]: each.shape for each in model.weights} == expected
    assert published(theirs, "x").model == OURS[theirs]


@pytest.mark.parametrize("theirs", OURS)
def test_recorded_names_are_those_of_the_installed_timm(timm, real_names, theirs):
    import torch

    with torch.device("meta"):
        model = timm.create_model(theirs)
    found = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert found == real_names["timm"][theirs]


def test_layouts_are_not_only_of_the_right_shape():
    """Where in and out are as many, a forgotten transposition has the right shape, too."""
    kernel = np.arange(4).reshape(2, 2, 1, 1)  # [out, in, h, w]
    ours = kernel.transpose(importer.our_axes("blocks.0.0.conv_pw.weight", 4))
    assert ours[0, 0, 1, 0] == kernel[0, 1, 0, 0]
    depthwise = np.arange(18).reshape(2, 1, 3, 3)
    ours = depthwise.transpose(importer.our_axes("blocks.0.0.conv_dw.weight", 4))
    assert ours.shape == (3, 3, 2, 1)
    assert ours[0, 2, 1, 0] == depthwise[1, 0, 0, 2]
    assert importer.our_axes("classifier.weight", 2) == (1, 0)


# ---- logits


@pytest.mark.parametrize("kind", TINY)
def test_recorded_logits_of_timm(golden, assert_same, kind):
    """b0 is stored in float32, lite0 in float16, EdgeTPU in bfloat16."""
    model = narrow_model(kind)
    source = open_weights(str(golden / f"timm_tiny_{kind}.safetensors"))
    receipt = merge_source(model, source)
    apply_contract(model, source.contract(VARIANTS[TINY[kind][0]]))
    assert len(receipt.matched) == len(model.weights)
    assert receipt.unmatched_source == receipt.unmatched_model == ()
    assert all(name.endswith("num_batches_tracked") for name in receipt.ignored_source)
    with np.load(golden / "timm_tiny.npz") as recorded:
        assert_same(model(recorded["images"].astype(np.float32)), recorded[kind])


@pytest.fixture(scope="module")
def real_b0(timm, make_pictures):
    """(timm's own B0 with statistics of its own, images, its logits)."""
    import torch

    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_b0", num_classes=6)
    images = make_pictures(16, 64, 5)
    mean, std = (255 * np.array(model.pretrained_cfg[key]) for key in ("mean", "std"))
    inputs = torch.from_numpy(((images - mean) / std).astype(np.float32).transpose(0, 3, 1, 2))
    with torch.no_grad():
        for layer in model.modules():
            if hasattr(layer, "running_var"):
                layer.momentum = 1.0
                layer.weight.uniform_(0.8, 1.2)
                layer.bias.normal_(0, 0.1)
        model.train()(inputs)
        model.classifier.weight.div_(model.eval()(inputs).std())
        return model, images[:2], model(inputs[:2]).numpy()


@pytest.mark.parametrize("form", ["safetensors", "pth", "training checkpoint", "hub folder"])
def test_the_real_b0_gives_the_same_logits(real_b0, tmp_path, form, assert_same):
    import safetensors.torch
    import torch

    theirs, images, logits = real_b0
    weights = theirs.state_dict()
    path = tmp_path / f"tf_efficientnet_b0.{'pth' if form == 'pth' else 'safetensors'}"
    if form == "pth":
        torch.save(weights, path)
    elif form == "training checkpoint":
        path = tmp_path / "model_best.pth.tar"
        plain = {f"module.{name}": torch.zeros_like(value) for name, value in weights.items()}
        averaged = {f"module.{name}": value for name, value in weights.items()}
        stored = {"epoch": 3, "arch": "tf_efficientnet_b0", "args": argparse.Namespace(lr=0.1)}
        torch.save({**stored, "state_dict": plain, "state_dict_ema": averaged}, path)
    elif form == "hub folder":
        path = tmp_path / "downloaded"
        path.mkdir()
        safetensors.torch.save_file(weights, path / "model.safetensors")
        config = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
        config["input_size"] = [3, 224, 224]
        settings = {"architecture": "tf_efficientnet_b0", "pretrained_cfg": config}
        (path / "config.json").write_text(json.dumps(settings))
    else:
        safetensors.torch.save_file(weights, path)
    assert detect(str(path)) == "timm"
    source = open_weights(str(path))
    model = create_model(
        "efficientnet-b0", classes=6, classifier_activation=None, input_shape=(64, 64, 3)
    )
    merge_source(model, source)
    contract = source.contract(VARIANTS["efficientnet-b0"])
    apply_contract(model, contract)
    assert_same(model(images), logits)
    assert (contract.family, contract.resolution) == ("imagenet", 224)
    expected = ("the averages were taken",) if form == "training checkpoint" else ()
    assert source.notes == expected


def test_plain_weights_of_a_training_checkpoint(timm, tmp_path):
    import torch

    path = tmp_path / "last.pth"
    plain, averaged = ({"conv_stem.weight": torch.full((2, 3, 3, 3), each)} for each in (1.0, 2.0))
    torch.save({"state_dict": plain, "state_dict_ema": averaged}, path)
    for use_ema, value in ((True, 2), (False, 1)):
        source = open_weights(str(path), use_ema=use_ema)
        assert (source.read("conv_stem.weight") == value).all()
        assert source.shapes["conv_stem.weight"] == (3, 3, 3, 2)


# ---- what the name says


@pytest.mark.parametrize(
    ("text", "family", "resolution"),
    [
        ("tf_efficientnet_b4.ns_jft_in1k", "imagenet", 380),
        ("tf_efficientnet_b4.ap_in1k", "advprop", 380),
        ("tf_efficientnet_b4_ap-dedb23e6", "advprop", 380),
        ("tf_efficientnet_b5.ra_in1k", "imagenet", 456),
        ("tf_efficientnet_b8", "advprop", 672),
        ("tf_efficientnet_b8.ra_in1k", "imagenet", 672),
        ("tf_efficientnet_l2.ns_jft_in1k_475", "imagenet", 475),
        ("tf_efficientnet_l2.ns_jft_in1k", "imagenet", 800),
        ("tf_efficientnet_lite0.in1k", "advprop", 224),
        ("tf_efficientnet_es", "advprop", 224),
    ],
)
def test_the_name_tells_the_input(tiny_b0, text, family, resolution):
    path = tiny_b0.rename(tiny_b0.with_name(f"{text}.safetensors"))
    known = published(None, str(path))
    contract = open_weights(str(path)).contract(VARIANTS[known.model])
    assert (contract.family, contract.resolution) == (family, resolution)


def test_config_json_tells_the_input(tiny_b0):
    config = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "input_size": [3, 96, 96]}
    settings = {
        "architecture": "tf_efficientnet_b0",
        "pretrained_cfg": config,
        "label_names": ["cat", "dog"],
    }
    tiny_b0.with_name("config.json").write_text(json.dumps(settings))
    source = open_weights(str(tiny_b0))
    contract = source.contract(VARIANTS["efficientnet-b0"])
    assert (contract.family, contract.resolution) == ("own", 96)
    np.testing.assert_allclose(contract.mean, [25.5, 51, 76.5])
    np.testing.assert_allclose(contract.std, [255, 255, 255])
    assert source.class_names == ("cat", "dog")


def test_a_file_of_no_name_is_read_with_a_warning(tiny_b0):
    path = tiny_b0.rename(tiny_b0.with_name("weights.safetensors"))
    source = open_weights(str(path))
    assert "nothing in the file or its name says that it is one of timm's tf_" in source.notes[0]


@pytest.mark.parametrize(
    "name", ["efficientnet_b0.ra_in1k", "efficientnet_lite0", "efficientnet_es", "efficientnet_b3a"]
)
def test_models_without_tf_are_refused_with_the_reason(tiny_b0, name):
    if name.endswith("b3a"):  # an old name of b3: unknown, so only the warning is left
        assert published(None, f"{name}.pth") is None
        return
    path = tiny_b0.rename(tiny_b0.with_name(f"{name}.safetensors"))
    message = refused(path)
    assert (
        f'"{name}.safetensors" is a model of timm without tf_ before its name: it pads' in message
    )
    assert "(1e-5, not 1e-3)" in message


@pytest.mark.parametrize("name", ["tf_efficientnetv2_s", "tf_efficientnet_cc_b0_4e", "resnet50"])
def test_other_networks_are_refused(tiny_b0, name):
    tiny_b0.with_name("config.json").write_text(json.dumps({"architecture": name}))
    assert refused(tiny_b0).startswith(f'--from: "{name}" is another network than those of the')


@pytest.mark.parametrize("folder", ["efficientnet_tf", "my_efficientnet_runs", "efficientnet"])
def test_ordinary_folders_are_no_models(folder):
    assert published(None, f"/home/me/{folder}/weights.pth") is None


# ---- refusals


@pytest.mark.parametrize(
    ("first", "library"),
    [("features.0.0.weight", "torchvision"), ("_conv_stem.weight", "the package efficientnet_pyt")],
)
def test_other_libraries_are_named(tmp_path, first, library):
    save_file({first: np.zeros((2, 3, 3, 3), np.float32)}, tmp_path / "x.safetensors")
    message = refused(tmp_path / "x.safetensors")
    assert f"expected conv_stem.weight, found {first}; these are the names of {library}" in message


@pytest.mark.parametrize("kept", [4, 40, 0.2, 0.99])
def test_a_truncated_safetensors_is_refused(tiny_b0, kept):
    stored = tiny_b0.read_bytes()
    tiny_b0.write_bytes(stored[: int(kept * len(stored)) if kept < 1 else kept])
    message = refused(tiny_b0)
    assert message.startswith(f'--from: "{tiny_b0}" ')
    assert "cannot be read" in message or "is of no known format, or damaged" in message


def test_another_width_is_refused_and_nothing_is_loaded(tiny_b0):
    model = narrow_model(width_coefficient=0.2)
    before = model.get_weights()
    with pytest.raises(UsageError, match="shapes differ"):
        merge_source(model, open_weights(str(tiny_b0)))
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_missing_tensor_is_refused(tiny_b0):
    arrays = load_file(tiny_b0)
    del arrays["blocks.0.0.se.conv_reduce.bias"]
    save_file(arrays, tiny_b0)
    with pytest.raises(UsageError, match="block1a_se/reduce_bias .*: no blocks.0.0.se.conv_reduce"):
        merge_source(narrow_model(), open_weights(str(tiny_b0)))


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    assert refused(tmp_path, format="timm") == (
        f'--from: the folder "{tmp_path}" holds none of model.safetensors, pytorch_model.bin.'
    )


@pytest.fixture
def fake_pickle(tmp_path):
    path = tmp_path / "tf_efficientnet_b0.pth"
    path.write_bytes(b"\x80\x02}q\x00.")  # an empty dictionary
    return path


def test_without_torch_a_pickle_is_refused(fake_pickle, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    message = refused(fake_pickle)
    assert f'"{fake_pickle}" is a pickle of PyTorch, which is not installed.' in message
    assert "safetensors.torch.save_file(model.state_dict(), FILE)" in message


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (lambda torch: [1, 2], "a list"),
        (lambda torch: {"loss": 0.5, "w": torch.zeros(2)}, "a dictionary of Tensor, float"),
        (lambda torch: {}, "an empty dictionary"),
    ],
)
def test_a_pickle_of_something_else_is_refused(timm, tmp_path, stored, found):
    import torch

    torch.save(stored(torch), tmp_path / "x.pth")
    message = refused(tmp_path / "x.pth")
    assert f"is no state dict: expected tensors by name, found {found}. Save" in message


def test_a_pickle_that_would_run_code_is_never_run(timm, tmp_path):
    import torch

    torch.save(SimpleNamespace(model=1), tmp_path / "model.pth")
    message = refused(tmp_path / "model.pth")
    assert "cannot be read as tensors alone" in message
    assert "save model.state_dict() instead." in message


def test_a_truncated_pickle_is_refused(timm, tmp_path):
    import torch

    torch.save({"conv_stem.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "x.pth")
    stored = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(stored[: len(stored) // 2])
    assert refused(tmp_path / "x.pth").startswith(f'--from: "{tmp_path}/x.pth" is damaged: ')
