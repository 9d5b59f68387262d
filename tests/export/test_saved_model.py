"""The SavedModel: what it answers, that it needs nothing of this package, how it is replaced."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.export import saved_model
from efficientnet_tf.export.options import ExportOptions

PHOTOS = sorted((Path(__file__).parents[1] / "golden" / "images").glob("*.jpg"))
PREPROCESSING = Preprocessing(16)
NAMES = tuple(f"name {number}" for number in range(10))


@pytest.fixture(scope="module")
def model(tiny_network: Any) -> keras.Model:
    """A tiny network whose probabilities differ from image to image and class to class."""
    made = tiny_network(classifier_activation="softmax")
    chance = np.random.RandomState(0)
    for weight in made.weights:
        if weight.path.endswith(("moving_mean", "moving_variance")):
            weight.assign(weight.numpy() + chance.uniform(0, 0.1, weight.shape))
    return made


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    """JPEG and PNG, colour and grey, of several sizes."""
    png = tf.io.encode_png(tf.io.decode_jpeg(PHOTOS[0].read_bytes())[:200, :150]).numpy()
    return [*(path.read_bytes() for path in PHOTOS), png]


@pytest.fixture(scope="module")
def batch(images: list[bytes]) -> np.ndarray:
    return np.stack([PREPROCESSING.for_eval(tf.constant(image)) for image in images])


@pytest.fixture(scope="module")
def probabilities(model: keras.Model, batch: np.ndarray) -> np.ndarray:
    """What the model in memory answers."""
    answers = model(batch, training=False).numpy()
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    return answers


@pytest.fixture(scope="module")
def exported(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export") / "model"
    saved_model.save(
        model,
        str(directory),
        PREPROCESSING,
        class_names=NAMES,
        metadata={"step": 7, "class_names": NAMES},
    )
    return directory


@pytest.fixture(scope="module")
def signatures(exported: Path) -> Any:
    """Of the export, loaded once for all tests."""
    return tf.saved_model.load(str(exported)).signatures


def inputs_of(batch: np.ndarray, images: list[bytes]) -> dict[str, dict[str, tf.Tensor]]:
    return {
        "serving_default": {"image_bytes": tf.constant(images)},
        "serve": {"images": tf.constant(batch, tf.float32)},
        "serve_uint8": {"images": tf.cast(tf.round(tf.clip_by_value(batch, 0, 255)), tf.uint8)},
    }


def test_signatures_are_what_the_docstring_says(signatures: Any) -> None:
    assert set(signatures) == {"serving_default", "serve", "serve_uint8"}
    inputs = {name: signatures[name].structured_input_signature[1] for name in signatures}
    assert inputs["serving_default"] == {
        "image_bytes": tf.TensorSpec([None], tf.string, name="image_bytes")
    }
    for name, dtype in (("serve", tf.float32), ("serve_uint8", tf.uint8)):
        assert inputs[name] == {"images": tf.TensorSpec([None, 16, 16, 3], dtype, name="images")}
        assert name in saved_model.__doc__
    for signature in signatures.values():
        outputs = signature.structured_outputs
        assert outputs["probabilities"].shape.as_list() == [None, 10]
        assert set(outputs) == {"probabilities", "top_classes", "top_probabilities", "top_names"}


def test_an_empty_request_has_an_empty_answer(
    signatures: Any, images: list[bytes], batch: np.ndarray
) -> None:
    for name, request in inputs_of(batch, images).items():
        answers = signatures[name](**{key: value[:0] for key, value in request.items()})
        assert {key: answer.shape.as_list() for key, answer in answers.items()} == {
            "probabilities": [0, 10],
            **dict.fromkeys(("top_classes", "top_probabilities", "top_names"), [0, 5]),
        }


@pytest.mark.parametrize("signature", ["serving_default", "serve"])
def test_answers_equal_the_model_in_memory(
    signatures: Any,
    images: list[bytes],
    batch: np.ndarray,
    probabilities: np.ndarray,
    signature: str,
) -> None:
    answers = signatures[signature](**inputs_of(batch, images)[signature])
    np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-6)
    order = np.argsort(-probabilities, axis=1)[:, :5]
    np.testing.assert_array_equal(answers["top_classes"], order)
    best = np.take_along_axis(probabilities, order, axis=1)
    np.testing.assert_allclose(answers["top_probabilities"], best, atol=1e-6)
    expected = np.array(NAMES)[order]
    np.testing.assert_array_equal(answers["top_names"].numpy().astype(str), expected)


def test_uint8_images_are_answered_as_floats_of_the_same_values(
    signatures: Any, images: list[bytes], batch: np.ndarray
) -> None:
    rounded = inputs_of(batch, images)["serve_uint8"]["images"]
    answers = signatures["serve_uint8"](images=rounded)["probabilities"]
    expected = signatures["serve"](images=tf.cast(rounded, tf.float32))["probabilities"]
    np.testing.assert_allclose(answers, expected, atol=1e-6)


def test_any_batch_size_is_answered(signatures: Any, batch: np.ndarray) -> None:
    for size in (1, 3):
        answers = signatures["serve"](images=tf.constant(batch[:size], tf.float32))
        assert answers["probabilities"].shape == [size, 10]


def test_keras_can_take_it_as_a_layer(
    exported: Path, batch: np.ndarray, images: list[bytes], probabilities: np.ndarray
) -> None:
    layers = {
        name: keras.layers.TFSMLayer(str(exported), call_endpoint=name)
        for name in ("serve", "serving_default")
    }
    answers = layers["serve"](tf.constant(batch, tf.float32))
    np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-6)
    answers = layers["serving_default"](tf.constant(images))
    np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-6)


def test_another_program_needs_only_tensorflow(
    exported: Path, tmp_path: Path, probabilities: np.ndarray
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys\n"
        "sys.modules['efficientnet_tf'] = None  # an import would raise\n"
        "import tensorflow as tf\n"
        "serve = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "images = [tf.io.read_file(path).numpy() for path in sys.argv[2:]]\n"
        "answers = serve(image_bytes=tf.constant(images))['probabilities'].numpy().tolist()\n"
        "print(json.dumps(answers))\n"
    )
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", str(program), str(exported), *map(str, PHOTOS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    np.testing.assert_allclose(answers, probabilities[: len(PHOTOS)], atol=1e-6)


def test_metadata_lie_beside_the_model(exported: Path) -> None:
    metadata = json.loads((exported / "metadata.json").read_text())
    assert metadata == {"step": 7, "class_names": list(NAMES)}
    assert not (exported.parent / "model.partial").exists()


def test_without_names_and_with_few_classes(tmp_path: Path, tiny_network: Any) -> None:
    model = tiny_network(classes=3, classifier_activation="softmax")
    directory = str(tmp_path / "model") + "/"  # as the shell completes it
    saved_model.save(model, directory, PREPROCESSING)
    answers = tf.saved_model.load(directory).signatures["serve"](images=tf.zeros([2, 16, 16, 3]))
    assert set(answers) == {"probabilities", "top_classes", "top_probabilities"}
    assert answers["top_classes"].shape == [2, 3]
    assert json.loads((tmp_path / "model" / "metadata.json").read_text()) == {}


def test_weights_are_stored_once_and_as_constants(exported: Path, model: keras.Model) -> None:
    held = 4 * sum(int(np.prod(weight.shape)) for weight in model.weights)
    stored = (exported / "saved_model.pb").stat().st_size
    assert held < stored < held + 500_000
    assert sum(path.stat().st_size for path in (exported / "variables").iterdir()) < 1000
    loaded = tf.saved_model.load(str(exported))
    assert not loaded.signatures["serve"].variables


def test_too_many_weights_for_a_graph_stay_variables(
    model: keras.Model,
    batch: np.ndarray,
    probabilities: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saved_model, "_CONSTANT_BYTES", 1000)
    saved_model.save(model, str(tmp_path / "model"), PREPROCESSING)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert loaded.signatures["serve"].variables
    answers = loaded.signatures["serve"](images=tf.constant(batch, tf.float32))
    np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-6)


def test_a_fixed_batch(
    model: keras.Model, images: list[bytes], probabilities: np.ndarray, tmp_path: Path
) -> None:
    saved_model.save(model, str(tmp_path / "model"), PREPROCESSING, options=ExportOptions(batch=4))
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    assert signatures["serve"].structured_outputs["probabilities"].shape == [4, 10]
    answers = signatures["serving_default"](image_bytes=tf.constant(images))
    np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-6)


def stored_functions(directory: Path) -> Any:
    stored = SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    return stored.meta_graphs[0].graph_def.library.function


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_the_size(
    exported: Path,
    model: keras.Model,
    batch: np.ndarray,
    probabilities: np.ndarray,
    tmp_path: Path,
    dtype: str,
) -> None:
    saved_model.save(
        model, str(tmp_path / "model"), PREPROCESSING, options=ExportOptions(dtype=dtype)
    )
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    answers = loaded.signatures["serve"](images=tf.constant(batch, tf.float32))["probabilities"]
    assert answers.dtype == tf.float32
    np.testing.assert_allclose(answers, probabilities, atol=0.05)
    types = {
        node.attr["dtype"].type
        for function in stored_functions(tmp_path / "model")
        for node in function.node_def
        if node.op == "Const"
    }
    assert tf.as_dtype(dtype).as_datatype_enum in types


def test_xla_compiles_the_network(
    model: keras.Model, batch: np.ndarray, probabilities: np.ndarray, tmp_path: Path
) -> None:
    saved_model.save(model, str(tmp_path / "model"), PREPROCESSING, options=ExportOptions(xla=True))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    functions = stored_functions(tmp_path / "model")
    assert any(function.attr["_XlaMustCompile"].b for function in functions)
    answers = loaded.signatures["serve"](images=tf.constant(batch, tf.float32))
    np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-5)


# Replacing an export


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    """An export that is there already; nothing of it is read."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "saved_model.pb").write_text("old")
    (directory / "old.txt").write_text("old")
    return directory


def test_an_export_is_replaced_as_a_whole(
    existing: Path, model: keras.Model, tmp_path: Path
) -> None:
    (tmp_path / "model.partial").mkdir()  # of a killed process
    (tmp_path / "model.partial" / "half.txt").write_text("half")
    saved_model.save(model, str(existing), PREPROCESSING)
    assert not (existing / "old.txt").exists()
    assert not (existing / "half.txt").exists()
    assert "serve" in tf.saved_model.load(str(existing)).signatures
    assert os.listdir(tmp_path) == ["model"]


def no_space(*args: Any, **kwargs: Any) -> None:
    raise tf.errors.ResourceExhaustedError(None, None, "No space left on device\nmore")


def write_half(trackable: Any, folder: str, **kwargs: Any) -> None:
    Path(folder).mkdir()
    (Path(folder) / "saved_model.pb").write_text("half")
    no_space()


def fail_to_rename_the_new_one(patch: pytest.MonkeyPatch) -> None:
    rename = tf.io.gfile.rename
    patch.setattr(
        tf.io.gfile,
        "rename",
        lambda source, *rest, **more: (
            no_space() if source.endswith(".partial") else rename(source, *rest, **more)
        ),
    )


@pytest.mark.parametrize(
    "breaks",
    [
        lambda patch: patch.setattr(tf.saved_model, "save", write_half),
        lambda patch: patch.setattr(saved_model, "write_json", no_space),
        fail_to_rename_the_new_one,
    ],
    ids=["model", "metadata", "rename"],
)
def test_an_export_that_fails_leaves_the_old_one(
    existing: Path,
    model: keras.Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[pytest.MonkeyPatch], None],
) -> None:
    breaks(monkeypatch)
    with pytest.raises(RunError) as caught:
        saved_model.save(model, str(existing), PREPROCESSING)
    message = str(caught.value)
    assert f'could not be written to "{existing}": No space left on device' in message
    assert "more" not in message
    assert sorted(os.listdir(existing)) == ["old.txt", "saved_model.pb"]
    assert os.listdir(tmp_path) == ["model"], "the unfinished export was left behind"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, model: keras.Model) -> None:
    (tmp_path / "file").write_text("")
    directory = f"{tmp_path}/file/export"
    with pytest.raises(UsageError, match=f'^--export_dir: "{directory}" cannot be written: '):
        saved_model.save(model, directory, PREPROCESSING)


def test_what_is_no_export_is_never_deleted(tmp_path: Path, model: keras.Model) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    saved_model.check_directory(str(folder))  # empty
    saved_model.check_directory(str(tmp_path / "new" / "folder"))
    (folder / "holiday.jpg").write_text("irreplaceable")
    file = tmp_path / "file"
    file.write_text("irreplaceable, too")
    for path, found in ((folder, "holiday.jpg"), (file, "a file")):
        for refuse in (
            lambda path=path: saved_model.check_directory(str(path)),
            lambda path=path: saved_model.save(model, str(path), PREPROCESSING),
        ):
            with pytest.raises(UsageError) as caught:
                refuse()
            message = str(caught.value)
            assert f'--export_dir: "{path}" is not an older export' in message
            assert f"(found {found})" in message
    assert sorted(os.listdir(tmp_path)) == ["file", "photos"]
    assert os.listdir(folder) == ["holiday.jpg"]
