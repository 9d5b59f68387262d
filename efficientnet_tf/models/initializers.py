"""How weights start: the official distributions, drawn while the network is being built.

Half the time of building a large network in Keras goes into drawing its weights. numpy draws
without holding Python up, so the kernels of all convolutions are drawn by other threads while
this one makes the layers. Each kernel has a seed of its own and comes out the same for any number
of threads.

Differences from keras.applications: the normal distribution is not truncated.
"""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops


def _normal(shape: Sequence[int], seed: int) -> np.ndarray:
    """Float32 numbers of `shape`, a function of the arguments alone."""
    stddev = np.float32(math.sqrt(2.0 / math.prod((*shape[:-2], shape[-1]))))
    generator = np.random.Generator(np.random.SFC64(seed))
    numbers = generator.standard_normal(shape, dtype=np.float32)
    numbers *= stddev
    return numbers


@keras.saving.register_keras_serializable(package="efficientnet_tf")
class FanOutNormal(keras.initializers.Initializer):
    """Untruncated normal with mean 0 and standard deviation sqrt(2 / fan_out).

    fan_out is kernel height * width * filters, the last axis; a depthwise kernel [k, k, C, 1]
    counts one filter: 0.471 for 3x3, 0.283 for 5x5, whatever the channels.

    Args:
        seed: a whole number; None draws one from Python's generator, as Keras' initialisers do,
            so that keras.utils.set_random_seed governs it.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._given_seed = seed
        self._seed = keras.initializers.RandomNormal(seed=seed).seed
        self._drawn: tuple[tuple[int, ...], Future[np.ndarray]] | None = None

    def draw_ahead(self, shape: tuple[int, ...], threads: ThreadPoolExecutor) -> None:
        """Starts to draw what the next call will be asked for."""
        self._drawn = (shape, threads.submit(_normal, shape, self._seed))

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        drawn, self._drawn = self._drawn, None
        if drawn is not None and drawn[0] == tuple(shape):
            numbers = drawn[1].result()
        else:
            numbers = _normal(shape, self._seed)
        return ops.convert_to_tensor(numbers, dtype=dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._given_seed}


def draw_ahead(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, FanOutNormal]:
    """One initialiser for each name, whose kernel of the given shape is being drawn already."""
    initializers = {name: FanOutNormal() for name in shapes}
    # One core is left to the thread that makes the layers.
    threads = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1))
    for name, shape in shapes.items():
        initializers[name].draw_ahead(shape, threads)
    threads.shutdown(wait=False)  # ends when all are drawn
    return initializers


def dense_initializer() -> keras.initializers.Initializer:
    """Uniform in +-1/sqrt(classes), for the classifier."""
    return keras.initializers.VarianceScaling(1.0 / 3.0, "fan_out", "uniform")
