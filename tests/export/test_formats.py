"""Every format in its own runtime: proved, refused when it differs, stored with its proof."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.export import onnx_file, runtimes, tflite
from efficientnet_tf.export.formats import Sample, make_sample, write
from efficientnet_tf.export.options import FORMATS, ExportOptions, parse_formats

PHOTOS = sorted((Path(__file__).parents[1] / "golden" / "images").glob("*.jpg"))
PREPROCESSING = Preprocessing(16)
NAMES = tuple(f"name {number}" for number in range(10))
LITE = ("r1_k3_s22_e1_i32_o16_noskip", "r2_k3_s22_e6_i16_o24_noskip")


def settled(model: keras.Model) -> keras.Model:
    """Answers that differ from image to image, as those of a trained network."""
    chance = np.random.RandomState(0)
    for weight in model.weights:
        if weight.path.endswith("moving_mean"):
            weight.assign(chance.normal(0, 0.05, weight.shape))
        elif weight.path == "predictions/kernel":
            weight.assign(chance.normal(0, 2, weight.shape))
    return model


@pytest.fixture(scope="module")
def model(tiny_network: Any) -> keras.Model:
    return settled(tiny_network(classifier_activation="softmax"))


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    """Crops of the photographs, no two alike."""
    found = []
    for photo in PHOTOS:
        pixels = tf.io.decode_jpeg(photo.read_bytes())
        for place in range(8):
            crop = pixels[20 * place : 20 * place + 90, 15 * place : 15 * place + 90]
            found.append(tf.io.encode_png(crop).numpy())
    return found


@pytest.fixture(scope="module")
def sample(model: keras.Model, files: list[bytes]) -> Sample:
    return make_sample(model, PREPROCESSING, files, labels=[0] * len(files))


def write_all(model: keras.Model, directory: Path, sample: Sample, **options: Any) -> list[str]:
    said: list[str] = []
    write(
        model,
        str(directory),
        PREPROCESSING,
        sample,
        class_names=NAMES,
        metadata={"step": 7, "model": "efficientnet-b0"},
        options=ExportOptions(**options),
        say=said.append,
    )
    return said


@pytest.fixture(scope="module")
def written(
    model: keras.Model, sample: Sample, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("formats")
    float_formats = tuple(name for name in FORMATS if name != "tflite-int8")
    return folder, write_all(model, folder / "export", sample, formats=float_formats)


FILES_OF = {
    "saved_model": ("export", "export/proof.json"),
    "tflite-float32": ("export.float32.tflite", "export.float32.json"),
    "tflite-float16": ("export.float16.tflite", "export.float16.json"),
    "tflite-dynamic": ("export.dynamic.tflite", "export.dynamic.json"),
    "onnx": ("export.onnx", "export.onnx.json"),
}


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("saved_model", 1e-6),
        ("tflite-float32", 1e-6),
        ("onnx", 1e-6),
        ("tflite-float16", 0.02),
        ("tflite-dynamic", 0.2),
    ],
)
def test_each_format_answers_in_its_own_runtime(
    written: tuple[Path, list[str]], sample: Sample, name: str, tolerance: float
) -> None:
    folder, _ = written
    answers = runtimes.open_artefact(str(folder / FILES_OF[name][0]), threads=1)(sample.images)
    assert np.abs(answers - sample.expected).max() <= tolerance
    assert np.mean(answers.argmax(1) == sample.expected.argmax(1)) >= 0.95


def test_the_proof_is_said_and_stored(written: tuple[Path, list[str]], sample: Sample) -> None:
    folder, said = written
    assert len(said) == len(FILES_OF)
    for line, (name, (artefact, proof)) in zip(said, FILES_OF.items(), strict=True):
        stored = json.loads((folder / proof).read_text())
        assert stored["artefact"] == str(folder / artefact), name
        assert line.startswith(f"{folder / artefact} (")
        assert stored["images"] == len(sample.images)
        assert stored["holds"] is True
        assert stored["milliseconds"] > 0
        share = float(np.mean(sample.expected.argmax(1) == 0))  # every label is 0
        assert stored["top1_in_memory"] == pytest.approx(share)
        assert stored["bytes"] == runtimes.artefact_bytes(str(folder / artefact)) or name == (
            "saved_model"  # its proof was not there yet
        )
    sizes = {
        name: json.loads((folder / path[1]).read_text())["bytes"] for name, path in FILES_OF.items()
    }
    smaller = max(sizes["tflite-float16"], sizes["tflite-dynamic"])
    assert smaller < sizes["tflite-float32"]
    assert not list(folder.glob("*partial*"))


def test_tflite_has_its_signature_and_its_labels(written: tuple[Path, list[str]]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = str(written[0] / "export.float32.tflite")
    runner = Interpreter(path).get_signature_runner("serving_default")
    answers = runner(images=np.zeros([1, 16, 16, 3], np.float32))
    assert answers["probabilities"].shape == (1, 10)
    assert tflite.labels(path) == list(NAMES)


def test_tflite_runs_where_litert_is_not_installed(
    written: tuple[Path, list[str]], sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    run = runtimes.open_artefact(str(written[0] / "export.float32.tflite"))
    np.testing.assert_allclose(run(sample.images), sample.expected, atol=1e-6)


def test_onnx_has_names_and_any_batch(written: tuple[Path, list[str]]) -> None:
    import onnx

    stored = onnx.load(str(written[0] / "export.onnx"))
    properties = {entry.key: entry.value for entry in stored.metadata_props}
    assert json.loads(properties.pop("class_names")) == list(NAMES)
    assert properties == {"step": "7", "model": "efficientnet-b0"}  # text without quotes
    (read,) = stored.graph.input
    (answer,) = stored.graph.output
    assert (read.name, answer.name) == ("images", "probabilities")
    for value in (read, answer):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    shape = read.type.tensor_type.shape.dim
    assert not shape[0].dim_value
    assert [dim.dim_value for dim in shape[1:]] == [16, 16, 3]


def test_fixed_batches(model: keras.Model, sample: Sample, tmp_path: Path) -> None:
    formats = ("saved_model", "tflite-float32", "onnx")
    write_all(model, tmp_path / "export", sample, formats=formats, batch=5)  # 24 is no multiple
    proof = json.loads((tmp_path / "export.onnx.json").read_text())
    assert proof["largest_difference"] < 1e-6


# Eight bits


def test_int8_reads_pixels_as_they_are(
    tiny_network: Any, files: list[bytes], tmp_path: Path
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    lite = settled(tiny_network(blocks_args=LITE, classifier_activation="softmax"))
    sample = make_sample(lite, PREPROCESSING, files)
    tflite.save(lite, str(tmp_path / "x.tflite"), "int8", calibration=sample.images)
    interpreter = Interpreter(str(tmp_path / "x.tflite"))
    interpreter.allocate_tensors()
    (read,) = interpreter.get_input_details()
    assert read["dtype"] == np.uint8
    assert read["quantization"] == (1.0, 0)
    types = {
        interpreter._get_tensor_details(place, 0)["dtype"]
        for operation in interpreter._get_ops_details()
        for place in operation["inputs"]
        if operation["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D")
    }
    assert types <= {np.int8, np.int32}


def test_int8_without_images_is_refused(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8 needs images to calibrate with"):
        tflite.save(model, str(tmp_path / "x.tflite"), "int8")


# What differs


@pytest.fixture
def other(model: keras.Model, sample: Sample) -> Sample:
    """The answers of another network."""
    expected = np.roll(sample.expected, 1, axis=1)
    return Sample(sample.files, sample.images, expected, None, sample.calibration)


@pytest.mark.parametrize("name", ["saved_model", "tflite-float32", "tflite-float16", "onnx"])
def test_what_differs_is_not_kept_and_the_older_one_is(
    written: tuple[Path, list[str]],
    model: keras.Model,
    other: Sample,
    tmp_path: Path,
    name: str,
) -> None:
    artefact = tmp_path / FILES_OF[name][0]
    if name == "saved_model":
        artefact.mkdir()
        (artefact / "saved_model.pb").write_text("old")
    else:
        artefact.write_text("old")
    with pytest.raises(RunError) as caught:
        write_all(model, tmp_path / "export", other, formats=(name,))
    message = str(caught.value)
    assert f'"{artefact}" differs from the model in memory by 0.' in message
    assert "It was not kept." in message
    kept = artefact / "saved_model.pb" if name == "saved_model" else artefact
    assert kept.read_text() == "old"
    assert os.listdir(tmp_path) == [artefact.name]


def test_a_wrong_eval_path_in_the_saved_model_is_found(
    model: keras.Model, sample: Sample, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="signature serving_default of .* differs"):
        write(
            model,
            str(tmp_path / "export"),
            Preprocessing(16, eval_crop="none", interpolation="bilinear"),
            sample,
            class_names=None,
            metadata={},
            options=ExportOptions(),
            say=print,
        )
    assert os.listdir(tmp_path) == []


def test_no_number_does_not_pass(model: keras.Model, sample: Sample, tmp_path: Path) -> None:
    nothing = np.full_like(sample.expected, np.nan)
    broken = Sample(sample.files, sample.images, nothing, None, sample.calibration)
    with pytest.raises(RunError, match="by nan"):
        write_all(model, tmp_path / "export", broken)


def test_swish_in_8_bits_is_a_warning_that_names_the_lite_ones(
    model: keras.Model, other: Sample, tmp_path: Path
) -> None:
    said = write_all(model, tmp_path / "export", other, formats=("tflite-int8",))
    assert said[-1].startswith(f'warning: "{tmp_path}/export.int8.tflite" differs')
    assert "efficientnet-lite0" in said[-1]
    assert json.loads((tmp_path / "export.int8.json").read_text())["holds"] is False
    assert (tmp_path / "export.int8.tflite").exists()


# What cannot be


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("tflite",)}, '--export_formats must be some of .*received "tflite"'),
        ({"formats": ()}, "--export_formats must be some of"),
        ({"batch": 0}, "--export_batch must be at least 1, received 0"),
        ({"images": 0}, "--export_images must be at least 1, received 0"),
        ({"dtype": "float61"}, '--export_dtype must be one of .*Did you mean "float16"'),
    ],
)
def test_options_that_are_not(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ExportOptions(**options)


def test_onnx_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(
        UsageError, match=r"needs tf2onnx, .*\npip install 'efficientnet_tf\[onnx\]'"
    ):
        ExportOptions(formats=("onnx",))


def test_formats_of_a_flag() -> None:
    assert parse_formats("onnx, saved_model,onnx") == ("onnx", "saved_model")


def test_a_bucket_takes_saved_models_only(model: keras.Model, sample: Sample) -> None:
    with pytest.raises(UsageError, match="written to a local folder"):
        write(
            model,
            "gs://bucket/export",
            PREPROCESSING,
            sample,
            class_names=None,
            metadata={},
            options=ExportOptions(formats=("onnx",)),
            say=print,
        )


@pytest.mark.parametrize("name", ["tflite-float32", "onnx"])
def test_a_place_that_cannot_be_written(
    model: keras.Model, sample: Sample, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write_all(model, tmp_path / "file" / "export", sample, formats=(name,))


def test_what_is_no_artefact(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no export"):
        runtimes.open_artefact(str(tmp_path / "nothing.onnx"))
    (tmp_path / "photo.jpg").write_text("")
    with pytest.raises(UsageError, match="must be a SavedModel folder, a .tflite or an .onnx"):
        runtimes.open_artefact(str(tmp_path / "photo.jpg"))


def test_a_converter_that_fails_says_so_in_a_line(
    model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("first line\nsecond line")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "convert", fail)
    with pytest.raises(RunError, match="^TFLite cannot convert .*: first line$"):
        tflite.save(model, str(tmp_path / "x.tflite"), "float32")
    monkeypatch.setattr("tf2onnx.convert.from_function", fail)
    with pytest.raises(RunError, match="^tf2onnx cannot convert"):
        onnx_file.save(model, str(tmp_path / "x.onnx"))


def test_weights_that_are_not_finite_are_not_exported(
    tiny_network: Any, sample: Sample, tmp_path: Path
) -> None:
    diverged = tiny_network(classifier_activation="softmax")
    weight = diverged.weights[0]
    weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(RunError, match="the weights are not finite .*so nothing was exported"):
        write_all(diverged, tmp_path / "export", sample)
    assert list(tmp_path.iterdir()) == []
