"""The modes of main.py: train, evaluate, train and evaluate, export.

`assembly.py` builds what they need; here is in which order it is used. What is made of a finished
run for people, its report, is handed in: `report` is called by the chief with the run's model_dir,
its source or None, and whether pictures are wanted, and returns the line to say.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.data.sources.by_name import configured_source
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import RunError, Stopped, UsageError, first_line
from efficientnet_tf.evaluation.request import EvaluationRequest
from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.experiment.exporting import write_export
from efficientnet_tf.experiment.final_evaluation import FinalEvaluation
from efficientnet_tf.experiment.training import train_to_the_end
from efficientnet_tf.export import saved_model as export_lib
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.machine.device import THIS_MACHINE, Device
from efficientnet_tf.models.networks import configured
from efficientnet_tf.runs.checkpoint_files import set_aside
from efficientnet_tf.storage import lock
from efficientnet_tf.storage.files import check_writable
from efficientnet_tf.training.metrics import Metrics
from efficientnet_tf.training.multi_worker import Workers

Report = Callable[[str, Source | None, bool], str]


@dataclasses.dataclass(frozen=True)
class Where:
    """Where a run computes and writes, and in which formats it exports.

    Attributes:
        start_anew: whether training begins at step 0 where there are checkpoints, which are moved
            aside.
    """

    model_dir: str
    export_dir: str | None = None
    device: Device = THIS_MACHINE
    export_options: ExportOptions = ExportOptions()
    start_anew: bool = False


def train_and_evaluate(
    config: config_lib.ExperimentConfig, where: Where, report: Report | None = None
) -> None:
    """Trains with evaluations on minival; then tests and exports the best checkpoint.

    Raises:
        Stopped: a signal ended the training; the report is there.
    """
    with _training(config, where) as experiment, _reported(experiment, report):
        directory = _export_directory(experiment, where)
        experiment.introduce()
        train_to_the_end(experiment, with_evaluation=True)
        source = experiment.data.source
        experiment.model.restore_for_use()
        if source.num_examples["test"]:
            _final_evaluation(experiment)("test", raw=config.train.eval_raw_weights)
        else:
            experiment.workers.say(f"no test: {source.name} has no such split")
        _export(experiment, where, directory)


def train(config: config_lib.ExperimentConfig, where: Where, report: Report | None = None) -> None:
    """Trains without evaluating; raises as `train_and_evaluate` does."""
    with _training(config, where) as experiment, _reported(experiment, report):
        experiment.introduce()
        train_to_the_end(experiment, with_evaluation=False)


def train_and_score(config: config_lib.ExperimentConfig, where: Where) -> Metrics:
    """Trains with evaluations on minival; the metrics there of the best checkpoint.

    Neither test nor export: for searches, which must not choose by the test split. Raises as
    `train_and_evaluate` does.
    """
    with _training(config, where) as experiment:
        train_to_the_end(experiment, with_evaluation=True)
        experiment.model.restore_for_use()
        return _final_evaluation(experiment).metrics_alone("minival")


def evaluate(
    config: config_lib.ExperimentConfig,
    where: Where,
    request: EvaluationRequest | None = None,
    report: Report | None = None,
) -> None:
    """Evaluates the best checkpoint, on minival and test if nothing else is asked for.

    Raises:
        UsageError: there is no checkpoint, or model_dir cannot be written.
    """
    with _experiment(config, where, request) as experiment:
        experiment.introduce()
        experiment.model.restore_for_use()
        if experiment.workers.is_chief:  # before the long work, whose results go there
            check_writable("--model_dir", os.path.join(where.model_dir, "evaluation.json"))
        evaluation, target = _final_evaluation(experiment), experiment.data.target
        for split in target.splits:
            evaluation(split, raw=config.train.eval_raw_weights)
        source = target.source if target.is_own else None
        if source is None and not missing_data(config):
            source = _own_source(config)
        _report(experiment, report, source)


def export(config: config_lib.ExperimentConfig, where: Where) -> None:
    """Exports the best checkpoint as a SavedModel."""
    with _experiment(config, where) as experiment:
        experiment.introduce()
        experiment.model.restore_for_use()
        directory = _export_directory(experiment, where)
        _export(experiment, where, directory)


@contextlib.contextmanager
def _experiment(
    config: config_lib.ExperimentConfig,
    where: Where,
    request: EvaluationRequest | None = None,
    begin: Callable[[Workers], None] = lambda workers: None,
) -> Iterator[Experiment]:
    experiment = Experiment(config, where.model_dir, where.device, request, begin)
    with experiment.workers.together():
        yield experiment


@contextlib.contextmanager
def _training(config: config_lib.ExperimentConfig, where: Where) -> Iterator[Experiment]:
    """An experiment whose model_dir no other process trains in, however many workers this has."""
    with contextlib.ExitStack() as stack:

        def begin(workers: Workers) -> None:
            if workers.is_chief:
                stack.enter_context(lock.held(where.model_dir))
                if where.start_anew and (folder := set_aside(where.model_dir)):
                    workers.say(f"starting anew; what was there is in {folder}")
            if where.start_anew:
                workers.wait()

        yield stack.enter_context(_experiment(config, where, begin=begin))


@contextlib.contextmanager
def _reported(experiment: Experiment, report: Report | None) -> Iterator[None]:
    """A training with its report, which has no pictures if a signal ended the training."""
    source = experiment.data.source
    try:
        yield
    except Stopped:
        _report(experiment, report, source, with_pictures=False)
        raise
    _report(experiment, report, source)


def _final_evaluation(experiment: Experiment) -> FinalEvaluation:
    evaluator = experiment.evaluator()
    return FinalEvaluation(evaluator, experiment.data, experiment.model, experiment.workers)


def _own_source(config: config_lib.ExperimentConfig) -> Source:
    """The data of a run; raises as `configured_source`."""
    return configured_source(config.data, configured(**dataclasses.asdict(config.model)).resolution)


def missing_data(config: config_lib.ExperimentConfig) -> str:
    """Why the data of a run cannot be read, in a line; "" if it can."""
    try:
        _own_source(config)
    except (UsageError, RunError, OSError, tf.errors.OpError) as error:
        return first_line(error)
    return ""


def _report(
    experiment: Experiment, report: Report | None, source: Source | None, with_pictures: bool = True
) -> None:
    """The chief makes the report; the others are there until it is done."""
    workers = experiment.workers
    if report is not None and workers.is_chief:
        workers.say(report(experiment.model.model_dir, source, with_pictures))
    workers.wait()


def _export_directory(experiment: Experiment, where: Where) -> str:
    """Where the SavedModel goes; refused now rather than after days of training."""
    directory = where.export_dir or os.path.join(where.model_dir, "export")
    export_lib.check_directory(directory)
    if experiment.workers.is_chief:
        check_writable("--export_dir", f"{directory.rstrip('/')}.trial", make_folder=True)
    return directory


def _export(experiment: Experiment, where: Where, directory: str) -> None:
    """The chief writes the export; the others are there until it is done."""
    config, data, model = experiment.config, experiment.data, experiment.model
    workers = experiment.workers
    if workers.is_chief:
        write_export(config, data, model, directory, where.export_options, workers.say)
    workers.wait()
