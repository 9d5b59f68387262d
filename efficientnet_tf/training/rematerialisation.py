"""A forward pass that keeps only what enters each block; gradients compute the block again.

The memory of a training step is mostly the activations inside the blocks, whose expanded maps are
six times as wide as what passes between blocks. Computing them twice costs about a quarter more
arithmetic. Values, gradients and batch-norm statistics are those of the plain pass: masks are
functions of the step (models/engine.py), and only the first computation moves the statistics.

Differences from keras.remat and tf.recompute_grad: those tie the second computation to the
gradient by arithmetic that XLA sees through, so it merges both computations and no memory is
saved. Here an optimization barrier, which XLA keeps, ties them; outside of XLA, where there is no
such operation, control dependencies do.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops  # its barrier has no public name

from efficientnet_tf.models.efficientnet import segments
from efficientnet_tf.models.engine import current_engine, use_engine


class Rematerialised:
    """A model of the family for training; a call computes what the model computes.

    Args:
        model: its layers and variables are used, not copied.
        for_xla: whether XLA compiles the step, as on a TPU.
    """

    def __init__(self, model: keras.Model, *, for_xla: bool) -> None:
        *self._recomputed, self._head = segments(model)
        self._for_xla = for_xla

    def __call__(self, images: Any, training: bool) -> tf.Tensor:
        """In our training step only, for the masks must be the same the second time."""
        x = images
        for segment in self._recomputed:
            x = self._keeping_nothing(segment, x, training)
        return self._head(x, training=training)  # its gradient comes first: nothing to gain

    def _keeping_nothing(self, segment: keras.Model, x: tf.Tensor, training: bool) -> tf.Tensor:
        weights = segment.weights
        engine = current_engine()

        def compute(x: tf.Tensor, values: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[Any]]:
            """The output, and the new value of each weight that the pass moves, else None."""
            mapping = list(zip(weights, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping) as scope, use_engine(engine):
                y = segment(x, training=training)
            now = [scope.get_current_value(weight) for weight in weights]
            moved = [new is not old for new, old in zip(now, values, strict=True)]
            return y, [new if is_new else None for new, is_new in zip(now, moved, strict=True)]

        updates: list[Any] = []

        @tf.custom_gradient
        def run(x: tf.Tensor, *values: tf.Tensor) -> Any:
            y, moved = compute(x, values)
            updates[:] = moved

            def gradient(dy: tf.Tensor) -> list[Any]:
                *inputs, d_output = self._after(dy, [x, *values])
                sources = [each for each in inputs if each.dtype.is_floating]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(sources)
                    again, _ = compute(inputs[0], inputs[1:])
                found = iter(tape.gradient(again, sources, d_output))
                return [next(found) if each.dtype.is_floating else None for each in inputs]

            return y, gradient

        y = run(x, *[tf.convert_to_tensor(weight.value) for weight in weights])
        for weight, new in zip(weights, updates, strict=True):
            if new is not None:
                weight.assign(new)
        return y

    def _after(self, dy: tf.Tensor, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The inputs and dy, such that nothing computed from them can come before dy."""
        if self._for_xla:
            return gen_xla_ops.xla_optimization_barrier([*inputs, dy])
        with tf.control_dependencies([dy]):
            return [*(tf.identity(value) for value in inputs), dy]
