"""Where the training runs: the tf.distribute strategy, and what a layer may ask of it.

`connect` turns the `--tpu` flag into a strategy; `ReplicaEngine` answers the layers' questions
inside a replica (models/engine.py); `average_batch_norm_statistics` makes the replicas' moving
statistics one before they are saved, evaluated or exported.

Differences from the official code: masks are functions of (seed, step, part, replica, layer), not
of hidden generator state; statistics of all batch-norm groups are averaged, where there the copy
that reaches the checkpoint is the runtime's choice.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.engine import Kernels
from efficientnet_tf.training import cpu_kernels

NO_TPU = """no TPU found for --tpu={tpu}: {reason}
What to check:
  1. `pip list | grep -i tensorflow`: a TPU machine needs tensorflow-tpu alone; the plain
     tensorflow package has no TPU kernels.
  2. `ls /dev/accel* /dev/vfio`: the chips must be there, and readable by you.
  3. Another process (a notebook, a JAX session) may hold them: only one can.
  4. libtpu must fit tensorflow-tpu.
Without --tpu the same command runs on the GPU or CPU of this machine."""


def connect(tpu: str | None) -> tf.distribute.Strategy:
    """Connects to the accelerator and returns the strategy to train under.

    Args:
        tpu: "local" (TPU VM, Colab, Kaggle), the name of a Cloud TPU, a "grpc://..." address, or
            None for the GPUs of this machine, or its CPU if there is none.

    Raises:
        UsageError: no TPU answers there; the message says what to check.
    """
    if tpu is None:
        gpus = tf.config.list_logical_devices("GPU")
        if len(gpus) > 1:
            return tf.distribute.MirroredStrategy()
        return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
    try:
        logging.getLogger("tensorflow").setLevel(logging.FATAL)  # its errors repeat ours, longer
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        if tpu != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # TF raises many kinds here, down to KeyError and socket errors
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        reason = reason.split(" used by {{")[0]  # graph nodes tell the user nothing
        raise UsageError(NO_TPU.format(tpu=tpu, reason=reason[:200])) from error


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.TPUStrategy)


def describe(strategy: tf.distribute.Strategy) -> str:
    """`8 TPU cores`, `2 GPUs` or `CPU (2 cores)`."""
    replicas = strategy.num_replicas_in_sync
    if is_tpu(strategy):
        return f"{replicas} TPU core{'s' if replicas > 1 else ''}"
    kind = strategy.extended.worker_devices[0].upper()
    if "GPU" in kind:
        return f"{replicas} GPU{'s' if replicas > 1 else ''}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpus = f"CPU ({cores} core{'s' if cores != 1 else ''})"
    return cpus if replicas == 1 else f"{replicas} replicas on {cpus}"


def batch_norm_group_size(num_replicas: int) -> int:
    """Replicas that share batch-norm moments, by the official rule: none up to 8, then n/8.

    Raises:
        UsageError: the replicas do not divide into groups.
    """
    if num_replicas <= 8:
        return 1
    group = max(8, num_replicas // 8)
    if num_replicas % group:
        raise UsageError(
            f"{num_replicas} replicas do not divide into batch-norm groups of {group}; "
            "use a number of replicas that is a multiple of 8."
        )
    return group


def kernels_for(strategy: tf.distribute.Strategy) -> Kernels | None:
    """Faster training kernels for the strategy's devices, if there are any."""
    devices = strategy.extended.worker_devices
    return cpu_kernels if all("CPU" in device.upper() for device in devices) else None


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
        replica_id = tf.cast(replica.replica_id_in_sync_group, tf.int64)
        replicas = replica.num_replicas_in_sync
        # One number for (step, part, replica): parts and replicas stay far below 2**20.
        self._draw = tf.cast(step, tf.int64) * 2**20 + tf.cast(part, tf.int64) * replicas
        self._draw += replica_id

    def uniform(self, shape: Sequence[Any], layer_id: int) -> tf.Tensor:
        layer_seed = tf.constant((self._seed << 31) ^ layer_id, tf.int64)
        return tf.random.stateless_uniform(shape, tf.stack([layer_seed, self._draw]))

    @property
    def averages_moments(self) -> bool:
        return self._group_size > 1

    def average_moments(
        self, mean: tf.Tensor, mean_of_squares: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if not self.averages_moments:
            return mean, mean_of_squares
        both = tf.stack([mean, mean_of_squares])
        if self._group_size == self._replica.num_replicas_in_sync:
            both = self._replica.all_reduce(tf.distribute.ReduceOp.MEAN, both)
        else:
            everyone = self._replica.all_gather(both[tf.newaxis], axis=0)  # [replicas, 2, C]
            first = self._replica.replica_id_in_sync_group // self._group_size * self._group_size
            group = tf.slice(everyone, [first, 0, 0], [self._group_size, -1, -1])
            both = tf.reduce_mean(group, axis=0)
        return both[0], both[1]


def average_batch_norm_statistics(
    strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]
) -> None:
    """Sets the copies of every moving statistic to their mean over the replicas."""
    if strategy.num_replicas_in_sync == 1:
        return

    @tf.function
    def average() -> None:
        for variable in variables:
            copies = strategy.run(lambda v=variable: tf.identity(v))
            variable.assign(strategy.reduce(tf.distribute.ReduceOp.MEAN, copies, axis=None))

    average()
