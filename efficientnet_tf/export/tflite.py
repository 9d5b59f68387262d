"""TFLite files (LiteRT): float32, float16 weights, 8-bit weights, or 8-bit throughout.

One signature, `serving_default`: `images` [batch, size, size, 3], values 0..255, to
`probabilities` float32 [batch, classes]. Images are float32, in the int8 file uint8. batch is 1
unless it was asked for.

Labels and metadata are appended as a zip archive, as TFLite stores associated files: programs that
do not look there see an ordinary model; `unzip model.tflite` takes them out.
"""

import json
import logging
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.export.options import TFLITE_KINDS, ExportOptions
from efficientnet_tf.export.saved_model import Frozen
from efficientnet_tf.machine.startup import stderr_held_back

LABELS, METADATA = "labels.txt", "metadata.json"


def save(
    model: keras.Model,
    path: str,
    kind: str,
    *,
    batch: int = 1,
    calibration: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Writes a .tflite file.

    Args:
        model: gives probabilities, float32 [batch, classes].
        kind: "float32", "float16" (weights of half the size), "dynamic" (8-bit weights, float
            computation where 8 bits cannot) or "int8" (weights and maps in 8 bits).
        calibration: for int8: images as the model reads them, float32 [images, size, size, 3].
            Their range in every map sets its scale, so they must be real.

    Raises:
        UsageError: another kind, or int8 without images.
        RunError: it cannot be converted or written.
    """
    if kind not in TFLITE_KINDS:
        raise UsageError(f'kind must be one of {", ".join(TFLITE_KINDS)}, received "{kind}".')
    if kind == "int8" and (calibration is None or not len(calibration)):
        raise UsageError("tflite-int8 needs images to calibrate with. Give some of the real ones.")
    frozen = Frozen(model, ExportOptions(batch=batch))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [frozen.probabilities.get_concrete_function()], frozen.trackable()
    )
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.representative_dataset = lambda: _requests(calibration, batch)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    content = _convert(converter, model.name)
    _write(path, content, class_names, metadata or {})


def labels(path: str) -> list[str] | None:
    """The class names in a file of `save`, or None if there are none."""
    with zipfile.ZipFile(path) as archive:
        if LABELS not in archive.namelist():
            return None
        return archive.read(LABELS).decode().split("\n")


def _requests(images: Any, batch: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of exactly `batch` images; the last begins again with the first images.

    The file reads pixels as uint8, so they are whole numbers here, too. Two pixels of each batch
    are black and white: with the range 0..255 the file's numbers are the pixels themselves.
    """
    pixels = np.clip(np.round(images), 0, 255).astype(np.float32)
    for start in range(0, len(images), batch):
        request = pixels[np.arange(start, start + batch) % len(images)]
        request[0, 0, :2] = [[0], [255]]
        yield {"images": request}


def _convert(converter: Any, name: str) -> bytes:
    """Converts without the remarks of its many parts; what one of them raises is a RunError."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    failed = None
    with stderr_held_back(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return converter.convert()
        except Exception as error:  # there is no common class
            failed = error
        finally:
            logger.setLevel(level)
    reason = first_line(failed)
    raise RunError(f"TFLite cannot convert {name}: {reason}") from failed


def _write(
    path: str, content: bytes, class_names: Sequence[str] | None, metadata: dict[str, Any]
) -> None:
    try:
        with open(path, "wb") as file:
            file.write(content)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(METADATA, json.dumps(metadata, indent=2))
            if class_names is not None:
                archive.writestr(LABELS, "\n".join(class_names))
    except OSError as error:
        raise RunError(f'"{path}" cannot be written: {error.strerror or error}') from error
