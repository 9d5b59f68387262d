"""Everything that training changes, in one object: weights, RMSProp slots, averages, step.

Variables are named by the model's variable paths, so a checkpoint can be read by a person and
compared with another model by name.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.optim.rmsprop import INITIAL_MEAN_SQUARE

_MOVING = ("moving_mean", "moving_variance")


class TrainState:
    """The state of a run. Create it inside `strategy.scope()`.

    Attributes:
        model: the Keras model that is trained; its outputs are logits.
        step: int64, updates done.
        mean_square, momentum: slots of the optimizer by path of the trainable weight; SGD has no
            mean square, a frozen weight (its layer is not trainable) neither.
        average: moving averages by path of every weight, batch-norm statistics too; empty if the
            averages are switched off.
        best_top1, best_step: of the evaluations so far; -1 before the first.
        evaluations_without_gain: for early stopping.
    """

    def __init__(
        self, model: keras.Model, *, with_average: bool, with_mean_square: bool = True
    ) -> None:
        self.model = model
        self.weights = {weight.path: weight.value for weight in model.weights}
        self.trainable = {weight.path: weight.value for weight in model.trainable_weights}
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.mean_square = (
            {
                path: _slot(path, np.full(value.shape, INITIAL_MEAN_SQUARE, value.dtype.name))
                for path, value in self.trainable.items()
            }
            if with_mean_square
            else {}
        )
        self.momentum = {
            path: _slot(path, np.zeros(value.shape, value.dtype.name))
            for path, value in self.trainable.items()
        }
        self.average = (
            {path: _slot(path, value.numpy()) for path, value in self.weights.items()}
            if with_average
            else {}
        )
        self.best_top1 = tf.Variable(-1.0, dtype=tf.float64, trainable=False, name="best_top1")
        self.best_step = tf.Variable(-1, dtype=tf.int64, trainable=False, name="best_step")
        self.evaluations_without_gain = tf.Variable(
            0, dtype=tf.int64, trainable=False, name="evaluations_without_gain"
        )

    def moving(self) -> set[str]:
        """Paths of the weights that training moves: all but those of frozen layers."""
        return {
            weight.path
            for layer in self.model.layers
            if layer.trainable
            for weight in layer.weights
        }

    def moving_statistics(self) -> list[tf.Variable]:
        """The batch-norm statistics, raw and averaged: the variables replicas may differ in."""
        tables = (self.weights, self.average)
        return [
            variable
            for table in tables
            for path, variable in table.items()
            if path.rsplit("/", 1)[-1] in _MOVING
        ]

    def named_variables(self) -> dict[str, tf.Variable]:
        """Every variable by a unique, readable name: what a checkpoint holds."""
        named = {
            "step": self.step,
            "best_top1": self.best_top1,
            "best_step": self.best_step,
            "evaluations_without_gain": self.evaluations_without_gain,
        }
        tables = {
            "weights": self.weights,
            "mean_square": self.mean_square,
            "momentum": self.momentum,
            "average": self.average,
        }
        for table, variables in tables.items():
            named.update({f"{table}/{path}": value for path, value in variables.items()})
        return named

    def evaluation_weights(self, averaged: bool) -> list[tuple[Any, tf.Variable]]:
        """(Keras variable, value to evaluate with) pairs for keras.StatelessScope."""
        if not averaged or not self.average:
            return []
        return [(weight, self.average[weight.path]) for weight in self.model.weights]

    def copy_average_to(self, model: keras.Model) -> None:
        """Sets another model of the same architecture to the averaged (or raw) weights."""
        source = self.average or self.weights
        for weight in model.weights:
            weight.assign(source[weight.path].numpy())


def _slot(path: str, value: np.ndarray) -> tf.Variable:
    return tf.Variable(value, trainable=False, name=path.replace("/", "_"))
