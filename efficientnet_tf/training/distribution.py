"""What training asks of a tf.distribute strategy, and what a layer may ask of its replica.

`ReplicaEngine` answers the layers' questions inside a replica (models/engine.py);
`BatchNormStatistics` makes the replicas' moving statistics one before they are saved, evaluated or
exported.

Differences from the official code: masks are functions of (seed, step, part, replica, layer), not
of hidden generator state; statistics of all batch-norm groups are averaged, where there the copy
that reaches the checkpoint is the runtime's choice.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.models import random_bits
from efficientnet_tf.models.engine import Kernels
from efficientnet_tf.training import cpu_kernels, tpu_kernels
from efficientnet_tf.training.connect import chip_of, is_tpu

BATCH_NORMS = ("official", "synchronised", "local")


def batch_norm_group_size(num_replicas: int, batch_norm: str = "official") -> int:
    """How many replicas share batch-norm moments.

    Args:
        batch_norm: "official" is the official rule: none do up to 8 replicas, then n/8 of them,
            but at least 8; "synchronised": all; "local": none.

    Raises:
        UsageError: another word, or the replicas do not divide into groups.
    """
    if batch_norm not in BATCH_NORMS:
        known = ", ".join(f'"{name}"' for name in BATCH_NORMS)
        raise UsageError(
            f'batch_norm must be one of {known}, received "{batch_norm}".'
            f"{nearest(batch_norm, BATCH_NORMS)}"
        )
    if batch_norm == "synchronised":
        return num_replicas
    if batch_norm == "local" or num_replicas <= 8:
        return 1
    group = max(8, num_replicas // 8)
    if num_replicas % group:
        raise UsageError(
            f"{num_replicas} replicas do not divide into batch-norm groups of {group}; "
            "use a number of replicas that is a multiple of 8, or "
            "--config.train.batch_norm_group=synchronised or local."
        )
    return group


def kernels_for(strategy: tf.distribute.Strategy) -> Kernels | None:
    """Faster training kernels for the strategy's devices, if there are any.

    On a TPU only for chips for which they were found to be faster; none on one of unknown kind.
    """
    if is_tpu(strategy):
        return tpu_kernels if chip_of(strategy) in tpu_kernels.CHIPS else None
    devices = strategy.extended.worker_devices
    if not all("CPU" in device.upper() for device in devices):
        return None
    return cpu_kernels if cpu_kernels.are_available() else None


# A function of its own, for a network has twenty masks of two sizes: it is traced twice.
@tf.function(autograph=False)
def _uniform(count: Any, *words: tf.Tensor) -> tf.Tensor:
    return random_bits.uniform(count, words)


class ReplicaEngine:
    """Answers of one replica in one part of one step; implements models.engine.Engine.

    Args:
        seed: of the run.
        step: int64 scalar tensor, the step before the update.
        part: int or int64 scalar, which part of an accumulated batch.
        group_size: replicas that share batch-norm moments; 1 for none.
        kernels: training kernels of the device, see `kernels_for`.
    """

    def __init__(
        self,
        seed: int,
        step: tf.Tensor,
        part: Any = 0,
        group_size: int = 1,
        kernels: Kernels | None = None,
    ) -> None:
        self.kernels = kernels
        replica = tf.distribute.get_replica_context()
        self._replica = replica
        self._group_size = group_size
        self._seed = seed
        part_and_replica = tf.cast(part, tf.int32) * replica.num_replicas_in_sync
        part_and_replica += tf.cast(replica.replica_id_in_sync_group, tf.int32)
        self._draw = (tf.cast(step, tf.uint32), tf.cast(part_and_replica, tf.uint32))

    def uniform(self, shape: Sequence[Any], layer_id: int) -> tf.Tensor:
        layer = (tf.constant(self._seed, tf.uint32), tf.constant(layer_id, tf.uint32))
        # The number of examples can be one that is known only when the step runs.
        known = [side if isinstance(side, int) else tf.get_static_value(side) for side in shape]
        count = math.prod(known) if None not in known else tf.reduce_prod(tf.stack(shape))
        return tf.reshape(_uniform(count, *layer, *self._draw), shape)

    @property
    def averages_moments(self) -> bool:
        return self._group_size > 1

    def average_moments(
        self, mean: tf.Tensor, mean_of_squares: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if not self.averages_moments:
            return mean, mean_of_squares
        both = tf.stack([mean, mean_of_squares])
        replicas = self._replica.num_replicas_in_sync
        if self._group_size == replicas:
            both = self._replica.all_reduce(tf.distribute.ReduceOp.MEAN, both)
        elif is_tpu(self._replica.strategy):
            # The TPU sums within groups by itself; its gradient is the same sum of the gradients.
            groups = np.arange(replicas).reshape(-1, self._group_size).tolist()
            both = tf.compat.v1.tpu.cross_replica_sum(both, groups) / self._group_size
        else:
            everyone = self._replica.all_gather(both[tf.newaxis], axis=0)  # [replicas, 2, C]
            first = self._replica.replica_id_in_sync_group // self._group_size * self._group_size
            group = tf.slice(everyone, [first, 0, 0], [self._group_size, -1, -1])
            both = tf.reduce_mean(group, axis=0)
        return both[0], both[1]


class BatchNormStatistics:
    """The moving statistics of all replicas; `average` sets each copy to their mean.

    Make it once for a run, for the program is compiled once. Replicas must agree before an
    evaluation, a checkpoint and an export.

    Args:
        variables: see TrainState.moving_statistics.
    """

    def __init__(self, strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]) -> None:
        self._strategy = strategy
        self._variables = list(variables)
        self._run = tf.function(lambda: strategy.run(self._average), autograph=False)

    def average(self) -> None:
        if self._strategy.num_replicas_in_sync > 1 and self._variables:
            self._run()

    def _average(self) -> None:
        """In one program for all of them: on a TPU each `run` would be compiled and sent alone."""
        replica = tf.distribute.get_replica_context()
        copies = [tf.identity(variable) for variable in self._variables]
        means = replica.all_reduce(tf.distribute.ReduceOp.MEAN, copies)
        for variable, mean in zip(self._variables, means, strict=True):
            variable.assign(mean)
