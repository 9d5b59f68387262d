"""What is right and wrong with this machine for a given experiment, one finding after another.

First what needs no TensorFlow (`machine/`), then folders, then the experiment itself in small: its
own step and its own input pipeline, each timed. `examine` yields findings as they are made, so
that the table grows while the slow ones are still running.

A small batch is enough to see that a step compiles and which of input and step is the slower; the
speed of a full batch on an accelerator is higher.
"""

import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.doctor.access import ACCESS_SECONDS, check_reading, check_writing, within
from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.machine.device import THIS_MACHINE, Device
from efficientnet_tf.machine.findings import Finding, bad, ok, warn
from efficientnet_tf.models.networks import configured
from efficientnet_tf.models.operations import count
from efficientnet_tf.training import connect

_CPU_WORK = 4e9  # multiply-adds of the images in a step on a CPU
_QUICK_SIZE = 64
_SHUFFLED = 64  # examples; filling the real buffer is part of no steady speed
_NEEDS_DATA_DIR = ("imagenet", "tfrecord", "folder", "csv")
_CLASSES = 1000  # for estimates
_PHOTOS = 32


def examine(
    config: ExperimentConfig,
    model_dir: str,
    device: Device = THIS_MACHINE,
    *,
    quick: bool = False,
) -> Iterator[Finding]:
    """Findings on devices, folders, step and input, each as soon as it is known.

    Args:
        config: finished, as main.py would run it.
        model_dir, device: as main.py's flags say.
        quick: images of 64 pixels and one second of input.
    """
    try:
        strategy = connect.connect(device)
    except UsageError as error:
        yield bad("device", first_line(error), *_remedies(error))
        return
    yield _device(strategy)
    yield within(ACCESS_SECONDS, "model_dir", lambda: check_writing(model_dir, config))
    data_dir = config.data.data_dir
    if data_dir is not None:
        yield within(ACCESS_SECONDS, "data_dir", lambda: check_reading(data_dir))
    with tempfile.TemporaryDirectory() as scratch:
        small = _in_small(config, strategy, quick)
        kind, _, place = config.data.source.partition(":")
        if kind in _NEEDS_DATA_DIR and data_dir is None and not place:
            small.data.source = f"folder:{_photos(scratch)}"
            yield warn(
                "data_dir",
                f"not given: the source {kind} needs one; input is measured with made-up photos",
                "Give the real --data_dir to measure it.",
            )
        yield from _step_and_input(small, os.path.join(scratch, "run"), device, quick)


def _device(strategy: tf.distribute.Strategy) -> Finding:
    text = f"{connect.describe(strategy)}, TensorFlow {tf.__version__}"
    if Path("/dev/nvidia0").exists() and not tf.config.list_physical_devices("GPU"):
        return warn(
            "device",
            f"{text}; there is a GPU that TensorFlow does not see",
            'pip install "tensorflow[and-cuda]", with a driver as new as its CUDA.',
        )
    return ok("device", text)


def _in_small(
    config: ExperimentConfig, strategy: tf.distribute.Strategy, quick: bool
) -> ExperimentConfig:
    """The experiment with a batch that takes seconds rather than minutes; not frozen."""
    replace = dataclasses.replace
    model = replace(config.model)
    if quick:
        model.resolution = _QUICK_SIZE
    network = configured(**dataclasses.asdict(model))
    work = count(network.operations(_CLASSES)).multiply_adds
    on_cpu = "CPU" in connect.describe(strategy)
    per_replica = max(1, min(8, int(_CPU_WORK / work))) if on_cpu else 32
    replicas = strategy.num_replicas_in_sync
    batch = min(per_replica * replicas, config.train.global_batch_size)
    return replace(
        config,
        model=model,
        data=replace(config.data, shuffle_buffer=_SHUFFLED),
        optimizer=replace(config.optimizer),
        train=replace(
            config.train,
            global_batch_size=max(replicas, batch // replicas * replicas),
            accumulation_steps=1,
            epochs=1e6,  # so that a schedule over a tiny data set has steps
        ),
    )


def _step_and_input(
    config: ExperimentConfig, model_dir: str, device: Device, quick: bool
) -> Iterator[Finding]:
    try:
        started = time.perf_counter()
        experiment = Experiment(config, model_dir, device)
        built = time.perf_counter() - started
        batches = experiment.updates.batches()
        fed = experiment.data.reading("train", lambda: _input_speed(batches, config, quick))
        yield ok("input", f"{fed:.0f} images/s of {experiment.data.source.name}, on its own")
        stepped, finding = _step(experiment, built)
        yield finding
    except (UsageError, RunError) as error:
        yield bad("experiment", *_split(error))
        return
    yield _compare(fed, stepped)


def _input_speed(batches: Iterator[Any], config: ExperimentConfig, quick: bool) -> float:
    """Images a second of the real pipeline, after what its start had prefetched."""
    for _ in range(2):
        next(batches)
    seconds = 1.0 if quick else 4.0
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        next(batches)
        count += 1
    return count * config.train.global_batch_size / elapsed


def _step(experiment: Experiment, built: float) -> tuple[float, Finding]:
    """Compiles one update and times those after it, on one batch that is kept."""
    batch = experiment.config.train.global_batch_size
    updates = experiment.updates
    step = updates.train_step()
    kept = experiment.strategy.distribute_datasets_from_function(
        lambda context: updates.dataset(context).take(1).cache().repeat()
    )
    iterator = iter(kept)

    def seconds(count: int) -> float:
        started = time.perf_counter()
        losses = experiment.data.reading("train", lambda: step(iterator, count))
        if not all(abs(loss) < float("inf") for loss in losses):
            raise RunError(f"the loss of a training step is not finite: {losses}")
        return time.perf_counter() - started

    compiled = seconds(1)
    again = min(seconds(1) for _ in range(3))
    model = experiment.model
    text = (
        f"{model.network.name} at {model.network.resolution}, batch {batch}, {model.precision}: "
        f"built in {built:.1f} s, compiled in {compiled:.1f} s, then {again:.2f} s a step, "
        f"{batch / again:.0f} images/s"
    )
    return batch / again, ok("step", text)


def _compare(fed: float, stepped: float) -> Finding:
    text = f"input {fed:.0f}, step {stepped:.0f} images/s: "
    if fed >= stepped:
        return ok("balance", text + "the device does not wait for data")
    return warn(
        "balance",
        text + f"the device waits {100 * (1 - fed / stepped):.0f} % of the time",
        "Feed faster: a host with more cores, a data set stored as TFRecords near it "
        "(`python main.py prepare`), or less augmentation (--config.data.augment).",
    )


def _photos(folder: str) -> str:
    """JPEGs of the usual 500x375 in two class folders: smooth shapes with some grain."""
    root = os.path.join(folder, "photos")
    rows, columns = tf.meshgrid(tf.range(375.0), tf.range(500.0), indexing="ij")
    for number in range(_PHOTOS):
        waves = tf.sin(rows / (20 + number)) + tf.cos(columns / 31)
        grain = tf.random.stateless_normal([375, 500, 3], [number, 0], stddev=12.0)
        image = 128 + 50 * waves[..., tf.newaxis] + grain
        path = os.path.join(root, "ab"[number % 2], f"{number}.jpg")
        tf.io.write_file(path, tf.io.encode_jpeg(tf.saturate_cast(image, tf.uint8), quality=90))
    return root


def _split(error: Exception) -> tuple[str, ...]:
    """The first sentence of our messages says what is wrong, the rest what to do."""
    text, _, rest = str(error).partition(". ")
    return (text, rest) if rest else (text,)


def _remedies(error: Exception) -> tuple[str, ...]:
    """The numbered advice of a message of `machine.tpu.no_tpu`; of others the second line."""
    lines = [line.strip() for line in str(error).splitlines()]
    numbered = tuple(line.partition(". ")[2] for line in lines if line[:1].isdigit())
    return numbered or tuple(lines[1:2])
