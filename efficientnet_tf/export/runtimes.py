"""Runs what was exported in the runtime it was made for: TensorFlow, LiteRT, ONNX Runtime.

Each runtime is a function from float32 images [batch, size, size, 3], values 0..255, to
probabilities [batch, classes], whatever the file's own types and batch are.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.packages import require
from efficientnet_tf.machine.startup import stderr_held_back

Run = Callable[[np.ndarray], np.ndarray]


def open_artefact(path: str, *, threads: int | None = None) -> Run:
    """A function that answers as the artefact does.

    Args:
        path: a SavedModel of ours, a .tflite or an .onnx file.
        threads: of LiteRT and ONNX Runtime; TensorFlow's are set for the whole process.

    Raises:
        UsageError: nothing there, another kind of file, or the runtime is not installed.
    """
    if not tf.io.gfile.exists(path):
        raise UsageError(f'there is no export "{path}".')
    if path.endswith(".tflite"):
        return _lite(path, threads)
    if path.endswith(".onnx"):
        return _onnx(path, threads)
    if tf.io.gfile.isdir(path):
        return _saved_model(path)
    raise UsageError(f'"{path}" must be a SavedModel folder, a .tflite or an .onnx file.')


def artefact_bytes(path: str) -> int:
    """Size of a file, or of all files in a folder."""
    if not tf.io.gfile.isdir(path):
        return int(tf.io.gfile.stat(path).length)
    return sum(
        int(tf.io.gfile.stat(os.path.join(folder, name)).length)
        for folder, _, names in tf.io.gfile.walk(path)
        for name in names
    )


def _saved_model(path: str) -> Run:
    loaded = tf.saved_model.load(path)
    serve = loaded.signatures.get("serve")
    if serve is None:
        raise UsageError(f'the SavedModel in "{path}" has no signature "serve".')
    batch = serve.structured_input_signature[1]["images"].shape[0]

    def run_part(part: np.ndarray) -> np.ndarray:
        # Not `serve`: a signature does not keep the variables of its model alive.
        answers = loaded.signatures["serve"](images=tf.constant(part))
        return answers["probabilities"].numpy()

    return lambda images: _in_batches(run_part, images, batch)


def _lite(path: str, threads: int | None) -> Run:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow brings the same runtime; as a module it is not to be found
        Interpreter = tf.lite.Interpreter
    # It tells which delegate it made, and TensorFlow's that another package is to come.
    with stderr_held_back(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = Interpreter(path, num_threads=threads)
        interpreter.allocate_tensors()
    (read,), (written,) = interpreter.get_input_details(), interpreter.get_output_details()
    number, batch = read["index"], int(read["shape"][0])

    def run_part(part: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(number, _as_input(part, read))
        interpreter.invoke()
        return interpreter.get_tensor(written["index"])

    return lambda images: _in_batches(run_part, images, batch)


def _onnx(path: str, threads: int | None) -> Run:
    require(f'"{path}"', "onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (read,) = session.get_inputs()
    batch = read.shape[0] if isinstance(read.shape[0], int) else None

    def run_part(part: np.ndarray) -> np.ndarray:
        return session.run(None, {read.name: part})[0]

    return lambda images: _in_batches(run_part, images, batch)


def _as_input(images: np.ndarray, read: dict[str, Any]) -> np.ndarray:
    """In the numbers of a LiteRT input: those of 8 bits have a scale and a zero."""
    dtype, (scale, zero) = read["dtype"], read["quantization"]
    if not scale:
        return images.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.round(images / scale + zero), limits.min, limits.max).astype(dtype)


def _in_batches(run: Run, images: np.ndarray, batch: int | None) -> np.ndarray:
    """All answers of a runtime that takes exactly `batch` images, or any number (None)."""
    if batch is None:
        return run(images)
    parts = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        missing = [(0, batch - len(part)), (0, 0), (0, 0), (0, 0)]
        parts.append(run(np.pad(part, missing))[: len(part)])
    return np.concatenate(parts)
