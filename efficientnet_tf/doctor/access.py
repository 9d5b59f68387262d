"""Whether model_dir and data_dir can be used: written, read, in time, with enough space.

Local folders and gs:// alike, with a temporary file that is removed.
"""

import contextlib
import dataclasses
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from pathlib import Path

import tensorflow as tf

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.machine.findings import Finding, bad, ok
from efficientnet_tf.models.networks import configured
from efficientnet_tf.models.operations import count
from efficientnet_tf.runs.checkpoint import check_model_dir
from efficientnet_tf.storage.files import opened
from efficientnet_tf.storage.paths import expanded, is_remote

ACCESS_SECONDS = 60.0  # TensorFlow tries an unreachable gs:// again and again for minutes
_CLASSES = 1000  # for estimates


def within(seconds: float, subject: str, check: Callable[[], Finding]) -> Finding:
    """The finding of `check`, or that it did not end in time."""
    answer: Future[Finding] = Future()

    def ask() -> None:
        try:
            answer.set_result(check())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()  # a pool would wait for it at the end
    try:
        return answer.result(seconds)
    except NoAnswer:
        return bad(
            subject,
            f"no answer in {seconds:.0f} s",
            f"Is the {subject} reachable from here? For gs:// try `gcloud storage ls`; log in with "
            "gcloud auth application-default login.",
        )


def check_writing(model_dir: str, config: ExperimentConfig) -> Finding:
    """Writes, reads and removes a file in model_dir; leaves no folder behind that it made."""
    remedy = "Give a --model_dir that you may write to and that holds no other run."
    missing = _missing(model_dir)
    path = os.path.join(model_dir, f".doctor-{os.getpid()}")
    try:
        check_model_dir(model_dir, config)
        tf.io.gfile.makedirs(model_dir)
        with tf.io.gfile.GFile(path, "w") as file:
            file.write("doctor")
        with tf.io.gfile.GFile(path) as file:
            written = file.read()
        tf.io.gfile.remove(path)
    except (tf.errors.OpError, OSError, UsageError) as error:
        return bad("model_dir", first_line(error), remedy)
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # another process has written into it meanwhile
                folder.rmdir()
    if written != "doctor":
        return bad("model_dir", f"{model_dir}: a file read back is not what was written", remedy)
    return _space(model_dir, config, f"{model_dir}: written, read back, removed")


def _space(model_dir: str, config: ExperimentConfig, text: str) -> Finding:
    """Adds what checkpoints need and what is free, for a local folder."""
    if is_remote(model_dir):
        return ok("model_dir", text)
    folder = Path(model_dir).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    network = configured(**dataclasses.asdict(config.model))
    params = count(network.operations(_CLASSES)).trainable_params
    # Weights, two slots of RMSProp and the averages, in float32; the newest, the best, one more.
    needed = 4 * 4 * params * (config.train.keep_checkpoints + 2)
    text += f"; {free / 1e9:.0f} GB free, checkpoints need {needed / 1e9:.2g}"
    if free < needed:
        return bad("model_dir", text, "Free space or lower --config.train.keep_checkpoints.")
    return ok("model_dir", text)


def check_reading(data_dir: str) -> Finding:
    """Lists data_dir and reads the beginning of a file in it."""
    remedy = "Give the folder that holds the data set's files, and check that you may read it."
    data_dir = expanded(data_dir)
    try:
        names = tf.io.gfile.listdir(data_dir)
        files = [name for name in names if not tf.io.gfile.isdir(os.path.join(data_dir, name))]
        for name in files[:1]:
            with opened(os.path.join(data_dir, name)) as file:
                file.read(1024)
    except (tf.errors.OpError, OSError) as error:
        return bad("data_dir", first_line(error), remedy)
    if not names:
        return bad("data_dir", f"{data_dir} is empty", remedy)
    return ok("data_dir", f"{data_dir}: {len(names)} entries, read")


def _missing(folder: str) -> list[Path]:
    """The local folders that making `folder` would make, deepest first; gs:// has none."""
    if is_remote(folder):
        return []
    path = Path(folder).absolute()
    return [parent for parent in (path, *path.parents) if not parent.exists()]
