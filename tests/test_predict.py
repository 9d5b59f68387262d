"""Predictions for image files."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf import export
from efficientnet_tf.data.preprocessing import Preprocessing
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.predict import Prediction, Predictor

PHOTOS = [str(path) for path in sorted((Path(__file__).parent / "golden" / "images").glob("*.jpg"))]
NAMES = ("cat", "dog", "frog", "fox", "owl", "hen")
PREPROCESSING = Preprocessing(16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_network: Any) -> Path:
    """Two exports of one model, with names and without, and its answers to the photos."""
    folder = tmp_path_factory.mktemp("predict")
    model = tiny_network(classes=6, classifier_activation="softmax")
    export.save(model, str(folder / "named"), PREPROCESSING, class_names=NAMES)
    export.save(model, str(folder / "unnamed"), PREPROCESSING)
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
    with pytest.raises(UsageError, match="cannot be read: .*Export it again") as caught:
        Predictor(str(tmp_path))
    assert f'the SavedModel in "{tmp_path}"' in str(caught.value)
