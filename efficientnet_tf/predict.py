"""Class names and probabilities for image files, from an exported SavedModel."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import RunError, UsageError


@dataclass(frozen=True)
class Prediction:
    """The best classes of one image, best first; `names` are class numbers if none are known."""

    path: str
    classes: tuple[int, ...]
    names: tuple[str, ...]
    probabilities: tuple[float, ...]


class Predictor:
    """Predicts with a SavedModel written by `efficientnet_tf.export`.

    Raises:
        UsageError: there is no such SavedModel, or it cannot be read.
    """

    def __init__(self, directory: str) -> None:
        if not tf.io.gfile.exists(os.path.join(directory, "saved_model.pb")):
            raise UsageError(
                f'no SavedModel in "{directory}" (expected a file saved_model.pb). '
                "Train or run main.py --mode=export first."
            )
        try:
            self._loaded = tf.saved_model.load(directory)
        except (tf.errors.OpError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f'the SavedModel in "{directory}" cannot be read: {reason}. Export it again.'
            ) from error

    def __call__(self, paths: Sequence[str]) -> list[Prediction]:
        """Predicts image files, JPEG or PNG, in the order given.

        Raises:
            UsageError: a file does not exist.
            RunError: a file is no readable image; the message names it.
        """
        predictions = []
        for path in paths:  # one by one, so that an error names its file
            if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
                raise UsageError(f'no image file "{path}".')
            encoded = tf.constant([tf.io.read_file(path).numpy()])
            try:
                answers = self._loaded.signatures["serving_default"](image_bytes=encoded)
            except tf.errors.InvalidArgumentError as error:
                raise RunError(f'"{path}" is not a readable JPEG or PNG image.') from error
            predictions.append(_prediction(path, answers))
        return predictions


def _prediction(path: str, answers: dict[str, Any]) -> Prediction:
    classes = tuple(int(number) for number in answers["top_classes"][0])
    names = tuple(str(number) for number in classes)
    if "top_names" in answers:
        names = tuple(name.decode() for name in answers["top_names"][0].numpy())
    probabilities = tuple(float(value) for value in answers["top_probabilities"][0])
    return Prediction(path, classes, names, probabilities)
