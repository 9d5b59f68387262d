"""A training step of a network of the family: replicas and parts against one large batch."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_network import iterate, train_step, values

from efficientnet_tf.models.layers import BatchNormalization
from efficientnet_tf.training.state import TrainState

IMAGES = 8


def image_batches(count: int = 2) -> list[dict[str, np.ndarray]]:
    chance = np.random.RandomState(0)
    return [
        {
            "image": chance.randint(0, 256, (IMAGES, 16, 16, 3)).astype(np.float32),
            "label": chance.randint(0, 10, IMAGES).astype(np.int32),
        }
        for _ in range(count)
    ]


class Run:
    """The tiny network under so many replicas, without anything random but its start."""

    def __init__(
        self, strategy: tf.distribute.Strategy, model: keras.Model, frozen: bool, **changes: Any
    ) -> None:
        for layer in model.layers:
            if frozen and isinstance(layer, BatchNormalization):
                layer.trainable = False
        self.strategy = strategy
        with strategy.scope():
            self.state = TrainState(model, with_average=True)
        self.step = train_step(self.state, strategy, global_batch_size=IMAGES, **changes)

    def gradients(self) -> tuple[float, dict[str, np.ndarray]]:
        """Loss and gradients of the first batch, summed over the replicas."""
        batch = next(iterate(self.strategy, image_batches()))
        per_replica = self.strategy.run(self.step.gradients, args=(batch,))
        loss, gradients = tf.nest.map_structure(
            lambda value: sum(copy.numpy() for copy in self.copies(value)), per_replica
        )
        return float(loss), dict(zip(self.state.trainable, gradients, strict=True))

    def copies(self, value: Any) -> tuple[Any, ...]:
        return self.strategy.experimental_local_results(value)

    def update(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Losses of two updates and the variables after them."""
        return self.step(iterate(self.strategy, image_batches()), 2), values(self.state)


@pytest.fixture(scope="module")
def prepare(replicas: Any, tiny_network: Any) -> Callable[..., Run]:
    def make(count: int, frozen: bool = False, **changes: Any) -> Run:
        strategy = replicas(count)
        with strategy.scope():
            model = tiny_network(dropout_rate=0.0, survival_prob=1.0)
        return Run(strategy, model, frozen, **changes)

    return make


def assert_same_gradients(
    found: tuple[float, dict[str, np.ndarray]], expected: tuple[float, dict[str, np.ndarray]]
) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1].keys() == expected[1].keys()
    for path, gradient in expected[1].items():
        # The largest element sets the scale: others are differences of numbers of its size. A shift
        # that the next batch norm takes out again has a gradient of nothing but rounding.
        scale = max(float(np.abs(gradient).max()), 0.01)
        np.testing.assert_allclose(found[1][path], gradient, atol=1e-4 * scale, err_msg=path)


def assert_same_update(
    found: tuple[np.ndarray, dict[str, np.ndarray]],
    expected: tuple[np.ndarray, dict[str, np.ndarray]],
) -> None:
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, value in expected[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def frozen(prepare: Callable[..., Run]) -> tuple[Any, Any]:
    """Gradients and updates of one replica with frozen batch norm."""
    run = prepare(1, frozen=True)
    return run.gradients(), run.update()


@pytest.fixture(scope="module")
def normalised(prepare: Callable[..., Run]) -> tuple[Any, Any]:
    """Gradients and updates of one replica with batch norm over all its images."""
    run = prepare(1)
    return run.gradients(), run.update()


@pytest.mark.parametrize(("count", "parts"), [(2, 1), (1, 4)])
def test_frozen_batch_norm_replicas_and_parts_equal_one_large_batch(
    prepare: Any, frozen: Any, count: int, parts: int
) -> None:
    run = prepare(count, frozen=True, accumulation_steps=parts)
    assert not any(path.endswith("gamma") for path in run.state.trainable)
    assert_same_gradients(run.gradients(), frozen[0])
    assert_same_update(run.update(), frozen[1])


def test_replicas_and_parts_together_equal_one_large_batch(prepare: Any, frozen: Any) -> None:
    run = prepare(4, frozen=True, accumulation_steps=2)
    assert_same_gradients(run.gradients(), frozen[0])


def test_one_batch_norm_group_of_two_equals_one_large_batch(prepare: Any, normalised: Any) -> None:
    run = prepare(2, batch_norm_group="synchronised")
    assert_same_gradients(run.gradients(), normalised[0])
    assert_same_update(run.update(), normalised[1])
    for variable in run.state.moving_statistics():
        first, second = run.copies(variable)
        np.testing.assert_array_equal(first, second)


def test_one_batch_norm_group_of_four_equals_one_large_batch(prepare: Any, normalised: Any) -> None:
    assert_same_gradients(prepare(4, batch_norm_group="synchronised").gradients(), normalised[0])


def test_replicas_of_their_own_equal_parts_and_differ_from_one_large_batch(
    prepare: Any, normalised: Any
) -> None:
    run = prepare(2)
    loss, gradients = run.gradients()
    assert_same_gradients((loss, gradients), prepare(1, accumulation_steps=2).gradients())
    assert abs(loss / normalised[0][0] - 1) > 1e-3
    run.update()
    apart = [
        not np.array_equal(*(copy.numpy() for copy in run.copies(variable)))
        for variable in run.state.moving_statistics()
    ]
    assert all(apart), "each replica keeps its own statistics"
    same = [*run.state.trainable.values(), *run.state.momentum.values(), run.state.step]
    for variable in same:
        first, second = run.copies(variable)
        np.testing.assert_array_equal(first, second)


def test_batch_norm_follows_the_images_and_is_averaged_too(normalised: Any) -> None:
    _, variables = normalised[1]
    moved = variables["weights/stem_bn/moving_mean"]
    assert np.abs(moved).min() > 0
    # After two steps: average of step 1 with decay 2/11, of step 2 with 3/12.
    assert not np.array_equal(variables["average/stem_bn/moving_mean"], moved)
    assert np.abs(variables["average/stem_bn/moving_mean"]).min() > 0


def test_training_with_masks_repeats_to_the_last_bit(replicas: Any, tiny_state: Any) -> None:
    strategy = replicas(1)
    state = tiny_state(strategy, dropout_rate=0.5, survival_prob=0.5)
    step = train_step(state, strategy, global_batch_size=IMAGES)
    start = values(state)
    runs = []
    for _ in range(2):
        for name, variable in state.named_variables().items():
            variable.assign(start[name])
        losses = step(iterate(strategy, image_batches()), 4)
        runs.append((losses, values(state)))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    for name, value in runs[0][1].items():
        np.testing.assert_array_equal(value, runs[1][1][name], err_msg=name)
