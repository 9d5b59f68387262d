"""Strategies and what a replica answers: masks, moments, one set of batch-norm statistics."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.engine import current_engine, use_engine
from efficientnet_tf.models.layers import BatchNormalization
from efficientnet_tf.training import connect, cpu_kernels, distribution, tpu_kernels
from efficientnet_tf.training.distribution import (
    BatchNormStatistics,
    ReplicaEngine,
    batch_norm_group_size,
    kernels_for,
)


def per_replica(strategy: tf.distribute.Strategy, function: Any, *args: Any) -> list[Any]:
    """What `function` returns in each replica, as arrays; each argument has a row per replica."""
    values = [
        strategy.experimental_distribute_values_from_function(
            lambda context, rows=rows: tf.constant(rows[context.replica_id_in_sync_group])
        )
        for rows in args
    ]
    answers = strategy.run(tf.function(function), args=tuple(values))
    flat = [strategy.experimental_local_results(answer) for answer in tf.nest.flatten(answers)]
    return [np.stack([copy.numpy() for copy in copies]) for copies in flat]


# Masks


def draw(
    strategy: tf.distribute.Strategy,
    seed: int = 0,
    step: int = 0,
    part: int = 0,
    layer: int = 7,
    count: int = 1000,
) -> np.ndarray:
    """Uniform numbers [replicas, count]."""

    def numbers() -> tf.Tensor:
        engine = ReplicaEngine(seed, tf.constant(step, tf.int64), part)
        return engine.uniform([count], layer)

    return per_replica(strategy, numbers)[0]


@pytest.mark.parametrize("count", [1, 2, 8])
def test_masks_are_a_function_of_their_arguments(replicas: Any, count: int) -> None:
    first = draw(replicas(count), seed=3, step=5, part=1)
    tf.random.set_seed(99)
    np.testing.assert_array_equal(first, draw(replicas(count), seed=3, step=5, part=1))


def test_masks_differ_by_seed_step_part_replica_and_layer(replicas: Any) -> None:
    strategy = replicas(4)
    choices: list[dict[str, int]] = [{}]
    choices += [{"step": step} for step in (1, 2, 2**20, 2**31)]
    choices += [{"part": part} for part in (1, 2, 3)]
    choices += [{"layer": layer} for layer in (8, 2**31 - 1)]
    choices += [{"seed": seed} for seed in (1, 2, 2**31 - 1)]
    choices += [{"seed": 1, "layer": 6}]  # 1 ^ 6 is 7, the layer of the others
    rows = np.concatenate([draw(strategy, count=8, **choice) for choice in choices])
    assert len(np.unique(rows, axis=0)) == 4 * len(choices)
    # Not only other numbers: streams that have nothing to do with each other.
    long = np.concatenate([draw(strategy, **choice) for choice in choices])
    correlation = np.corrcoef(long) - np.eye(len(long))
    assert np.abs(correlation).max() < 0.2  # 6 standard deviations of 1,000 numbers


def test_masks_are_uniform(replicas: Any) -> None:
    numbers = draw(replicas(2), count=20_000)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    shares, _ = np.histogram(numbers, bins=10, range=(0, 1))
    np.testing.assert_allclose(shares / numbers.size, 0.1, atol=0.01)


def test_a_part_of_a_replica_is_no_part_of_another(replicas: Any) -> None:
    # Two replicas with two parts draw four different masks, as four replicas would.
    parts = [draw(replicas(2), step=3, part=part, count=8) for part in (0, 1)]
    rows = np.concatenate(parts)
    assert len(np.unique(rows, axis=0)) == 4
    np.testing.assert_array_equal(rows, draw(replicas(4), step=3, count=8))


# Moments


@pytest.mark.parametrize(
    ("replica_count", "group"),
    # The rule of the official code.
    [
        *((count, 1) for count in range(1, 9)),
        *((16, 8), (32, 8), (64, 8), (128, 16), (256, 32), (1024, 128)),
    ],
)
def test_groups_follow_the_official_rule(replica_count: int, group: int) -> None:
    assert batch_norm_group_size(replica_count) == group


@pytest.mark.parametrize("replica_count", [9, 12, 20, 130])
def test_replicas_that_do_not_divide_into_groups_are_refused(replica_count: int) -> None:
    with pytest.raises(UsageError, match=f"{replica_count} replicas do not divide") as caught:
        batch_norm_group_size(replica_count)
    assert "a multiple of 8" in str(caught.value)
    assert "--config.train.batch_norm_group=synchronised or local" in str(caught.value)
    assert batch_norm_group_size(replica_count, "synchronised") == replica_count
    assert batch_norm_group_size(replica_count, "local") == 1


@pytest.mark.parametrize("replica_count", [1, 2, 8, 16, 64])
def test_batch_norm_may_be_synchronised_or_local(replica_count: int) -> None:
    assert batch_norm_group_size(replica_count, "official") == batch_norm_group_size(replica_count)
    assert batch_norm_group_size(replica_count, "synchronised") == replica_count
    assert batch_norm_group_size(replica_count, "local") == 1


def test_another_kind_of_batch_norm_is_refused() -> None:
    with pytest.raises(UsageError, match='received "synchronized"') as caught:
        batch_norm_group_size(8, "synchronized")
    assert '"official", "synchronised", "local"' in str(caught.value)
    assert 'Did you mean "synchronised"?' in str(caught.value)


@pytest.mark.parametrize(
    ("replica_count", "group"), [(1, 1), (2, 1), (2, 2), (4, 2), (8, 8), (16, 8)]
)
def test_moments_are_averaged_in_each_group(replicas: Any, replica_count: int, group: int) -> None:
    chance = np.random.RandomState(0)
    means = chance.standard_normal((replica_count, 5)).astype(np.float32)
    squares = chance.standard_normal((replica_count, 5)).astype(np.float32)

    def moments(mean: tf.Tensor, mean_of_squares: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        engine = ReplicaEngine(0, tf.constant(0, tf.int64), group_size=group)
        assert engine.averages_moments is (group > 1)
        return engine.average_moments(mean, mean_of_squares)

    found = per_replica(replicas(replica_count), moments, means, squares)
    for values, got in zip((means, squares), found, strict=True):
        groups = values.astype(np.float64).reshape(-1, group, 5).mean(1)
        np.testing.assert_allclose(got, np.repeat(groups, group, axis=0), atol=1e-6)
        grouped = got.reshape(-1, group, 5)
        assert (grouped == grouped[:, :1]).all(), "one group, one set of moments"
        if replica_count > group:
            assert not np.array_equal(grouped[0, 0], grouped[1, 0])


@pytest.mark.parametrize(("replica_count", "group"), [(4, 2), (4, 4), (4, 1)])
def test_a_group_normalises_as_one_replica_with_its_whole_batch(
    replicas: Any, replica_count: int, group: int
) -> None:
    """Outputs, moving statistics and gradients, against one batch of the group."""
    chance = np.random.RandomState(0)
    images = chance.normal(1, 2, (replica_count, 3, 4, 4, 2)).astype(np.float32)
    weights = chance.standard_normal(images.shape).astype(np.float32)

    def normalise(layer: BatchNormalization, group: int) -> Any:
        def function(images: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
            engine = ReplicaEngine(0, tf.constant(0, tf.int64), group_size=group)
            with tf.GradientTape() as tape, use_engine(engine):
                tape.watch(images)
                outputs = layer(images, training=True)
                loss = tf.reduce_sum(outputs * weights)
            gradients = tape.gradient(loss, [images, layer.gamma.value])
            moving = layer.moving_mean.value, layer.moving_variance.value
            return [outputs, *gradients, *(tf.identity(value) for value in moving)]

        return function

    def made(strategy: tf.distribute.Strategy) -> BatchNormalization:
        with strategy.scope():
            layer = BatchNormalization(momentum=0.9)
            layer.build([None, 4, 4, 2])
        return layer

    strategy = replicas(replica_count)
    found = per_replica(strategy, normalise(made(strategy), group), images, weights)
    for number in range(replica_count // group):
        rows = slice(number * group, (number + 1) * group)
        whole = [part[rows].reshape(1, -1, 4, 4, 2) for part in (images, weights)]
        expected = per_replica(replicas(1), normalise(made(replicas(1)), 1), *whole)
        outputs, by_images, by_gamma, mean, variance = (part[rows] for part in found)
        for got, wanted in zip((outputs, by_images), expected[:2], strict=True):
            np.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=2e-5)
        np.testing.assert_allclose(by_gamma.sum(0), expected[2][0], rtol=1e-4, atol=1e-4)
        for got, wanted in zip((mean, variance), expected[3:], strict=True):
            np.testing.assert_allclose(got, np.repeat(wanted, group, axis=0), rtol=1e-5)


def test_an_engine_serves_only_where_it_is_used(replicas: Any) -> None:
    seen = []

    def look() -> tf.Tensor:
        engine = ReplicaEngine(0, tf.constant(0, tf.int64))
        with use_engine(engine):
            seen.append(current_engine() is engine)
        seen.append(current_engine())
        return tf.constant(0)

    replicas(2).run(look)
    assert seen == [True, None, True, None]


def test_averaging_makes_the_statistics_of_all_replicas_one(replicas: Any) -> None:
    strategy = replicas(4)
    start = np.arange(12, dtype=np.float32).reshape(4, 3)
    with strategy.scope():
        layer = BatchNormalization()
        layer.build([None, 4, 4, 3])
        slot = tf.Variable(np.zeros(3, np.float32), trainable=False)
    variables = [layer.moving_mean.value, layer.moving_variance.value, slot]

    def set_apart(values: tf.Tensor) -> tf.Tensor:
        for number, variable in enumerate(variables):
            variable.assign(values * (number + 1))
        return values

    per_replica(strategy, set_apart, start)
    copies = strategy.experimental_local_results(variables[0])
    np.testing.assert_array_equal(np.stack([copy.numpy() for copy in copies]), start)
    statistics = BatchNormStatistics(strategy, variables)
    statistics.average()
    for number, variable in enumerate(variables):
        expected = start.mean(0) * (number + 1)
        for copy in strategy.experimental_local_results(variable):
            np.testing.assert_allclose(copy, expected, rtol=1e-6)
    per_replica(strategy, set_apart, 2 * start)  # the same program, at the next checkpoint
    statistics.average()
    for copy in strategy.experimental_local_results(variables[0]):
        np.testing.assert_allclose(copy, 2 * start.mean(0), rtol=1e-6)
    assert statistics._run.experimental_get_tracing_count() == 1


def test_averaging_on_one_replica_changes_nothing(replicas: Any) -> None:
    value = np.array([0.1, 1e-8, 3e7], np.float32)
    variable = tf.Variable(value)
    BatchNormStatistics(replicas(1), [variable]).average()
    np.testing.assert_array_equal(variable, value)


# Kernels


@pytest.mark.parametrize(
    ("chip", "fast"),
    [("v5e", True), ("v2", False), ("v3", False), ("v4", False), ("v5p", False), ("v6e", False)]
    + [("", False), ("v2 or v3", False)],
)
def test_only_the_chips_they_were_found_faster_on_get_the_tpu_kernels(
    chip: str, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "is_tpu", lambda strategy: True)
    strategy = object()
    monkeypatch.setattr(connect, "_chips", {})
    assert kernels_for(strategy) is None  # nothing said which chip it is
    connect.note_chip(strategy, chip)
    assert kernels_for(strategy) is (tpu_kernels if fast else None)


@pytest.mark.parametrize(
    ("devices", "fast"), [(("/cpu:0",), True), (("/CPU:0", "/CPU:1"), True), (("/gpu:0",), False)]
)
def test_only_cpus_get_the_cpu_kernels(devices: tuple[str, ...], fast: bool) -> None:
    strategy = SimpleNamespace(extended=SimpleNamespace(worker_devices=devices))
    assert kernels_for(strategy) is (cpu_kernels if fast else None)
