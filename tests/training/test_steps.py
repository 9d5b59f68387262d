"""One update on any number of replicas, against the arithmetic by hand."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from linear_network import (
    BATCH,
    CLASSES,
    RATE,
    ByHand,
    iterate,
    linear_batches,
    linear_state,
    train_step,
    values,
)

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.optim.rmsprop import EPSILON, MOMENTUM, RHO, rmsprop_update
from efficientnet_tf.training.distribution import batch_norm_group_size


def test_defaults_are_the_recipe() -> None:
    config = ExperimentConfig()
    optimizer = config.optimizer
    assert (optimizer.rho, optimizer.momentum, optimizer.epsilon) == (RHO, MOMENTUM, EPSILON)
    assert (optimizer.weight_decay, optimizer.ema_decay) == (1e-5, 0.9999)
    assert optimizer.label_smoothing == 0.1
    assert config.train.accumulation_steps == 1
    assert optimizer.clip_norm == 0
    assert batch_norm_group_size(8, config.train.batch_norm_group) == 1


@pytest.mark.parametrize(("count", "parts"), [(1, 1), (2, 1), (8, 1), (2, 4), (1, 8)])
def test_updates_equal_the_definitions(replicas: Any, count: int, parts: int) -> None:
    # Weight decay is large, so that it would show if it were counted once per replica or part.
    strategy = replicas(count)
    state = linear_state(strategy)
    expected = ByHand(state)
    step = train_step(state, strategy, accumulation_steps=parts, weight_decay=0.1)
    losses = step(iterate(strategy, linear_batches()), 3)
    by_hand = [expected.update(batch, weight_decay=0.1) for batch in linear_batches()]
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, by_hand, rtol=1e-6)
    expected.assert_equals(state)


@pytest.mark.parametrize(
    "changes",
    [
        {"smoothing": 0.0},
        {"clip_norm": 0.01},
        {"clip_norm": 100.0},
        {"rho": 0.5, "momentum": 0.3, "epsilon": 0.1},
        {"ema_decay": 0.2},  # below the ramp from the second step on
    ],
)
def test_options_do_what_they_say(replicas: Any, changes: dict[str, float]) -> None:
    strategy = replicas(2)
    state = linear_state(strategy)
    expected = ByHand(state)
    named = {"label_smoothing" if k == "smoothing" else k: v for k, v in changes.items()}
    train_step(state, strategy, **named)(iterate(strategy, linear_batches()), 2)
    for batch in linear_batches()[:2]:
        expected.update(batch, **changes)
    expected.assert_equals(state)


def test_the_fused_kernel_equals_rmsprop_update(replicas: Any) -> None:
    """The operation that the step calls, against the rule that the golden values pin."""
    strategy = replicas(1)
    state = linear_state(strategy)
    chance = np.random.RandomState(0)
    for table in (state.mean_square, state.momentum):
        for slot in table.values():
            slot.assign(chance.uniform(0, 1, slot.shape))
    settings = {"rho": 0.8, "momentum": 0.7, "epsilon": 0.01}
    step = train_step(state, strategy, **settings)
    batch = {name: tf.constant(value) for name, value in linear_batches()[0].items()}
    _, gradients = strategy.run(step.gradients, args=(batch,))
    expected = [
        rmsprop_update(
            weight.numpy(),
            gradient.numpy(),
            state.mean_square[path].numpy(),
            state.momentum[path].numpy(),
            np.float32(RATE),
            **settings,
        )
        for (path, weight), gradient in zip(state.trainable.items(), gradients, strict=True)
    ]
    strategy.run(step.update, args=(batch,))
    for (path, weight), values_of_path in zip(state.trainable.items(), expected, strict=True):
        found = weight, state.mean_square[path], state.momentum[path]
        for variable, value in zip(found, values_of_path, strict=True):
            np.testing.assert_allclose(variable, value, rtol=3e-7, atol=1e-9, err_msg=path)


@pytest.mark.parametrize("parts", [1, 2])
def test_soft_labels_are_trained_on_as_they_are(replicas: Any, parts: int) -> None:
    strategy = replicas(2)
    state = linear_state(strategy)
    expected = ByHand(state)
    batches = linear_batches()
    for batch in batches:
        labels = np.eye(CLASSES, dtype=np.float32)[batch["label"]]
        batch["label"] = 0.7 * labels + 0.3 * labels[::-1]
    train_step(state, strategy, accumulation_steps=parts)(iterate(strategy, batches), 3)
    for batch in batches:
        expected.update(batch)
    expected.assert_equals(state)


def test_no_weight_decay_leaves_the_plain_loss(replicas: Any) -> None:
    strategy = replicas(1)
    state = linear_state(strategy)
    expected = ByHand(state)
    step = train_step(state, strategy, weight_decay=0.0)
    losses = step(iterate(strategy, linear_batches()), 1)
    assert losses[0] == pytest.approx(expected.update(linear_batches()[0], weight_decay=0.0))
    expected.assert_equals(state)


def test_the_rate_is_that_of_the_step_before_the_increment(replicas: Any) -> None:
    strategy = replicas(2)
    state = linear_state(strategy)
    expected = ByHand(state)

    def warm_up(step: Any) -> Any:
        return tf.cast(step, tf.float32) * 0.1

    step = train_step(state, strategy, rate=warm_up)
    iterator = iterate(strategy, linear_batches())
    before = values(state)
    step(iterator, 1)
    for path in state.weights:  # step 0 has rate 0: nothing moves but the mean square
        np.testing.assert_array_equal(state.weights[path], before[f"weights/{path}"])
        assert not np.array_equal(state.mean_square[path], before[f"mean_square/{path}"])
    step(iterator, 2)
    for number, batch in enumerate(linear_batches()):
        expected.update(batch, rate=0.1 * number)
    expected.assert_equals(state)


@pytest.mark.parametrize("count", [1, 2])
def test_without_averages_everything_else_is_the_same(replicas: Any, count: int) -> None:
    strategy = replicas(count)
    state = linear_state(strategy, with_average=False)
    expected = ByHand(state)
    train_step(state, strategy)(iterate(strategy, linear_batches()), 3)
    for batch in linear_batches():
        expected.update(batch)
    expected.average = {}
    expected.assert_equals(state)
    assert state.average == {}


def test_the_number_of_steps_changes_neither_numbers_nor_the_compiled_program(
    replicas: Any,
) -> None:
    strategy = replicas(1)
    states = [linear_state(strategy) for _ in range(2)]
    steps = [train_step(state, strategy) for state in states]
    iterators = [iterate(strategy, linear_batches()) for _ in states]
    at_once = steps[0](iterators[0], 6)
    one_by_one = np.concatenate([steps[1](iterators[1], n) for n in (1, 2, 3)])
    assert at_once.shape == (6,)
    np.testing.assert_array_equal(at_once, one_by_one)
    for name, value in values(states[0]).items():
        np.testing.assert_array_equal(value, values(states[1])[name], err_msg=name)
    assert steps[1]._run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("count", [1, 2])
def test_waiting_for_the_input_is_measured(
    replicas: Callable[[int], tf.distribute.Strategy], count: int
) -> None:
    strategy = replicas(count)

    def late(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        tf.py_function(lambda: time.sleep(0.05), [], [])
        return batch

    dataset = tf.data.Dataset.from_tensors(linear_batches(1)[0]).repeat().map(late)
    step = train_step(linear_state(strategy), strategy)
    iterator = iter(strategy.experimental_distribute_dataset(dataset.unbatch().batch(BATCH)))
    step(iterator, 3)
    started = time.monotonic()
    step(iterator, 6)
    assert 0.15 < step.seconds_waiting < time.monotonic() - started
    step(iterate(strategy, linear_batches()), 1)
    assert 0 <= step.seconds_waiting < 0.15, "of the last call only"
