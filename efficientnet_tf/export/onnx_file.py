"""ONNX files, by tf2onnx: `images` float32 [batch, size, size, 3] to `probabilities`.

Values are 0..255, channels last as everywhere here; class names and metadata lie in the file's
metadata_props. Needs `pip install 'efficientnet_tf[onnx]'`.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any

import keras

from efficientnet_tf.errors import RunError
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.export.saved_model import Frozen

_OPSET = 18


def save(
    model: keras.Model,
    path: str,
    *,
    batch: int | None = None,
    class_names: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Writes an .onnx file.

    Raises:
        RunError: it cannot be converted or written.
    """
    import tf2onnx

    frozen = Frozen(model, ExportOptions(batch=batch))
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        converted, _ = tf2onnx.convert.from_function(
            frozen.probabilities,
            input_signature=frozen.probabilities.input_signature,
            opset=_OPSET,
        )
    except Exception as error:  # whatever its many parts raise
        raise RunError(f"tf2onnx cannot convert {model.name}: {error}") from error
    said = {**(metadata or {}), "class_names": None if class_names is None else list(class_names)}
    for key, value in said.items():
        converted.metadata_props.add(key=key, value=json.dumps(value))
    try:
        with open(path, "wb") as file:
            file.write(converted.SerializeToString())
    except OSError as error:
        raise RunError(f'"{path}" cannot be written: {error.strerror or error}') from error
