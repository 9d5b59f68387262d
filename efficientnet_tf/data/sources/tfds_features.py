"""features.json of a TFDS set: the Python classes that it names, which TFDS would import."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.storage.files import read_bytes

_OWN = "tensorflow_datasets."
# A set by its name lies below data_dir: NAME/VERSION or NAME/CONFIG/VERSION.
_DEPTHS = ("", "*/", "*/*/")


def check_features(name: str, data_dir: str | None) -> None:
    """Refuses a stored set with features of a Python module that is no part of TFDS.

    TFDS imports, and so runs, whatever module the file names.

    Args:
        name: of the set, or its folder.
        data_dir: the folder of the set, or of several, if one is given.

    Raises:
        UsageError: it has such features, or the file cannot be read.
    """
    folders = [name]
    if data_dir:
        folders += [data_dir, f"{data_dir}/{re.split('[:/]', name)[0]}"]
    for folder, depth in itertools.product(folders, _DEPTHS):
        try:
            paths = tf.io.gfile.glob(f"{folder}/{depth}features.json")
        except tf.errors.OpError:  # no such folder: whoever opens the set says so
            continue
        for path in paths:
            _check(path)


def _check(path: str) -> None:
    try:
        classes = list(_classes(json.loads(read_bytes(path))))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f'data_dir: "{path}" is damaged: {first_line(error)}.\nCopy the data set again.'
        ) from error
    for name in classes:
        if not name.startswith(_OWN):
            raise UsageError(
                f'data_dir: "{path}" has features of the Python class "{name}", which is no part '
                "of TensorFlow Datasets and was not run.\n"
                "Prepare the set with features of TFDS alone, or write its images to folders."
            )


def _classes(stored: Any) -> Iterator[str]:
    """Of all features, whatever lies in between."""
    if isinstance(stored, dict):
        for key, value in stored.items():
            if key in ("pythonClassName", "python_class_name", "type") and isinstance(value, str):
                yield value
            # The settings of some features are JSON as text.
            inside = key == "json" and isinstance(value, str)
            yield from _classes(json.loads(value) if inside else value)
    elif isinstance(stored, list):
        for value in stored:
            yield from _classes(value)
