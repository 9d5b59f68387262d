"""ONNX files, by tf2onnx: `images` float32 [batch, size, size, 3] to `probabilities`.

Values are 0..255, channels last as everywhere here; the first dimension is called `batch` where it
is free. Metadata lie in the file's metadata_props: text as it is, all else, such as class_names, as
JSON. Needs `pip install 'efficientnet_tf[onnx]'`.
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
    said = dict(metadata or {})
    if class_names is not None:
        said["class_names"] = list(class_names)
    for key, value in said.items():
        text = value if isinstance(value, str) else json.dumps(value)
        converted.metadata_props.add(key=key, value=text)
    for value in (*converted.graph.input, *converted.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_value:
            first.dim_param = "batch"
    try:
        with open(path, "wb") as file:
            file.write(converted.SerializeToString())
    except OSError as error:
        raise RunError(f'"{path}" cannot be written: {error.strerror or error}') from error
