"""Predictions for image files, from exports, runs and files of weights."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS

from efficientnet_tf import config as config_lib
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.export import saved_model
from efficientnet_tf.importers import weights_file
from efficientnet_tf.importers.input_contract import apply_contract, family_contract
from efficientnet_tf.inference.predict import Classifier, Prediction, Predictor, Unusable
from efficientnet_tf.runs.checkpoint import Checkpointer, claim_model_dir
from efficientnet_tf.runs.trained_model import from_run, from_weights
from efficientnet_tf.zoo import create_model

PHOTOS = [
    str(path) for path in sorted((Path(__file__).parents[1] / "golden" / "images").glob("*.jpg"))
]
NAMES = ("cat", "dog", "frog", "fox", "owl", "hen")
PREPROCESSING = Preprocessing(16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_network: Any) -> Path:
    """Two exports of one model, with names and without, and its answers to the photos."""
    folder = tmp_path_factory.mktemp("predict")
    model = tiny_network(classes=6, classifier_activation="softmax")
    saved_model.save(model, str(folder / "named"), PREPROCESSING, class_names=NAMES)
    saved_model.save(model, str(folder / "unnamed"), PREPROCESSING)
    batch = [PREPROCESSING.for_eval(tf.io.read_file(path)) for path in PHOTOS]
    np.save(folder / "expected.npy", model(tf.stack(batch), training=False))
    return folder


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(str(folder / "named"))


def test_the_best_five_classes_come_with_their_names(predictor: Predictor, folder: Path) -> None:
    expected = np.load(folder / "expected.npy")
    found = predictor(PHOTOS)
    assert [prediction.path for prediction in found] == PHOTOS
    for prediction, probabilities in zip(found, expected, strict=True):
        order = np.argsort(-probabilities)[:5]
        assert prediction.classes == tuple(order)
        assert prediction.names == tuple(NAMES[number] for number in order)
        assert prediction.probabilities == pytest.approx(probabilities[order], abs=1e-6)


def test_without_names_the_numbers_are_the_names(folder: Path) -> None:
    (prediction,) = Predictor(str(folder / "unnamed"))(PHOTOS[:1])
    assert prediction.names == tuple(str(number) for number in prediction.classes)
    assert isinstance(prediction, Prediction)


def test_png_files_are_read(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    pixels = tf.io.decode_jpeg(tf.io.read_file(PHOTOS[0]))
    path.write_bytes(tf.io.encode_png(pixels).numpy())
    jpeg, png = predictor([PHOTOS[0], str(path)])
    assert png.probabilities == pytest.approx(jpeg.probabilities, abs=1e-3)


def test_nothing_gives_nothing(predictor: Predictor) -> None:
    assert predictor([]) == []


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f'no SavedModel in "{tmp_path}"') as caught:
        Predictor(str(tmp_path))
    assert "saved_model.pb" in str(caught.value)
    assert "--mode=export" in str(caught.value)


def test_a_missing_image_is_named(predictor: Predictor, tmp_path: Path) -> None:
    for missing in (str(tmp_path / "none.jpg"), str(tmp_path)):  # a folder is no image either
        with pytest.raises(UsageError, match=f'no image file "{re.escape(missing)}"'):
            predictor([PHOTOS[0], missing])


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "cut off"])
def test_a_broken_image_is_named(
    predictor: Predictor, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.jpg"
    photo = Path(PHOTOS[0]).read_bytes()
    path.write_bytes(photo[: len(photo) // 2] if content is None else content)
    with pytest.raises(RunError, match=f'"{re.escape(str(path))}" is not a readable') as caught:
        predictor([PHOTOS[0], str(path)])
    assert "node" not in str(caught.value)


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(UsageError, match=r"cannot be read: .*[^.]\.\nExport it again") as caught:
        Predictor(str(tmp_path))
    assert f'the SavedModel in "{tmp_path}"' in str(caught.value)


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return Classifier.of_saved_model(str(folder / "named"))


def spoiled(tmp_path: Path) -> list[str]:
    """Three photos with broken files between them."""
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.png").touch()
    photo = Path(PHOTOS[0]).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(photo[: len(photo) // 2])
    broken = [str(tmp_path / name) for name in ("text.jpg", "empty.png", "gone.jpg", "cut.jpg")]
    return [broken[0], PHOTOS[0], PHOTOS[1], broken[1], broken[2], PHOTOS[2], broken[3]]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_broken_images_take_no_other_with_them(
    classifier: Classifier, folder: Path, tmp_path: Path, batch_size: int
) -> None:
    paths = spoiled(tmp_path)
    outcomes = list(classifier.predict(paths, batch_size=batch_size))
    assert [outcome.path for outcome in outcomes] == paths
    good = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    assert [outcome.path for outcome in good] == PHOTOS
    for outcome, expected in zip(good, np.load(folder / "expected.npy"), strict=True):
        assert outcome.probabilities == pytest.approx(np.sort(expected)[:0:-1], abs=1e-6)
    for outcome in outcomes:
        if isinstance(outcome, Unusable):
            assert outcome.reason.endswith(".")
            assert "node" not in outcome.reason


def test_all_classes_have_names_where_the_metadata_has_them(
    folder: Path, tmp_path: Path, classifier: Classifier
) -> None:
    """The signature itself names the best five."""
    (six,) = classifier.predict(PHOTOS[:1], top=10)
    assert isinstance(six, Prediction)
    assert len(six.names) == 6
    assert six.names[5] == str(six.classes[5])
    (named,) = Classifier.of_saved_model(str(folder / "named"), NAMES).predict(PHOTOS[:1], top=10)
    assert isinstance(named, Prediction)
    assert named.names == tuple(NAMES[number] for number in named.classes)
    assert sum(named.probabilities) == pytest.approx(1)


def test_a_wrong_number_of_names_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"one per class \(6\), received 2"):
        Classifier.of_saved_model(str(folder / "named"), NAMES[:2])


def test_other_saved_models_are_refused(tmp_path: Path) -> None:
    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(UsageError, match='has no signature "serving_default"'):
        Classifier.of_saved_model(str(tmp_path))


def test_a_model_exported_for_one_batch_size_takes_any_number(folder: Path, tmp_path: Path) -> None:
    """Three photos, two at a time, through a signature of exactly two."""
    loaded = tf.saved_model.load(str(folder / "named"))

    @tf.function(input_signature=[tf.TensorSpec([2], tf.string, name="image_bytes")])
    def two(image_bytes: tf.Tensor) -> Any:
        return loaded.signatures["serving_default"](image_bytes=image_bytes)

    module = tf.Module()
    module.loaded = loaded
    tf.saved_model.save(module, str(tmp_path / "two"), {"serving_default": two})
    outcomes = list(Classifier.of_saved_model(str(tmp_path / "two")).predict(PHOTOS))
    for outcome, expected in zip(outcomes, np.load(folder / "expected.npy"), strict=True):
        assert isinstance(outcome, Prediction)
        assert outcome.probabilities == pytest.approx(np.sort(expected)[:0:-1], abs=1e-6)


def test_too_large_a_batch_says_so() -> None:
    def full(encoded: tf.Tensor) -> Any:
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    with pytest.raises(RunError, match="out of memory with 3 images at once. Lower the batch"):
        list(Classifier(full, 2, None).predict(PHOTOS))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_state: Any) -> tuple[Path, Any]:
    """The model_dir of a run of digits whose averages differ from its weights; its state."""
    model_dir = tmp_path_factory.mktemp("run")
    state = tiny_state(classifier_activation="softmax")
    for number, value in enumerate(state.average.values()):
        value.assign(value + 0.01 * (number % 7))
    config = config_lib.ExperimentConfig()
    config.model.width_coefficient = 0.1
    config.model.blocks_args = TWO_BLOCKS
    config.model.resolution = 16
    config.data.source = "digits"
    config.data.eval_crop = "none"
    claim_model_dir(str(model_dir), config)
    Checkpointer(str(model_dir), state, keep=1).save_best(7)
    return model_dir, state


def test_a_run_needs_no_flags(run: tuple[Path, Any], tiny_network: Any) -> None:
    model_dir, state = run
    trained = from_run(str(model_dir))
    assert trained.class_names == tuple("0123456789")
    assert trained.preprocessing == Preprocessing(16, eval_crop="none")
    model = tiny_network(classifier_activation="softmax")
    state.copy_average_to(model)
    image = trained.preprocessing.for_eval(tf.io.read_file(PHOTOS[0]))[tf.newaxis]
    (outcome,) = Classifier.of_trained(trained).predict(PHOTOS[:1], top=10)
    assert isinstance(outcome, Prediction)
    found = np.zeros(10)
    found[list(outcome.classes)] = outcome.probabilities
    assert found == pytest.approx(model(image, training=False).numpy()[0], abs=1e-6)
    raw = state.model(image, training=False).numpy()[0]
    assert np.abs(found - raw).max() > 1e-4, "the averaged weights, not the raw ones"


def test_a_run_at_another_resolution(run: tuple[Path, Any]) -> None:
    trained = from_run(str(run[0]), resolution=48)
    assert trained.preprocessing.image_size == 48
    assert trained.model.input_shape == (None, 48, 48, 3)


def test_a_run_whose_data_have_gone_still_predicts(run: tuple[Path, Any], tmp_path: Path) -> None:
    shutil.copytree(run[0], tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "data.source": "folder:/nowhere", "data.old": 1}))
    assert from_run(str(tmp_path / "run")).class_names is None
    (tmp_path / "run" / "export").mkdir()
    metadata = tmp_path / "run" / "export" / "metadata.json"
    metadata.write_text(json.dumps({"class_names": list("abcdefghij")}))
    assert from_run(str(tmp_path / "run")).class_names == tuple("abcdefghij")
    metadata.write_text("[")
    assert from_run(str(tmp_path / "run")).class_names is None


def test_folders_that_are_no_run_are_refused(run: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f'--model_dir: no run in "{tmp_path}"'):
        from_run(str(tmp_path))
    config = tmp_path / "config.json"
    for content, message in (
        ("{", r'config.json", line 1: .*\nPut the file back'),
        ("[]", "line 1: expected an object, received list"),
        ('{"model.depths": 3}', "sets model.depths, which this version does not know"),
        ("{}", f'no checkpoint in "{tmp_path}" to use.\nTrain first'),
    ):
        config.write_text(content)
        with pytest.raises(UsageError, match=message):
            from_run(str(tmp_path))
    shutil.copytree(run[0] / "best", tmp_path / "best")
    with pytest.raises(UsageError, match="is that of a larger network than the checkpoint"):
        from_run(str(tmp_path))  # an empty configuration is B0's
    (tmp_path / "best" / "ckpt-7.index").write_bytes(b"damaged")
    with pytest.raises(UsageError, match="cannot be read"):
        from_run(str(tmp_path))


def test_a_file_of_weights_needs_the_name_of_its_network(tmp_path: Path) -> None:
    path = str(tmp_path / "lite.weights.h5")
    with pytest.raises(UsageError, match="does not say of which network; give --model"):
        from_weights(path)
    with pytest.raises(UsageError, match=f'--weights: there is no file "{path}"'):
        from_weights(path, "efficientnet-lite0")
    model = create_model("efficientnet-lite0", classes=3, resolution=32)
    model.save_weights(path)
    trained = from_weights(path, "efficientnet-lite0", classes=3, resolution=32)
    assert trained.preprocessing == Preprocessing(32)
    image = trained.preprocessing.for_eval(tf.io.read_file(PHOTOS[0]))[tf.newaxis]
    found = trained.model(image, training=False).numpy()
    assert found == pytest.approx(model(image, training=False).numpy(), abs=1e-6)


def test_our_own_file_of_weights_says_everything(tmp_path: Path, tiny_network: Any) -> None:
    pytest.importorskip("safetensors")
    model = tiny_network(classes=3, classifier_activation="softmax")
    contract = replace(family_contract("advprop", 16), eval_crop="none", interpolation="bilinear")
    info = weights_file.WeightsInfo(
        model="efficientnet-b0",
        classes=3,
        resolution=16,
        contract=contract,
        source="here",
        source_format="test",
        source_sha256="",
        coefficients={"width_coefficient": 0.1, "blocks_args": TWO_BLOCKS, "resolution": 16},
        class_names=("a", "b", "c"),
    )
    path = str(tmp_path / "own.safetensors")
    weights_file.save(path, {each.path: each.numpy() for each in model.weights}, info)
    trained = from_weights(path)
    assert trained.class_names == ("a", "b", "c")
    assert trained.preprocessing == Preprocessing(16, eval_crop="none", interpolation="bilinear")
    apply_contract(model, contract)
    image = trained.preprocessing.for_eval(tf.io.read_file(PHOTOS[0]))[tf.newaxis]
    found = trained.model(image, training=False).numpy()
    assert found == pytest.approx(model(image, training=False).numpy(), abs=1e-6)
