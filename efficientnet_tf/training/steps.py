"""One training update and one evaluation batch, and the device-side loops around them.

Here model, loss, optimizer and distribution meet. The loss is divided by the *global* batch size
in exactly one place (`_part_loss`); gradients are then summed over replicas, once.

Order of an update, as in the official code: gradients of loss + L2, RMSProp (or SGD) with the rate
of the step before the increment, the step counter, then the averages with the step after it, over
weights and batch-norm statistics alike.

Differences from the official code: an update may be computed in parts (`accumulation_steps`);
batch norm then sees one part at a time, as it would see one replica.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.config import OptimizerConfig, TrainConfig
from efficientnet_tf.models.engine import use_engine
from efficientnet_tf.optim.ema import ema_decay, ema_update
from efficientnet_tf.optim.loss import (
    class_weights_of,
    is_weight_decayed,
    l2_penalty,
    softmax_cross_entropy,
)
from efficientnet_tf.training.distribution import (
    ReplicaEngine,
    batch_norm_group_size,
    is_tpu,
    kernels_for,
)
from efficientnet_tf.training.metrics import SUMS, batch_sums
from efficientnet_tf.training.rematerialisation import Rematerialised
from efficientnet_tf.training.state import TrainState


class TrainStep:
    """Runs updates of a state under a strategy.

    `TrainStep(...)(iterator, num_steps)` runs `num_steps` updates on the device and returns their
    losses, float32 [num_steps], L2 included. `num_steps` is a tensor: no retracing.

    Args:
        learning_rate: of a step, by its number.
        rates: by path of a weight, what the learning rate is multiplied by; 1 for all others.
        class_weights: of the loss, one for each class; None weighs all alike. The sum is divided
            by the batch all the same, so weights of mean 1 over the data keep the loss' size.

    Attributes:
        seconds_waiting: of the last call, for the input: from asking for a batch to having it.
    """

    seconds_waiting = 0.0

    def __init__(
        self,
        state: TrainState,
        strategy: tf.distribute.Strategy,
        learning_rate: Callable[[Any], Any],
        optimizer: OptimizerConfig,
        train: TrainConfig,
        *,
        rates: Mapping[str, float] | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        self._state = state
        self._strategy = strategy
        self._learning_rate = learning_rate
        self._optimizer = optimizer
        self._train = train
        self._rates = rates or {}
        self._class_weights = class_weights
        self._batch_norm_group = batch_norm_group_size(
            strategy.num_replicas_in_sync, train.batch_norm_group
        )
        self._trainable = list(state.trainable.items())
        self._decayed = [value for path, value in self._trainable if is_weight_decayed(path)]
        moving = state.moving()  # the average of what never moves is what it began as
        self._averaged = [(path, state.weights[path]) for path in state.average if path in moving]
        self._kernels = kernels_for(strategy)
        self._forward = state.model
        if train.rematerialise:
            self._forward = Rematerialised(state.model, for_xla=is_tpu(strategy))
        self._run = tf.function(self._updates)

    def __call__(self, iterator: Iterator[Any], num_steps: int) -> Any:
        losses, waited = self._run(iterator, tf.constant(num_steps, tf.int32))
        self.seconds_waiting = float(waited)
        return losses.numpy()

    def _updates(self, iterator: Any, num_steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        losses = tf.TensorArray(tf.float32, size=num_steps)
        waited = tf.constant(0.0, tf.float64)
        for index in tf.range(num_steps):
            asked = tf.timestamp()
            with tf.control_dependencies([asked]):
                batch = next(iterator)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                waited += tf.timestamp() - asked
            per_replica = self._strategy.run(self.update, args=(batch,))
            loss = self._strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
            losses = losses.write(index, loss)
        return losses.stack(), waited

    # Converting the layers' and the optimizer's Python takes several times their tracing.
    @tf.autograph.experimental.do_not_convert
    def update(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """One update in replica context; returns this replica's share of the loss."""
        loss, gradients = self.gradients(batch)
        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if self._optimizer.clip_norm > 0:
            gradients, _ = tf.clip_by_global_norm(gradients, self._optimizer.clip_norm)
        state = self._state
        rate = self._learning_rate(state.step)
        for (path, weight), gradient in zip(self._trainable, gradients, strict=True):
            own = self._rates.get(path, 1.0)
            self._apply(path, weight, gradient, rate if own == 1.0 else rate * own)
        state.step.assign_add(1)
        if state.average:
            decay = ema_decay(state.step, self._optimizer.ema_decay)
            for path, weight in self._averaged:
                average = state.average[path]
                average.assign(ema_update(average, weight, tf.cast(decay, average.dtype)))
        return loss

    def _apply(self, path: str, weight: tf.Variable, gradient: tf.Tensor, rate: Any) -> None:
        # The kernels that TF1's and Keras' optimizers call: one operation in place of twenty,
        # which tests hold against rmsprop_update and nesterov_update.
        optimizer, state = self._optimizer, self._state
        rate = tf.cast(rate, weight.dtype)
        if optimizer.kind == "sgd":
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=weight.handle,
                accum=state.momentum[path].handle,
                lr=rate,
                momentum=optimizer.momentum,
                grad=gradient,
                use_nesterov=True,
            )
            return
        tf.raw_ops.ResourceApplyRMSProp(
            var=weight.handle,
            ms=state.mean_square[path].handle,
            mom=state.momentum[path].handle,
            lr=rate,
            rho=optimizer.rho,
            momentum=optimizer.momentum,
            epsilon=optimizer.epsilon,
            grad=gradient,
        )

    def gradients(self, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """This replica's share of the loss and its gradients, over all parts of the batch."""
        parts = self._train.accumulation_steps
        if parts == 1:
            return self._part_gradients(batch["image"], batch["label"], 0)
        size = batch["image"].shape[0] // parts

        def add_part(part: tf.Tensor, loss: tf.Tensor, *sums: tf.Tensor) -> Any:
            images, labels = (  # slices of static size, as XLA needs
                tf.slice(
                    value, [part * size] + [0] * (value.shape.rank - 1), [size, *value.shape[1:]]
                )
                for value in (batch["image"], batch["label"])
            )
            more_loss, more = self._part_gradients(images, labels, part)
            added = [one + other for one, other in zip(sums, more, strict=True)]
            return part + 1, loss + more_loss, *added

        zeros = [tf.zeros(weight.shape) for _, weight in self._trainable]
        _, loss, *gradients = tf.while_loop(
            lambda part, *_: part < parts, add_part, (0, 0.0, *zeros), parallel_iterations=1
        )
        return loss, gradients

    def _part_gradients(
        self, images: tf.Tensor, labels: tf.Tensor, part: Any
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        engine = ReplicaEngine(
            self._train.seed, self._state.step, part, self._batch_norm_group, self._kernels
        )
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight for _, weight in self._trainable])
            with use_engine(engine):
                logits = self._forward(images, training=True)
            loss = self._part_loss(logits, labels)
        return loss, tape.gradient(loss, [weight for _, weight in self._trainable])

    def _part_loss(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        optimizer, train = self._optimizer, self._train
        losses = softmax_cross_entropy(logits, labels, optimizer.label_smoothing)
        if self._class_weights is not None:
            losses *= class_weights_of(labels, self._class_weights)
        loss = tf.reduce_sum(losses) / train.global_batch_size
        if optimizer.weight_decay > 0:
            shares = self._strategy.num_replicas_in_sync * train.accumulation_steps
            loss += optimizer.weight_decay / shares * l2_penalty(self._decayed)
        return loss


class EvalStep:
    """Sums the metrics of a whole data set, with the raw or the averaged weights.

    Args:
        classes: class numbers that may be answered, in the order of the labels; logits of all
            others are left out. None: every class may.
    """

    def __init__(
        self,
        state: TrainState,
        strategy: tf.distribute.Strategy,
        *,
        averaged: bool,
        classes: Sequence[int] | None = None,
    ) -> None:
        self._state = state
        self._strategy = strategy
        self._classes = None if classes is None else list(classes)
        self._weights = state.evaluation_weights(averaged)
        self._run = tf.function(self._batch)
        self._run_with_answers = tf.function(self._batch_with_answers)

    def __call__(self, dataset: Any) -> dict[str, float]:
        """One pass over a (distributed) data set of {"image", "label", "mask"}."""
        totals = dict.fromkeys(SUMS, 0.0)
        for batch in dataset:
            for name, value in self._run(batch).items():
                totals[name] += float(value)  # float64 on the host: exact counts beyond 2**24
        return totals

    def with_answers(
        self, dataset: Any
    ) -> Iterator[tuple[dict[str, float], dict[str, np.ndarray]]]:
        """One pass over a data set of {"image", "label", "mask", "index"}, batch by batch.

        Yields the sums of a global batch and of its examples, whichever replica or worker they
        were on, without padding: "index" int64 [n], "label" int32 [n] and "probabilities" float32
        [n, classes].
        """
        for batch in dataset:
            sums, answers = self._run_with_answers(batch)
            rows = {name: value.numpy() for name, value in answers.items()}
            real = rows.pop("mask") > 0
            yield (
                {name: float(value) for name, value in sums.items()},
                {name: value[real] for name, value in rows.items()},
            )

    def _batch(self, batch: Any) -> dict[str, tf.Tensor]:
        return self._summed(self._strategy.run(self.replica_sums, args=(batch,)))

    def _batch_with_answers(self, batch: Any) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        rows = {name: batch[name] for name in ("index", "label", "mask")}
        inputs = {name: batch[name] for name in ("image", "label", "mask")}
        sums, probabilities = self._strategy.run(self._replica_answers, args=(inputs,))
        rows["probabilities"] = probabilities
        return self._summed(sums), {
            name: self._strategy.gather(value, axis=0) for name, value in rows.items()
        }

    def _summed(self, sums: dict[str, Any]) -> dict[str, tf.Tensor]:
        return {
            name: self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in sums.items()
        }

    def replica_sums(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The metrics' sums of one replica's batch."""
        return batch_sums(self._logits(batch["image"]), batch["label"], batch["mask"])

    def _replica_answers(
        self, batch: dict[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        logits = self._logits(batch["image"])
        return batch_sums(logits, batch["label"], batch["mask"]), tf.nn.softmax(logits)

    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        with keras.StatelessScope(state_mapping=self._weights):
            logits = tf.cast(self._state.model(images, training=False), tf.float32)
        return logits if self._classes is None else tf.gather(logits, self._classes, axis=-1)
