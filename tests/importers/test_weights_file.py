"""Our file of weights: what is in it, that it comes back, and what is refused."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from efficientnet_tf import __version__
from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers import weights_file
from efficientnet_tf.importers.input_contract import family_contract
from efficientnet_tf.importers.weights_file import WeightsInfo

INFO = WeightsInfo(
    model="efficientnet-b0",
    classes=10,
    resolution=16,
    contract=family_contract("advprop", 16),
    source="/somewhere/model.ckpt-7",
    source_format="official TF1 checkpoint",
    source_sha256="ab" * 32,
    coefficients={"width_coefficient": 0.1, "blocks_args": ["r1_k3_s22_e1_i32_o16_se0.25"]},
    class_names=tuple(f"digit {i}" for i in range(10)),
)


def arrays_of(model):
    return {weight.path: weight.numpy() for weight in model.weights}


@pytest.fixture
def model(tiny_network):
    return tiny_network(seed=1)


@pytest.fixture
def path(model, tmp_path):
    path = str(tmp_path / "b0.safetensors")
    weights_file.save(path, arrays_of(model), INFO)
    return path


def refused(action, *args, **kwargs):
    with pytest.raises(UsageError) as error:
        action(*args, **kwargs)
    return str(error.value)


def rewrite(path, arrays=None, **metadata):
    """The file again, with other metadata; None leaves one out."""
    with safe_open(path, "numpy") as file:
        stored = file.metadata()
        names = file.keys()
        kept = {name: file.get_tensor(name) for name in names}
    stored.update(metadata)
    stored = {key: value for key, value in stored.items() if value is not None}
    save_file(arrays or kept, path, stored)


def test_everything_comes_back(model, path):
    arrays, info = weights_file.load(path)
    assert info == INFO
    assert weights_file.read_info(path) == INFO
    assert info.efficientnet_tf == __version__
    expected = arrays_of(model)
    assert set(arrays) == set(expected)
    for name, array in arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[name])


def test_any_reader_of_safetensors_understands_it(path):
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "efficientnet_tf weights"
    assert metadata["format_version"] == "1"
    assert metadata["model"] == "efficientnet-b0"
    assert json.loads(metadata["contract"])["mean"] == [127.5] * 3
    assert set(metadata) == {
        *("format", "format_version", "model", "coefficients", "classes", "resolution"),
        *("contract", "class_names", "source", "source_format", "source_sha256"),
        *("weights_sha256", "metadata_sha256", "efficientnet_tf"),
    }


def test_no_class_names_come_back_as_none(model, tmp_path):
    path = str(tmp_path / "x.safetensors")
    weights_file.save(path, arrays_of(model), replace(INFO, class_names=None))
    assert weights_file.read_info(path).class_names is None


def test_only_the_file_is_left_with_the_users_permissions(path, tmp_path):
    (tmp_path / "other").touch()
    assert sorted(os.listdir(tmp_path)) == ["b0.safetensors", "other"]
    assert os.stat(path).st_mode == os.stat(tmp_path / "other").st_mode


def test_an_older_file_is_replaced_whole_or_not_at_all(model, path, monkeypatch):
    before = weights_file.load(path)[1]

    def full_disk(arrays, name, metadata):
        with open(name, "wb") as stream:
            stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full_disk)
    message = refused(weights_file.save, path, arrays_of(model), replace(INFO, source="new"))
    assert "cannot be written: [Errno 28] No space left on device." in message
    assert weights_file.load(path)[1] == before
    assert os.listdir(os.path.dirname(path)) == ["b0.safetensors"]


def test_loading_gives_the_weights_and_the_input(model, path, tiny_network):
    other = tiny_network(seed=2)
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    other.predict(images, verbose=0)  # Keras keeps a compiled function with the old constants
    receipt = weights_file.load_into(other, path, name="efficientnet-b0")
    for was, now in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    layer = other.get_layer("normalization")
    assert (layer.mean, layer.std) == ((127.5,) * 3, (127.5,) * 3)
    assert len(receipt.matched) == len(other.weights)
    model.get_layer("normalization").mean = model.get_layer("normalization").std = (127.5,) * 3
    want = np.asarray(model(images))
    np.testing.assert_allclose(other.predict(images, verbose=0), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(other(images)), want, rtol=1e-5, atol=1e-6)


def test_a_model_without_classifier_takes_the_rest(path, tiny_network):
    other = tiny_network(include_top=False)
    receipt = weights_file.load_into(other, path)
    assert receipt.unmatched_source == ("predictions/bias", "predictions/kernel")
    assert receipt.unmatched_model == ()


def test_a_new_head_stays_as_it_is(path, tiny_network):
    other = tiny_network(classes=3)
    head = other.get_layer("predictions").get_weights()
    receipt = weights_file.load_into(other, path, new_head=True)
    assert receipt.unmatched_model == ("predictions/kernel", "predictions/bias")
    for was, now in zip(head, other.get_layer("predictions").get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_other_classes_are_refused(path, tiny_network):
    message = refused(weights_file.load_into, tiny_network(classes=3), path)
    assert message == (
        f'weights: "{path}" has 10 classes, the model 3. Build it with classes=10, without '
        "classifier (include_top=False), or import the weights again with --new_head --classes=3."
    )


def test_another_model_is_refused(path, model):
    message = refused(weights_file.load_into, model, path, name="efficientnet-b4")
    assert message == f'weights: "{path}" holds efficientnet-b0, the model is efficientnet-b4.'
    weights_file.load_into(model, path, name="EfficientNet-B0")


def test_other_coefficients_are_refused(path, tiny_network):
    message = refused(weights_file.load_into, tiny_network(width_coefficient=0.3), path)
    assert "shapes differ" in message


def test_no_file_is_refused(tmp_path):
    path = str(tmp_path / "none.safetensors")
    assert refused(weights_file.load, path) == f'weights: there is no file "{path}".'


@pytest.mark.parametrize("kept", [0, 5, 300, -1])
def test_a_truncated_file_is_refused(path, kept):
    stored = Path(path).read_bytes()
    Path(path).write_bytes(stored[:kept])
    assert f'"{path}" is no safetensors file, or damaged: ' in refused(weights_file.load, path)


def test_a_changed_byte_is_found(path):
    with open(path, "r+b") as stream:
        stream.seek(-3, os.SEEK_END)
        byte = stream.read(1)
        stream.seek(-3, os.SEEK_END)
        stream.write(bytes([byte[0] ^ 1]))
    message = refused(weights_file.load, path)
    assert message == f'weights: "{path}" is damaged: its checksum differs. Copy it again.'


def test_a_file_of_another_program_is_refused(tmp_path):
    path = str(tmp_path / "timm.safetensors")
    save_file({"conv_stem.weight": np.zeros((2, 2), np.float32)}, path, {"format": "pt"})
    message = refused(weights_file.load, path)
    assert f'"{path}" was not written by efficientnet_tf. Import it first: python' in message


def test_a_file_of_the_future_is_refused(path):
    rewrite(path, format_version="2", efficientnet_tf="9.0")
    message = refused(weights_file.load, path)
    assert 'has format version "2", this program reads up to 1. It was written by' in message
    assert "efficientnet_tf 9.0: update this one." in message


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"classes": "ten"},
        {"contract": "{}"},
        {"contract": '{"mean": [1, 2]}'},
        {"coefficients": "["},
        {"resolution": "32"},  # plausible, but the checksum is that of another
        {"metadata_sha256": "0" * 64},
    ],
)
def test_damaged_metadata_are_refused(path, change):
    rewrite(path, **change)
    message = refused(weights_file.read_info, path)
    assert "damaged" in message


def test_a_file_of_a_version_without_that_checksum_is_read(path):
    rewrite(path, metadata_sha256=None)
    assert weights_file.read_info(path) == INFO


def test_places_that_cannot_be_written_are_refused(tmp_path, model):
    folder = str(tmp_path)
    assert refused(weights_file.save, folder, arrays_of(model), INFO) == (
        f'--output: "{folder}" cannot be written: it is a folder; give the name of a file.'
    )
    path = str(tmp_path / "none" / "x.safetensors")
    assert refused(weights_file.save, path, arrays_of(model), INFO) == (
        f'--output: "{path}" cannot be written: No such file or directory.'
    )
