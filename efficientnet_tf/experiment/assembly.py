"""The parts of an experiment, built in order from its configuration."""

from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluation.evaluator import Evaluator
from efficientnet_tf.evaluation.request import EvaluationRequest
from efficientnet_tf.evaluation.target import resolve
from efficientnet_tf.experiment.run_data import RunData
from efficientnet_tf.experiment.run_model import RunModel
from efficientnet_tf.experiment.updates import Updates
from efficientnet_tf.machine.device import THIS_MACHINE, Device
from efficientnet_tf.runs import data_record
from efficientnet_tf.runs.checkpoint import check_model_dir
from efficientnet_tf.training.connect import connect, describe
from efficientnet_tf.training.multi_worker import Workers


class Experiment:
    """What a mode hands on, part by part.

    Args:
        config: finished, see `config.finish`.
        model_dir: of the run.
        device: what to compute on.
        request: what is to be evaluated instead of the run's own data set, and how.
        begin: called before anything is read of the run, once it is known which process writes.

    Attributes:
        strategy: to compute under.
        workers: the processes that compute together; one of them writes and speaks.
        data: what it reads.
        changes: splits that have changed since the run began, which is accepted; a line for each.
        model: what it trains or uses.
    """

    def __init__(
        self,
        config: config_lib.ExperimentConfig,
        model_dir: str,
        device: Device = THIS_MACHINE,
        request: EvaluationRequest | None = None,
        begin: Callable[[Workers], None] = lambda workers: None,
    ) -> None:
        self.config = config
        # First: a TPU must be set up before all else.
        self.strategy = connect(device)
        self.workers = Workers(self.strategy)
        begin(self.workers)
        _check_batch_sizes(config.train, self.strategy)
        check_model_dir(model_dir, config)
        target = resolve(request or EvaluationRequest(), config, model_dir)
        self.changes: dict[str, str] = {}
        if target.is_own:
            accept = config.data.accept_changes
            self.changes = data_record.check(model_dir, target.source, accept=accept)
        self.data = RunData(config, target, self.workers)
        self.model = RunModel(config, target, self.strategy, self.workers)

    @property
    def updates(self) -> Updates:
        """What training does."""
        return Updates(self.config, self.data, self.model, self.strategy)

    def evaluator(self) -> Evaluator:
        """What evaluates the state of the model."""
        train, data = self.config.train, self.data
        return Evaluator(
            self.model.state,
            self.strategy,
            data.source,
            data.preprocessing,
            train.eval_batch_size or train.global_batch_size,
            data.bad,
            data.target.answers,
        )

    def introduce(self) -> None:
        """Three lines: what runs on what, and where it lies."""
        say, model, target = self.workers.say, self.model, self.data.target
        params = model.state.model.count_params()
        trained = sum(weight.shape.num_elements() for weight in model.state.trainable.values())
        frozen = self.config.transfer.freeze_until
        share = f" ({trained / 1e6:.2f} M trained, above {frozen})" if frozen else ""
        size = model.network.resolution
        say(
            f"{model.network.name}, {target.num_classes} classes, {size}x{size} pixels, "
            f"{params / 1e6:.2f} M weights{share}, on {describe(self.strategy)} in "
            f"{model.precision}"
        )
        sizes = target.source.num_examples
        counts = ", ".join(f"{sizes[split]} {split}" for split in ("train", "minival", "test"))
        say(f"data: {target.source.name} ({counts} images)")
        for change in self.changes.values():
            say(f"data changed since the run began: {change}")
        if target.answers is not None:
            say(f"answers: {len(target.answers)} of the network's classes, no other")
        if model.initial is not None:
            say(str(model.initial))
        say(f"run: {model.model_dir}")


def _check_batch_sizes(train: config_lib.TrainConfig, strategy: tf.distribute.Strategy) -> None:
    parts = strategy.num_replicas_in_sync * train.accumulation_steps
    if train.global_batch_size % parts:
        raise UsageError(
            f"config field train.global_batch_size must be a multiple of {parts} (replicas x "
            f"accumulation_steps), received {train.global_batch_size}."
        )
