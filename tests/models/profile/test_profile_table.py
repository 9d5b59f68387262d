"""A profile as text and CSV."""

import csv

import keras
import pytest
from keras import layers

from efficientnet_tf.errors import RunError
from efficientnet_tf.models.profile.measure import Profile, profile
from efficientnet_tf.models.profile.table import layers_text, totals_text, write_csv


@pytest.fixture(scope="module")
def found() -> Profile:
    image = keras.Input((8, 6, 3), name="image")
    x = layers.Conv2D(5, 3, padding="same", name="conv")(image)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return profile(keras.Model(image, layers.Dense(100, name="dense")(x)))


def test_layers(found):
    lines = layers_text(found).splitlines()
    assert lines[0].split()[-4:] == ["params", "multiply-adds", "share", "activations"]
    assert [line.split() for line in lines[1:]] == [
        ["image", "InputLayer", "8x6x3", "1", "0", "0", "0.0%", "0"],
        ["conv", "Conv2D", "8x6x5", "1", "140", "6,480", "92.8%", "960"],
        ["pool", "GlobalAveragePooling2D", "5", "1", "0", "0", "0.0%", "20"],
        ["dense", "Dense", "100", "1", "600", "500", "7.2%", "400"],
    ]
    assert len({len(line) for line in lines}) == 1  # numbers stand at the right


def test_totals(found):
    lines = totals_text(found).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["trainable", "params", "740"],
        ["all", "params", "740"],
        ["multiply-adds", "6,980"],
        ["activation", "bytes", "1,380"],
    ]
    assert "batch norm" in lines[4]
    assert "warning" not in totals_text(found)


def test_what_is_missing_is_said():
    sequence = keras.Input((5, 4))
    model = keras.Model(sequence, layers.Lambda(lambda x: x)(layers.LSTM(3)(sequence)))
    text = totals_text(profile(model))
    assert "warning: no rule for the multiply-adds of LSTM\n" in text
    assert text.endswith(
        "warning: of Lambda only the layers inside are counted, not matrix products in their own "
        "code"
    )


def test_a_model_without_multiply_adds():
    image = keras.Input((4,), name="image")
    assert "0.0%" in layers_text(profile(keras.Model(image, layers.ReLU()(image))))


def test_csv(found, tmp_path):
    path = tmp_path / "layers.csv"
    write_csv(found, str(path))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "name": "conv",
        "kind": "Conv2D",
        "trainable_params": "140",
        "total_params": "140",
        "multiply_adds": "6480",
        "calls": "1",
        "output_shape": "8x6x5",
        "activation_bytes": "960",
        "coverage": "counted",
    }
    assert sum(int(row["multiply_adds"]) for row in rows) == found.multiply_adds
    assert b"\r" not in path.read_bytes()


def test_csv_in_no_folder(found, tmp_path):
    with pytest.raises(RunError, match=r'cannot write ".*no/x.csv": No such file or directory\.'):
        write_csv(found, str(tmp_path / "no" / "x.csv"))
