"""Networks in each runtime on one core, in turn, so that a noisy machine hits all alike (Table 4).

Threads are limited by the process that calls this: see `scripts/bench_latency.py`.
"""

import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.export import onnx_file, tflite
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.export.runtimes import open_artefact
from efficientnet_tf.export.saved_model import save
from efficientnet_tf.machine.packages import require
from efficientnet_tf.machine.startup import stderr_held_back
from efficientnet_tf.zoo import create_model

RUNTIMES = ("keras", "function", "saved_model", "tflite", "onnx")
KERAS = "keras:"
_ANY_SIZE = 224  # for networks of Keras that have no size of their own

Run = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single answers, sorted."""

    milliseconds: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.milliseconds)

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def p90(self) -> float:
        return float(np.percentile(self.milliseconds, 90))


def build(name: str, resolution: int | None = None) -> keras.Model:
    """A network with random weights, which take as long as trained ones.

    Args:
        name: of this package, or `keras:NAME` for one of keras.applications.
        resolution: side in pixels; default: the network's own.

    Raises:
        UsageError: no such network.
    """
    if not name.startswith(KERAS):
        return create_model(name, resolution=resolution)
    asked = name.removeprefix(KERAS)
    makers = {
        known: maker
        for known, maker in vars(keras.applications).items()
        if callable(maker) and known[0].isupper()
    }
    if asked not in makers:
        raise UsageError(
            f'there is no network "{asked}" in keras.applications.{nearest(asked, makers)}'
        )
    model = makers[asked](weights=None)
    size = resolution or model.input_shape[1] or _ANY_SIZE
    if model.input_shape[1] == size:
        return model
    return makers[asked](weights=None, input_shape=(size, size, 3))


@contextlib.contextmanager
def runs(name: str, model: keras.Model, runtimes: Sequence[str]) -> Iterator[dict[str, Run]]:
    """The network in each runtime. Files of ours are folded; those of Keras are what Keras writes.

    Raises:
        UsageError: no such runtime.
    """
    for runtime in runtimes:
        if runtime not in RUNTIMES:
            raise UsageError(
                f'--runtimes must be some of {",".join(RUNTIMES)}, received "{runtime}".'
                + nearest(runtime, RUNTIMES)
            )
    if "onnx" in runtimes:
        require("--runtimes=onnx", "tf2onnx", "onnx", "onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        write = _write_plain if name.startswith(KERAS) else _write_ours
        yield {
            runtime: _in_memory(model, runtime)
            if runtime in ("keras", "function")
            else write(model, runtime, os.path.join(folder, runtime))
            for runtime in runtimes
        }


def _in_memory(model: keras.Model, runtime: str) -> Run:
    if runtime == "keras":
        return lambda images: model(images, training=False)
    function = tf.function(lambda images: model(images, training=False), autograph=False)
    return lambda images: function(tf.constant(images)).numpy()


def _write_ours(model: keras.Model, runtime: str, path: str) -> Run:
    if runtime == "saved_model":
        save(model, path, Preprocessing(model.input_shape[1]), options=ExportOptions(batch=1))
        return _served(path, "serve")
    if runtime == "tflite":
        tflite.save(model, f"{path}.tflite", "float32")
        return open_artefact(f"{path}.tflite", threads=1)
    onnx_file.save(model, f"{path}.onnx", batch=1)
    return open_artefact(f"{path}.onnx", threads=1)


def _write_plain(model: keras.Model, runtime: str, path: str) -> Run:
    """As a user of Keras would write it.

    But for ONNX: Keras 3.15 writes weights as inputs, so ours is used.
    """
    if runtime == "onnx":
        return _write_ours(model, runtime, path)
    with stderr_held_back(), contextlib.redirect_stdout(io.StringIO()):
        if runtime == "saved_model":
            model.export(path, verbose=False)
            return _served(path, "serving_default")
        converted = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    with open(f"{path}.tflite", "wb") as file:
        file.write(converted)
    return open_artefact(f"{path}.tflite", threads=1)


def _served(path: str, signature: str) -> Run:
    loaded = tf.saved_model.load(path)
    (name,) = loaded.signatures[signature].structured_input_signature[1]

    def run(images: np.ndarray) -> Any:
        answers = loaded.signatures[signature](**{name: tf.constant(images)})
        return [value.numpy() for value in answers.values()]

    return run


def measure(
    contestants: Mapping[Any, tuple[Run, np.ndarray]],
    *,
    rounds: int = 20,
    warm_up: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Any, Latency]:
    """Times all in turn, round by round, after `warm_up` rounds.

    Args:
        contestants: by name: what is called, and the images it is called with.
        clock: seconds.
    """
    taken: dict[Any, list[float]] = {name: [] for name in contestants}
    for _ in range(warm_up + rounds):
        for name, (run, images) in contestants.items():
            started = clock()
            run(images)
            taken[name].append(1e3 * (clock() - started))
    return {name: Latency(tuple(sorted(each[warm_up:]))) for name, each in taken.items()}
