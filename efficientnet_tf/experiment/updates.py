"""The updates of a run: how many, at which rates, from which batches, and when it is evaluated."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.experiment import durations
from efficientnet_tf.experiment.run_data import RunData
from efficientnet_tf.experiment.run_model import RunModel
from efficientnet_tf.optim.schedule import Schedule, scaled_learning_rate
from efficientnet_tf.training.connect import is_tpu
from efficientnet_tf.training.loop import Plan
from efficientnet_tf.training.steps import TrainStep
from efficientnet_tf.transfer import fine_tuning


def schedule(config: ExperimentConfig, images: int) -> Schedule:
    """The learning rate of each step of a run with so many training images."""
    optimizer, batch = config.optimizer, config.train.global_batch_size
    return Schedule(
        kind=optimizer.schedule,
        peak=scaled_learning_rate(optimizer.base_learning_rate, batch),
        steps_per_epoch=durations.steps_per_epoch(images, batch),
        total_steps=durations.epochs_to_steps(config.train.epochs, images, batch),
        warmup_epochs=optimizer.warmup_epochs,
        decay_epochs=optimizer.decay_epochs,
        decay_factor=optimizer.decay_factor,
        staircase=optimizer.staircase,
    )


@dataclass(frozen=True)
class Updates:
    """Made of the other parts of an experiment; keeps nothing of its own."""

    config: ExperimentConfig
    data: RunData
    model: RunModel
    strategy: tf.distribute.Strategy

    @property
    def total_steps(self) -> int:
        return self._steps(self.config.train.epochs)

    def _steps(self, epochs: float) -> int:
        batch = self.config.train.global_batch_size
        return durations.epochs_to_steps(epochs, self.data.source.num_examples["train"], batch)

    def plan(self, *, with_evaluation: bool) -> Plan:
        """When the run evaluates, saves and ends."""
        train = self.config.train
        per_loop = 100 if is_tpu(self.strategy) else 10
        return Plan(
            total_steps=self.total_steps,
            steps_per_loop=train.steps_per_loop or per_loop,
            eval_every=self._steps(train.eval_every_epochs) if with_evaluation else 0,
            checkpoint_every=self._steps(train.checkpoint_every_epochs),
        )

    def schedule(self) -> Schedule:
        """The learning rate of each step."""
        return schedule(self.config, self.data.source.num_examples["train"])

    def train_step(self) -> TrainStep:
        """The update of the model's state."""
        return TrainStep(
            self.model.state,
            self.strategy,
            self.schedule(),
            self.config.optimizer,
            self.config.train,
            rates=fine_tuning.learning_rates(self.model.state.model, self.config.transfer),
            class_weights=self.data.class_weights(),
        )

    def dataset(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """What one input pipeline yields, from the step of the state on."""
        return self.data.train_dataset(self.config.train, self.model.step, context)

    def batches(self) -> Iterator[Any]:
        """Batches for each replica, from the step of the state on."""
        return iter(self.strategy.distribute_datasets_from_function(self.dataset))
