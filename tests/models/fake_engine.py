"""Who may run a layer, an engine that answers with given numbers, and features to run it on."""

from contextlib import nullcontext

import numpy as np
import tensorflow as tf

from efficientnet_tf.models.engine import use_engine
from efficientnet_tf.training.distribution import kernels_for


class FakeEngine:
    """Answers with given numbers, or with numbers that depend on (seed, layer) alone."""

    def __init__(self, seed=0, uniform=None, moments=None, kernels=None):
        self.seed, self.given, self.moments = seed, uniform, moments
        self.kernels = kernels
        self.asked = []

    def uniform(self, shape, layer_id):
        self.asked.append((tuple(int(side) for side in shape), layer_id))
        if self.given is not None:
            return tf.reshape(tf.constant(self.given, tf.float32), shape)
        return tf.random.stateless_uniform(shape, [self.seed, layer_id])

    @property
    def averages_moments(self):
        return self.moments is not None

    def average_moments(self, mean, mean_of_squares):
        return (mean, mean_of_squares) if self.moments is None else self.moments


# What a layer computes in training must not depend on who runs the step: a user's own `fit`, ours,
# or ours with the kernels of this machine.
RUNS = {
    "fit": nullcontext,
    "step": lambda: use_engine(FakeEngine()),
    "step_with_kernels": lambda: use_engine(
        FakeEngine(kernels=kernels_for(tf.distribute.OneDeviceStrategy("/cpu:0")))
    ),
}


def features(shape=(3, 5, 7, 6), seed=0, mean=0.7):
    """Channels of different mean and spread, [batch, height, width, channels]."""
    random = np.random.default_rng(seed)
    spread = np.linspace(0.2, 3.0, shape[-1])
    return (mean + spread * random.standard_normal(shape)).astype(np.float32)
