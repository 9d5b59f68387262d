"""The file of predictions: what is written comes back, and what is no such file is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.runs import predictions as predictions_lib
from efficientnet_tf.runs.predictions import Predictions


def test_what_is_saved_comes_back_in_the_types_promised(tmp_path: Path) -> None:
    path = str(tmp_path / "predictions-test.npz")
    places = np.array([0, 7, 2**40])
    table = np.array([[0.25, 0.75], [1, 0], [0.5, 0.5]])
    for labels in ([0, 1, 1], [1, 0, 0]):  # the second replaces the first
        predictions_lib.save(path, Predictions(places, np.array(labels), table))
        found = predictions_lib.load(path)
        np.testing.assert_array_equal(found.places, places)
        np.testing.assert_array_equal(found.labels, labels)
        np.testing.assert_array_equal(found.probabilities, table)
    kinds = (found.places.dtype, found.labels.dtype, found.probabilities.dtype)
    assert kinds == (np.int64, np.int32, np.float32)
    assert os.listdir(tmp_path) == ["predictions-test.npz"]


def test_what_is_no_file_of_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        predictions_lib.load(str(tmp_path / "none.npz"))
    path = tmp_path / "predictions.npz"
    for content in (b"", b"no archive", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"holds no predictions .* main.py --mode=eval"):
            predictions_lib.load(str(path))
    np.savez(path, places=np.arange(3))
    with pytest.raises(UsageError, match="labels"):
        predictions_lib.load(str(path))
    np.savez(path, places=np.arange(3), labels=np.arange(2), probabilities=np.ones((3, 4)))
    with pytest.raises(UsageError, match=r"found \(3,\), \(2,\), \(3, 4\)"):
        predictions_lib.load(str(path))
    for shape in ((), (3,), (3, 4, 1)):
        np.savez(path, places=np.arange(3), labels=np.arange(3), probabilities=np.ones(shape))
        with pytest.raises(UsageError, match="probabilities .n, classes., found "):
            predictions_lib.load(str(path))
