"""The network of a run with its state: where its weights begin, are kept and taken from."""

from dataclasses import asdict
from functools import partial

import keras
import tensorflow as tf

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluation.target import Target
from efficientnet_tf.models.networks import configured
from efficientnet_tf.optim.ema import ema_enabled
from efficientnet_tf.runs import checkpoint_files
from efficientnet_tf.runs.checkpoint import Checkpointer
from efficientnet_tf.runs.checkpoint_files import BEST, NEWEST
from efficientnet_tf.runs.init_record import read_record
from efficientnet_tf.training.connect import is_tpu
from efficientnet_tf.training.multi_worker import Workers
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.transfer import fine_tuning
from efficientnet_tf.zoo import create_model


class RunModel:
    """The network of a run, made to be trained, evaluated or exported.

    Args:
        config: finished.
        target: says the classes and the resolution, on which no weight depends.

    Attributes:
        network: its architecture.
        precision: "float32" or "bfloat16".
        initial: the first weights and where they came from, or None if they were drawn.
        state: the weights and all else that a checkpoint keeps.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        target: Target,
        strategy: tf.distribute.Strategy,
        workers: Workers,
    ) -> None:
        self.model_dir = target.model_dir
        if target.num_classes < 2:
            raise UsageError(
                f"{target.source.name} has one class, so there is nothing to tell apart: the "
                "network would always answer it.\n"
                "Give images of at least two classes, one of which may be all else."
            )
        fields = {**asdict(config.model), "resolution": target.resolution}
        self.network = configured(**fields)
        self._create = partial(create_model, **fields, classes=target.num_classes)
        self._say = workers.say
        begun = bool(checkpoint_files.saved(self.model_dir, NEWEST, BEST))
        self.initial = read_record(self.model_dir) if begun else None
        self.precision = config.train.precision
        if self.precision == "auto":
            self.precision = "bfloat16" if is_tpu(strategy) else "float32"
        keras.utils.set_random_seed(config.train.seed)
        with strategy.scope():
            model = self.create(
                None, "mixed_bfloat16" if self.precision == "bfloat16" else "float32"
            )
            fine_tuning.prepare(model, config.transfer)
            if config.init_from and not begun:
                self.initial = fine_tuning.load_initial(
                    model,
                    config.init_from,
                    name=self.network.name,
                    class_names=target.source.class_names,
                    new_head=config.transfer.new_head,
                )
            self.state = TrainState(
                model,
                with_average=ema_enabled(config.optimizer.ema_decay),
                with_mean_square=config.optimizer.kind == "rmsprop",
            )
        keep = config.train.keep_checkpoints
        self.checkpointer = Checkpointer(self.model_dir, self.state, keep, workers)

    def create(self, activation: str | None, dtype: str) -> keras.Model:
        """The network anew, with the input contract of the first weights but not their values."""
        model = self._create(classifier_activation=activation, dtype=dtype)
        if self.initial is not None:
            self.initial.apply(model)
        return model

    @property
    def step(self) -> int:
        return int(self.state.step.numpy())

    @property
    def weights_name(self) -> str:
        """What is evaluated, saved as the best and exported: "average", or "raw" without one."""
        return "average" if self.state.average else "raw"

    def restore(self) -> bool:
        """Continues from the newest checkpoint in model_dir that can be read, if there is any.

        Raises:
            UsageError: none can be read, or they are gone, or of another model.
        """
        paths = checkpoint_files.saved(self.model_dir, NEWEST, BEST)
        if not paths:
            checkpoint_files.check_not_begun(self.model_dir)
            return False
        checkpoint_files.first_readable(paths, self.checkpointer.restore, self._say)
        return True

    def restore_for_use(self) -> None:
        """Takes the best checkpoint, or the newest if the run kept no best.

        Raises:
            UsageError: there is none that can be read, or it is of another model.
        """
        paths = checkpoint_files.for_use(self.model_dir)
        checkpoint_files.first_readable(paths, self.checkpointer.restore, self._say)
