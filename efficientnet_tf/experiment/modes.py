"""The modes of main.py: train, evaluate, train and evaluate, export.

`assembly.py` builds what they need; here is in which order it is used. What is made of a finished
run for people, its report, is handed in: `report` is called by the chief with the run's model_dir,
its source or None, and whether pictures are wanted, and returns the line to say.
"""

import contextlib
import dataclasses
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import __version__
from efficientnet_tf import config as config_lib
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import Stopped
from efficientnet_tf.evaluation.evaluator import describe
from efficientnet_tf.evaluation.request import EvaluationRequest
from efficientnet_tf.evaluation.target import splits_of
from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.experiment.final_evaluation import evaluate_split, write_metrics
from efficientnet_tf.export import formats
from efficientnet_tf.export import saved_model as export_lib
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.machine import computer
from efficientnet_tf.machine.device import THIS_MACHINE, Device
from efficientnet_tf.optim.schedule import Schedule
from efficientnet_tf.runs.checkpoint import claim_model_dir, write_classes
from efficientnet_tf.runs.init_record import write_record
from efficientnet_tf.storage.files import write_json
from efficientnet_tf.training.connect import describe as describe_devices
from efficientnet_tf.training.distribution import BatchNormStatistics
from efficientnet_tf.training.loop import STEPS, Plan, StopRequest, judge, run, stop_on_signal
from efficientnet_tf.training.metrics import Metrics
from efficientnet_tf.training.multi_worker import SharedStop
from efficientnet_tf.training.reporting import Reporter, Silence

Report = Callable[[str, Source | None, bool], str]

# Largest difference of a probability between the export (always float32) and the model in memory.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}


@dataclasses.dataclass(frozen=True)
class Where:
    """Where a run computes and writes, and in which formats it exports."""

    model_dir: str
    export_dir: str | None = None
    device: Device = THIS_MACHINE
    export_options: ExportOptions = ExportOptions()


def train_and_evaluate(
    config: config_lib.ExperimentConfig, where: Where, report: Report | None = None
) -> None:
    """Trains with evaluations on minival; then tests and exports the best checkpoint.

    Raises:
        Stopped: a signal ended the training; the report is there.
    """
    with _experiment(config, where) as experiment, _reported(experiment, report):
        directory = _export_directory(where)
        experiment.introduce()
        _train(experiment, with_evaluation=True)
        if experiment.source.num_examples["test"]:
            _test(experiment, "test")
        else:
            experiment.restore_for_use()
            experiment.say(f"no test: {experiment.source.name} has no such split")
        _export(experiment, where, directory)


def train(config: config_lib.ExperimentConfig, where: Where, report: Report | None = None) -> None:
    """Trains without evaluating; raises as `train_and_evaluate` does."""
    with _experiment(config, where) as experiment, _reported(experiment, report):
        experiment.introduce()
        _train(experiment, with_evaluation=False)


def train_and_score(config: config_lib.ExperimentConfig, where: Where) -> Metrics:
    """Trains with evaluations on minival; the metrics there of the best checkpoint.

    Neither test nor export: for searches, which must not choose by the test split. Raises as
    `train_and_evaluate` does.
    """
    with _experiment(config, where) as experiment:
        _train(experiment, with_evaluation=True)
        experiment.restore_for_use()
        evaluator = experiment.evaluator()
        averaged = bool(experiment.state.average)
        metrics = experiment.reading("minival", lambda: evaluator("minival", averaged=averaged))
        write_metrics(experiment, "minival", "average" if averaged else "raw", "weights", metrics)
        return metrics


def evaluate(
    config: config_lib.ExperimentConfig,
    where: Where,
    request: EvaluationRequest | None = None,
    report: Report | None = None,
) -> None:
    """Evaluates the best checkpoint, on minival and test if nothing else is asked for."""
    request = request or EvaluationRequest()
    with _experiment(config, where, request) as experiment:
        experiment.introduce()
        experiment.restore_for_use()
        evaluator = experiment.evaluator()
        for split in splits_of(request, experiment.source):
            evaluate_split(experiment, evaluator, request, split)
        own = request.eval_source is None  # else the report loads the data of the run
        _report(experiment, report, experiment.source if own else None)


def export(config: config_lib.ExperimentConfig, where: Where) -> None:
    """Exports the best checkpoint as a SavedModel."""
    with _experiment(config, where) as experiment:
        directory = _export_directory(where)
        experiment.introduce()
        experiment.restore_for_use()
        _export(experiment, where, directory)


def _train(experiment: Experiment, *, with_evaluation: bool) -> None:
    """Trains to the end of the plan; raises Stopped if a signal ended it before."""
    config, state = experiment.config.train, experiment.state
    resumed = experiment.restore()
    patience_over = 0 < config.patience <= int(state.evaluations_without_gain.numpy())
    if experiment.step >= experiment.total_steps or (with_evaluation and patience_over):
        experiment.say(f"already trained: step {experiment.step} of {experiment.total_steps}")
        return
    schedule = experiment.schedule()
    if experiment.workers.is_chief:
        claim_model_dir(experiment.model_dir, experiment.config)
        source = experiment.source
        write_classes(experiment.model_dir, source.num_classes, source.class_names)
        if experiment.initial is not None:
            write_record(experiment.model_dir, experiment.initial)
        write_json(os.path.join(experiment.model_dir, "versions.json"), _versions())
        write_json(os.path.join(experiment.model_dir, "command.json"), _command(experiment))
    evaluates = with_evaluation and experiment.source.num_examples["minival"] > 0
    plan = experiment.plan(with_evaluation=evaluates)
    reporter: Reporter | Silence = Silence()
    if experiment.workers.is_chief:
        reporter = Reporter(
            experiment.model_dir,
            total_steps=plan.total_steps,
            global_batch_size=config.global_batch_size,
            first_step=experiment.step,
            learning_rate=schedule,
        )
    if resumed:
        reporter.say(f"resumed at step {experiment.step} of {plan.total_steps}")
    try:
        with stop_on_signal() as asked:
            stop = SharedStop(experiment.workers, asked)
            last = _run(experiment, plan, schedule, reporter, evaluates, stop)
    finally:
        reporter.close()
    if stop and last < plan.total_steps:
        raise Stopped(
            f"stopped by {stop.reason} at step {last}; the same command goes on from there"
        )


def _run(
    experiment: Experiment,
    plan: Plan,
    schedule: Schedule,
    reporter: Reporter | Silence,
    evaluates: bool,
    stop: StopRequest,
) -> int:
    state, config = experiment.state, experiment.config.train
    train_step = experiment.train_step(schedule)
    iterator = experiment.train_iterator()
    evaluator = experiment.evaluator()
    saved_weights = "average" if state.average else "raw"
    statistics = BatchNormStatistics(experiment.strategy, state.moving_statistics())

    def minival(step: int) -> bool:
        if not evaluates:
            return False
        statistics.average()
        metrics = experiment.reading("minival", lambda: evaluator("minival", averaged=True))
        reporter.evaluation(step, "minival", saved_weights, metrics.__dict__)
        reporter.say(f"step {step}: minival {describe(metrics)}")
        if config.eval_raw_weights and state.average:
            raw = experiment.reading("minival", lambda: evaluator("minival", averaged=False))
            reporter.evaluation(step, "minival", "raw", raw.__dict__)
            reporter.say(f"step {step}: minival, raw weights, {describe(raw)}")
        is_best, without_gain = judge(
            metrics.top1,
            float(state.best_top1.numpy()),
            int(state.evaluations_without_gain.numpy()),
        )
        state.evaluations_without_gain.assign(without_gain)
        if is_best:
            state.best_top1.assign(metrics.top1)
            state.best_step.assign(step)
            experiment.checkpointer.save_best(step)
        if 0 < config.patience <= int(state.evaluations_without_gain.numpy()):
            reporter.say(f"no better minival top-1 in {config.patience} evaluations: stopping")
            return True
        return False

    def save(step: int) -> None:
        statistics.average()
        experiment.checkpointer.save(step)

    return run(
        plan,
        experiment.step,
        train=lambda steps: experiment.reading("train", lambda: train_step(iterator, steps)),
        log=reporter.progress,
        evaluate=minival,
        save=save,
        stop=stop,
        took=lambda step, what, seconds: reporter.took(
            step, what, seconds, train_step.seconds_waiting if what == STEPS else 0.0
        ),
    )


def _test(experiment: Experiment, split: str) -> None:
    experiment.restore_for_use()
    evaluate_split(experiment, experiment.evaluator(), EvaluationRequest(), split)


@contextlib.contextmanager
def _experiment(
    config: config_lib.ExperimentConfig, where: Where, request: EvaluationRequest | None = None
) -> Iterator[Experiment]:
    experiment = Experiment(config, where.model_dir, where.device, request)
    with experiment.workers.together():
        yield experiment


@contextlib.contextmanager
def _reported(experiment: Experiment, report: Report | None) -> Iterator[None]:
    """A training with its report, which has no pictures if a signal ended the training."""
    try:
        yield
    except Stopped:
        _report(experiment, report, experiment.source, with_pictures=False)
        raise
    _report(experiment, report, experiment.source)


def _report(
    experiment: Experiment, report: Report | None, source: Source | None, with_pictures: bool = True
) -> None:
    """The chief makes the report; the others are there until it is done."""
    if report is not None and experiment.workers.is_chief:
        experiment.say(report(experiment.model_dir, source, with_pictures))
    experiment.workers.wait()


def _export_directory(where: Where) -> str:
    """Where the SavedModel goes; refused now rather than after days of training."""
    directory = where.export_dir or os.path.join(where.model_dir, "export")
    export_lib.check_directory(directory)
    return directory


def _export(experiment: Experiment, where: Where, directory: str) -> None:
    """The chief writes the export; the others are there until it is done."""
    if experiment.workers.is_chief:
        _write_export(experiment, where, directory)
    experiment.workers.wait()


def _write_export(experiment: Experiment, where: Where, directory: str) -> None:
    """Writes the averaged weights in the formats asked for, each reloaded and compared."""
    model = experiment.create_model("softmax", "float32")
    experiment.state.copy_average_to(model)
    source = experiment.source
    metadata = {
        "model": experiment.network.name,
        "step": experiment.step,
        "image_size": experiment.network.resolution,
        "classes": source.num_classes,
        "class_names": source.class_names,
        "weights": "average" if experiment.state.average else "raw",
        "input": "values 0..255, normalised inside",
        "config": config_lib.to_dict(experiment.config),
        **_versions(),
    }
    split = "test" if source.num_examples["test"] else "train"
    options = where.export_options

    def sample() -> formats.Sample:
        images, labels = zip(*experiment.some_examples(split, options.images), strict=True)
        calibration = experiment.some_examples("train", formats.CALIBRATION_IMAGES)
        return formats.make_sample(
            model,
            experiment.preprocessing,
            images,
            expected=_probabilities(experiment, images),
            labels=labels,
            calibration=[image for image, _ in calibration],
            tolerance=_TOLERANCE[experiment.precision],
        )

    formats.write(
        model,
        directory,
        experiment.preprocessing,
        experiment.reading(split, sample),
        class_names=source.class_names,
        metadata=metadata,
        options=options,
        say=experiment.say,
    )


def _probabilities(experiment: Experiment, images: Sequence[Any]) -> np.ndarray:
    """Answers of the model in memory, the one that was trained, for undecoded images."""
    batch = np.stack(
        [experiment.preprocessing.for_eval(tf.constant(image)).numpy() for image in images]
    )
    with keras.StatelessScope(state_mapping=experiment.state.evaluation_weights(averaged=True)):
        logits = experiment.state.model(batch, training=False)
    return tf.nn.softmax(tf.cast(logits, tf.float32)).numpy()


def _command(experiment: Experiment) -> dict[str, Any]:
    """What was typed, where and when, on which machine: of the last process that trained."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "directory": os.getcwd(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "from_step": experiment.step,
        "machine": {
            "host": platform.node(),
            **computer.describe(),
            "devices": describe_devices(experiment.strategy),
            "precision": experiment.precision,
            "workers": str(experiment.workers.count),
        },
    }


def _versions() -> dict[str, str]:
    return {
        "efficientnet_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
