"""A linear network whose updates can be computed by hand, and that computation in float64."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from step_settings import step_settings

from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import TrainStep

FEATURES, CLASSES, BATCH = 4, 3, 8
RATE = 0.05


def constant_rate(step: Any) -> float:
    return RATE


def linear_state(strategy: tf.distribute.Strategy, with_average: bool = True) -> TrainState:
    """Logits = images @ kernel + bias: an update can be computed by hand."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        inputs = keras.Input((FEATURES,))
        layer = keras.layers.Dense(CLASSES, bias_initializer="normal", name="predictions")
        model = keras.Model(inputs, layer(inputs))
        return TrainState(model, with_average=with_average)


def linear_batches(count: int = 3) -> list[dict[str, np.ndarray]]:
    chance = np.random.RandomState(0)
    return [
        {
            "image": chance.standard_normal((BATCH, FEATURES)).astype(np.float32),
            "label": chance.randint(0, CLASSES, BATCH).astype(np.int32),
        }
        for _ in range(count)
    ]


def iterate(strategy: tf.distribute.Strategy, batches: list[dict[str, np.ndarray]]) -> Iterator:
    """Global batches, split over the replicas, again and again."""
    examples = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    size = len(batches[0]["label"])
    dataset = tf.data.Dataset.from_tensor_slices(examples).batch(size, drop_remainder=True)
    return iter(strategy.experimental_distribute_dataset(dataset.repeat()))


def values(state: TrainState) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in state.named_variables().items()}


def train_step(
    state: TrainState, strategy: tf.distribute.Strategy, rate: Any = constant_rate, **changes: Any
) -> TrainStep:
    settings = step_settings(**{"global_batch_size": BATCH, **changes})
    return TrainStep(state, strategy, rate, **settings)


class ByHand:
    """The update of the linear network in float64, from the definitions of the official code."""

    def __init__(self, state: TrainState) -> None:
        self.weights = {path: w.numpy().astype(np.float64) for path, w in state.weights.items()}
        self.mean_square = {path: np.ones(w.shape) for path, w in self.weights.items()}
        self.momentum = {path: np.zeros(w.shape) for path, w in self.weights.items()}
        self.average = {path: w.copy() for path, w in self.weights.items()}
        self.step = 0

    def loss_and_gradients(
        self, batch: dict[str, np.ndarray], smoothing: float, weight_decay: float
    ) -> tuple[float, dict[str, np.ndarray]]:
        kernel, bias = self.weights["predictions/kernel"], self.weights["predictions/bias"]
        images = batch["image"].astype(np.float64)
        logits = images @ kernel + bias
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        labels = batch["label"]
        one_hot = labels if labels.ndim == 2 else np.eye(CLASSES)[labels]
        targets = one_hot * (1 - smoothing) + smoothing / CLASSES
        loss = -(targets * np.log(probabilities)).sum() / len(images)
        by_logits = (probabilities - targets) / len(images)
        gradients = {
            "predictions/kernel": images.T @ by_logits,
            "predictions/bias": by_logits.sum(0),
        }
        for path, weight in self.weights.items():  # the bias decays, too
            loss += weight_decay * (weight**2).sum() / 2
            gradients[path] += weight_decay * weight
        return loss, gradients

    def update(
        self,
        batch: dict[str, np.ndarray],
        smoothing: float = 0.1,
        weight_decay: float = 1e-5,
        clip_norm: float = 0.0,
        rate: float = RATE,
        rho: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        ema_decay: float = 0.9999,
    ) -> float:
        loss, gradients = self.loss_and_gradients(batch, smoothing, weight_decay)
        if clip_norm:
            norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
            gradients = {k: g * min(1, clip_norm / norm) for k, g in gradients.items()}
        self.step += 1
        decay = min(ema_decay, (1 + self.step) / (10 + self.step))
        for path, g in gradients.items():
            self.mean_square[path] = rho * self.mean_square[path] + (1 - rho) * g**2
            step = rate * g / np.sqrt(self.mean_square[path] + epsilon)
            self.momentum[path] = momentum * self.momentum[path] + step
            self.weights[path] -= self.momentum[path]
            change = self.weights[path] - self.average[path]
            self.average[path] += (1 - decay) * change
        return loss

    def assert_equals(self, state: TrainState) -> None:
        assert state.step.numpy() == self.step
        for table in ("weights", "mean_square", "momentum", "average"):
            for path, expected in getattr(self, table).items():
                found = getattr(state, table)[path].numpy()
                np.testing.assert_allclose(found, expected, atol=2e-6, err_msg=f"{table} {path}")
