"""Sixteen logical CPU devices, on which replicas are tested, and small networks of the family."""

import functools
import os
from collections.abc import Callable
from typing import Any

import keras
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS

from efficientnet_tf.training.state import TrainState
from efficientnet_tf.zoo import create_model

# TensorFlow sets it as it is imported; the commands that tests start are to choose their own.
os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)

# Here, because it must happen before TensorFlow runs its first operation in any test.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 16
)


@functools.cache
def _mirrored(count: int) -> tf.distribute.Strategy:
    class Replicas(tf.distribute.MirroredStrategy):
        # TensorFlow's knob for tests: strategies in one process must not share collective keys.
        _collective_key_base = 10_000 * count

    return Replicas([f"/cpu:{i}" for i in range(count)])


@pytest.fixture(scope="session")
def replicas() -> Callable[[int], tf.distribute.Strategy]:
    """The strategy of so many replicas on the CPU."""

    def strategy(count: int) -> tf.distribute.Strategy:
        return tf.distribute.OneDeviceStrategy("/cpu:0") if count == 1 else _mirrored(count)

    return strategy


@pytest.fixture(scope="session")
def tiny_network() -> Callable[..., keras.Model]:
    """A network of two blocks for images of 16x16 and 10 classes; gives logits."""

    def make(seed: int = 0, **changes: Any) -> keras.Model:
        keras.utils.set_random_seed(seed)
        arguments = {
            "width_coefficient": 0.1,
            "blocks_args": TWO_BLOCKS,
            "resolution": 16,
            "classes": 10,
            "classifier_activation": None,
            **changes,
        }
        return create_model("efficientnet-b0", **arguments)

    return make


@pytest.fixture(scope="session")
def tiny_state(replicas: Any, tiny_network: Any) -> Callable[..., TrainState]:
    """A training state of a tiny network, made under `strategy` (one replica by default)."""

    def make(
        strategy: tf.distribute.Strategy | None = None,
        with_average: bool = True,
        **changes: Any,
    ) -> TrainState:
        with (strategy or replicas(1)).scope():
            return TrainState(tiny_network(**changes), with_average=with_average)

    return make
