"""Files of weights that are damaged, absurd or made to do harm; and heads that are no softmax."""

import json
import resource
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers import weights_file
from efficientnet_tf.importers.convert import Import, convert
from efficientnet_tf.importers.detect import open_weights
from efficientnet_tf.importers.input_contract import family_contract
from efficientnet_tf.importers.weights_file import WeightsInfo
from efficientnet_tf.importers.weights_source import merge_source
from efficientnet_tf.runs.trained_model import from_weights

SMALL = ("r1_k3_s22_e1_i32_o16_se0.25",)


@pytest.fixture(scope="module")
def body() -> tuple[Any, Any]:
    """Input and last map of a small network with the names of keras.applications."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(image)
    x = keras.layers.Conv2D(4, 3, 2, "same", use_bias=False, name="stem_conv")(x)
    x = keras.layers.BatchNormalization(name="stem_bn", epsilon=1e-3)(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, name="block1a_dwconv")(x)
    return image, keras.layers.GlobalAveragePooling2D()(x)


def fault_of(path: Path) -> str | None:
    return open_weights(str(path)).head_fault


def by_name(name: str) -> Any:
    """Like keras.activations' function of the name, in the file of a model as a dict."""
    return keras.activations.get(name)


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize(
    ("activation", "behind", "fault"),
    [
        ("softmax", [], None),
        (None, [], None),
        (None, [keras.layers.Activation("softmax")], None),
        (None, [keras.layers.Softmax(), keras.layers.Dropout(0.1)], None),
        ("sigmoid", [], "sigmoid"),
        (by_name("tanh"), [], "tanh"),
        (None, [keras.layers.Activation("sigmoid")], "sigmoid"),
        (None, [keras.layers.ReLU()], "ReLU"),
        ("softmax", [keras.layers.Rescaling(2.0, name="behind")], "softmax, Rescaling"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_follows_the_classifier_is_read(
    body: Any, tmp_path: Path, ending: str, activation: Any, behind: Any, fault: str | None
) -> None:
    image, x = body
    x = keras.layers.Dense(3, activation=activation, name="my_head")(x)
    for layer in behind:
        x = type(layer).from_config(layer.get_config())(x)
    path = tmp_path / f"model.{ending}"
    keras.Model(image, x).save(path)
    expected = None if fault is None else f"my_head is followed by {fault}"
    assert fault_of(path) == expected
    if fault:
        with pytest.raises(UsageError, match=r"classifier .* none of ours.*\nImport the rest with"):
            merge_source(None, open_weights(str(path)))


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5"])
def test_one_output_is_refused_whatever_the_file_says(
    body: Any, tmp_path: Path, ending: str
) -> None:
    image, x = body
    model = keras.Model(image, keras.layers.Dense(1, "sigmoid", name="predictions")(x))
    path = tmp_path / f"one.{ending}"
    (model.save_weights if ending == "weights.h5" else model.save)(path)
    out = str(tmp_path / "out.safetensors")
    wanted = Import(str(path), out, model="efficientnet-b0")
    with pytest.raises(UsageError, match=r"one output, .*always 1\.\nImport the rest with"):
        convert(wanted)
    with pytest.raises(UsageError, match="--classes must be at least 2"):
        convert(Import(str(path), out, model="efficientnet-b0", new_head=True, classes=1))


def rezipped(body: Any, path: Path, config: Any = None, **layers: Any) -> Path:
    """A .keras file with another configuration, or with other settings of some layers."""
    image, x = body
    keras.Model(image, keras.layers.Dense(3, name="predictions")(x)).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if config is None:
        stored = json.loads(members["config.json"])
        for layer in stored["config"]["layers"]:
            layer["config"].update(layers.get(layer["config"]["name"], {}))
            if layer["class_name"] == "InputLayer":
                layer["config"].update(layers.get("input", {}))
        config = json.dumps(stored)
    members["config.json"] = config.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


_LAYERS = ("5", "[5]", "{}", '[{"config": []}]', '[{"config": {}}]')
_NO_NAME = '[{"class_name": 5, "config": {"name": "x"}}]'


@pytest.mark.parametrize(
    "config",
    [
        *("[]", "5", "null", '"x"', "", "[" * 100_000, '{"config": []}', '{"config": null}'),
        *(f'{{"config": {{"layers": {layers}}}}}' for layers in (*_LAYERS, _NO_NAME)),
        " " * (2**24 + 1),
    ],
    ids=lambda config: config[:40].strip() or "spaces",
)
def test_a_configuration_that_is_none(body: Any, tmp_path: Path, config: str) -> None:
    path = rezipped(body, tmp_path / "x.keras", config)
    with pytest.raises(UsageError, match=r'^--from: ".*x\.keras" cannot be read: '):
        open_weights(str(path))


@pytest.mark.parametrize(
    "layers",
    [
        *({"input": {"batch_shape": shape}} for shape in (7, [None, "a", "a", 3])),
        {"input": {"batch_shape": [None, 10**12, 10**12, 3]}},
        *({"rescaling": {"scale": value}} for value in ("x", [], {}, 0, None, [1, 2, 3, 4, 5])),
        {"rescaling": {"scale": float("nan")}},
        *({"stem_bn": {"epsilon": value}} for value in ("x", {}, [1])),
        {"predictions": {"activation": {"config": 5}}},
    ],
)
def test_settings_that_are_none(body: Any, tmp_path: Path, layers: dict[str, Any]) -> None:
    path = rezipped(body, tmp_path / "x.keras", **layers)
    with pytest.raises(UsageError, match=r'".*x\.keras"'):
        merge_source(None, open_weights(str(path)))


def bomb(path: Path, member: str, size: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", '{"config": {}}')
        with archive.open(member, "w", force_zip64=True) as stream:
            for _ in range(size >> 20):
                stream.write(bytes(2**20))


@pytest.mark.parametrize(
    ("name", "member"), [("x.keras", "model.weights.h5"), ("x.pth", "archive/data.pkl")]
)
def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path, name: str, member: str) -> None:
    bomb(tmp_path / name, member, 2**28)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=r"would take 268 MB of memory.*\nCopy it again"):
        open_weights(str(tmp_path / name))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_an_array_that_is_not_in_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        group = file.create_group("layers/normalization/vars")
        group.create_dataset("0", (10**6, 10**5), "f4")  # nothing is stored: all are zero
    with pytest.raises(UsageError, match="would take 400,000 MB of memory"):
        open_weights(str(tmp_path / "x.weights.h5"))


@pytest.mark.parametrize("header", [2**63, 2**40, 10**8, 50, 0])
def test_a_header_that_lies_about_its_size(tmp_path: Path, header: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", header) + b'{"a":{"dtype":"F32","shape":[1],"data_off')
    for read in (open_weights, weights_file.read_info, from_weights):
        with pytest.raises(UsageError, match=r"x\.safetensors"):
            read(str(path))


@pytest.fixture
def stored(tiny_network: Any, tmp_path: Path) -> Any:
    """Writes a file of ours whose metadata say something else."""
    model = tiny_network(blocks_args=SMALL)
    info = WeightsInfo(
        model="efficientnet-b0",
        classes=10,
        resolution=16,
        contract=family_contract("advprop", 16),
        source="s",
        source_format="f",
        source_sha256="ab" * 32,
        coefficients={"width_coefficient": 0.1, "blocks_args": list(SMALL)},
    )

    def write(**metadata: str) -> str:
        from safetensors.numpy import load_file, save_file

        path = str(tmp_path / "x.safetensors")
        weights_file.save(path, {w.path: w.numpy() for w in model.weights}, info)
        told = {**weights_file._checked(path)[1], **metadata}
        told["metadata_sha256"] = weights_file._metadata_digest(told)  # whoever means harm has it
        save_file(load_file(path), path, told)
        return path

    return write


CONTRACT = family_contract("advprop", 16).to_dict()


@pytest.mark.parametrize(
    "metadata",
    [
        {"classes": "0"},
        {"classes": "-3"},
        {"classes": "10000000000"},
        {"classes": "1e3"},
        {"resolution": "10000000000"},
        {"resolution": "-1"},
        {"model": "nothing-like-this"},
        {"model": "[]"},
        {"format_version": "²"},
        {"class_names": '["a"]'},
        {"class_names": "{}"},
        {"class_names": json.dumps([5] * 10)},
        {"coefficients": "[]", "model": "efficientnet-l2"},
        {"coefficients": "5"},
        {"coefficients": '{"width_coefficient": 1e308}'},
        {"coefficients": '{"width_coefficient": 4000}'},
        {"coefficients": '{"depth_coefficient": NaN}'},
        {"coefficients": '{"blocks_args": ["r1000000_k3_s22_e1_i32_o16"]}'},
        {"coefficients": '{"blocks_args": ["r999999_k3_s22_e1_i32_o16"]}'},
        {"coefficients": '{"blocks_args": 5}'},
        {"coefficients": '{"weights": "imagenet"}'},
        {"coefficients": "[" * 100_000},
        {"contract": "[]"},
        {"contract": json.dumps({**CONTRACT, "resolution": 10**9})},
        {"contract": json.dumps({**CONTRACT, "std": [0, 1, 1]})},
        {"contract": json.dumps({**CONTRACT, "mean": [float("nan")] * 3})},
        {"contract": json.dumps({**CONTRACT, "interpolation": 5})},
        {"contract": json.dumps({**CONTRACT, "crop_fraction": -7})},
        {"contract": json.dumps({**CONTRACT, "eval_crop": ["x"]})},
    ],
)
def test_absurd_metadata(stored: Any, metadata: dict[str, str]) -> None:
    path = stored(**metadata)
    with pytest.raises(UsageError):
        from_weights(path)


def test_metadata_as_they_should_be(stored: Any) -> None:
    answers = from_weights(stored()).model(np.zeros((1, 16, 16, 3), np.float32))
    assert answers.shape == (1, 10)
