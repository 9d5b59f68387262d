"""A pod on one machine: the step and the loop on 2, 4, 8 and 16 logical CPU devices.

What a single update or a single layer does under replicas is in test_steps.py,
test_one_large_batch.py, test_distribution.py and test_rematerialisation.py; moving a checkpoint is in test_checkpoint.py, uneven evaluation in
test_evaluator.py. Here whole runs are compared.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from step_settings import step_settings

from efficientnet_tf.config import TransferConfig
from efficientnet_tf.runs.checkpoint import Checkpointer
from efficientnet_tf.training import loop
from efficientnet_tf.training.distribution import BatchNormStatistics, batch_norm_group_size
from efficientnet_tf.training.metrics import SUMS
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import EvalStep, TrainStep
from efficientnet_tf.transfer import fine_tuning

IMAGES, CLASSES, STEPS = 16, 10, 4
EVALUATED = 21  # of a batch of 16 and one that is not full


def examples(count: int, seed: int) -> dict[str, np.ndarray]:
    chance = np.random.RandomState(seed)
    return {
        "image": chance.randint(0, 256, (count, 16, 16, 3)).astype(np.uint8),
        "label": chance.randint(0, CLASSES, count).astype(np.int32),
    }


def rising(step: Any) -> tf.Tensor:
    return 0.005 * tf.cast(step + 1, tf.float32)


class Pod:
    """A run of the tiny network, through the project's loop, on so many replicas.

    Nothing but its start is random, because masks differ between replicas on purpose.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        make_state: Callable[..., TrainState],
        **options: Any,
    ) -> None:
        self.strategy = strategy
        self.state = make_state(strategy, dropout_rate=0.0, survival_prob=1.0)
        settings = {"global_batch_size": IMAGES, "batch_norm_group": "synchronised", **options}
        step = TrainStep(self.state, strategy, rising, **step_settings(**settings))

        @tf.function(autograph=False)
        def update(batch: dict[str, Any]) -> tf.Tensor:
            losses = strategy.run(step.update, args=(batch,))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

        self.update = update
        self.statistics = BatchNormStatistics(strategy, self.state.moving_statistics())
        self.losses: list[np.ndarray] = []
        self.metrics: list[dict[str, float]] = []

    def batch(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """A global batch, the first rows for the first replica.

        Not through a distributed iterator: ending one takes up to a minute, since tf.data waits
        for a sleeping thread of each device. test_steps.py has those.
        """
        size = IMAGES // self.strategy.num_replicas_in_sync

        def part(values: np.ndarray) -> Any:
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(
                    values[context.replica_id_in_sync_group * size :][:size]
                )
            )

        return {name: part(values) for name, values in rows.items()}

    def train(self, steps: int) -> np.ndarray:
        """So many updates from the step of the state on; their losses."""
        data = examples(IMAGES * STEPS, seed=0)
        first = int(self.state.step.numpy())
        losses = []
        for step in range(first, first + steps):
            rows = {name: v[step * IMAGES : (step + 1) * IMAGES] for name, v in data.items()}
            losses.append(self.update(self.batch(rows)).numpy())
        return np.array(losses)

    def evaluation(self) -> list[Any]:
        """A batch, and one of a few images and padding: the last replicas see padding alone."""
        data = examples(2 * IMAGES, seed=1)
        data["mask"] = (np.arange(2 * IMAGES) < EVALUATED).astype(np.float32)
        halves = slice(None, IMAGES), slice(IMAGES, None)
        return [self.batch({name: v[half] for name, v in data.items()}) for half in halves]

    def run(self, until: int = STEPS) -> "Pod":
        evaluate = EvalStep(self.state, self.strategy, averaged=True)

        def evaluation(step: int) -> bool:
            self.statistics.average()
            self.metrics.append(evaluate(self.evaluation()))
            return False

        loop.run(
            loop.Plan(until, steps_per_loop=2),
            int(self.state.step.numpy()),
            train=self.train,
            log=lambda step, losses: self.losses.append(losses),
            evaluate=evaluation,
            save=lambda step: None,
            stop=loop.StopRequest(),
        )
        return self

    def values(self) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self.state.named_variables().items()}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.fixture(scope="module")
def alone(replicas: Any, tiny_state: Any) -> Pod:
    """One replica with the whole batch."""
    return Pod(replicas(1), tiny_state).run()


@pytest.mark.parametrize(
    "count",
    [2, pytest.param(4, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)],
)
def test_a_run_on_replicas_is_the_run_on_one(
    replicas: Any, tiny_state: Any, alone: Pod, count: int
) -> None:
    """Losses, every variable and the metrics; batch norm is synchronised."""
    pod = Pod(replicas(count), tiny_state).run()
    np.testing.assert_allclose(np.concatenate(pod.losses), np.concatenate(alone.losses), rtol=1e-5)
    assert_same(pod.values(), alone.values())
    (found,), (expected,) = pod.metrics, alone.metrics
    assert found["examples"] == expected["examples"] == EVALUATED
    for name in SUMS:
        assert found[name] == pytest.approx(expected[name], rel=1e-4)
    for name, variable in pod.state.named_variables().items():
        first, *others = pod.strategy.experimental_local_results(variable)
        assert len(others) == count - 1
        for other in others:
            np.testing.assert_array_equal(other, first, err_msg=name)


@pytest.mark.parametrize(
    ("optimizer", "fields"),
    [
        ("sgd", {"freeze_until": "block1", "layer_decay": 0.5, "head_learning_rate": 4.0}),
        ("rmsprop", {"freeze_until": "stem", "batch_norm": "frozen", "layer_decay": 0.5}),
    ],
)
def test_fine_tuning_on_two_replicas_is_the_one_on_one(
    replicas: Any, tiny_network: Any, optimizer: str, fields: dict[str, Any]
) -> None:
    """Frozen stages, SGD, rates of stages, weights of classes, frozen batch norm."""
    asked = TransferConfig(**fields)

    def run(count: int) -> tuple[Pod, dict[str, np.ndarray]]:
        def state(strategy: tf.distribute.Strategy, **changes: Any) -> TrainState:
            with strategy.scope():
                model = tiny_network(**changes)
                fine_tuning.prepare(model, asked)
                return TrainState(model, with_average=True, with_mean_square=optimizer == "rmsprop")

        pod = Pod(
            replicas(count),
            state,
            kind=optimizer,
            rates=fine_tuning.learning_rates(tiny_network(), asked),
            class_weights=np.linspace(0.0, 2.0, CLASSES),
        )
        before = {path: weight.numpy() for path, weight in pod.state.weights.items()}
        return pod.run(), before

    (alone, _), (pod, before) = run(1), run(2)
    np.testing.assert_allclose(np.concatenate(pod.losses), np.concatenate(alone.losses), rtol=1e-5)
    assert_same(pod.values(), alone.values())
    moved = set()
    for path, weight in pod.state.weights.items():
        first, second = (copy.numpy() for copy in pod.strategy.experimental_local_results(weight))
        np.testing.assert_array_equal(first, second, err_msg=path)
        if not np.array_equal(first, before[path]):
            moved.add(path)
    frozen = ("stem_", "block1") if asked.freeze_until == "block1" else ("stem_",)
    still = {path for path in before if path.startswith(frozen)}
    if asked.batch_norm == "frozen":
        still |= {path for path in before if "/moving_" in path}
    assert moved == before.keys() - still


@pytest.mark.slow
def test_the_official_groups_on_sixteen_replicas(replicas: Any, tiny_state: Any) -> None:
    """Two groups of eight normalise as one replica does that sees two halves, one by one."""
    assert batch_norm_group_size(16) == 8
    strategy = replicas(16)
    pod = Pod(strategy, tiny_state, batch_norm_group="official")
    halves = Pod(replicas(1), tiny_state, accumulation_steps=2)
    np.testing.assert_allclose(pod.train(2), halves.train(2), rtol=1e-5)
    weights = {name: v for name, v in pod.values().items() if "moving_" not in name}
    expected = {name: value for name, value in halves.values().items() if name in weights}
    assert_same(weights, expected)
    for variable in pod.state.moving_statistics():
        copies = np.stack([v.numpy() for v in strategy.experimental_local_results(variable)])
        for group in (copies[:8], copies[8:]):
            np.testing.assert_array_equal(group, np.repeat(group[:1], 8, axis=0))
        assert not np.array_equal(copies[0], copies[8])


@pytest.mark.parametrize("count", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_a_run_may_move_from_some_replicas_to_one_and_back(
    replicas: Any, tiny_state: Any, alone: Pod, tmp_path: Path, count: int
) -> None:
    several, one = Pod(replicas(count), tiny_state), Pod(replicas(1), tiny_state)
    for until, pod in ((1, several), (3, one), (STEPS, several)):
        checkpointer = Checkpointer(str(tmp_path), pod.state, keep=1)
        if checkpointer.newest is not None:
            checkpointer.restore(checkpointer.newest)
        pod.run(until)
        checkpointer.save(until)
    assert int(pod.state.step.numpy()) == STEPS
    assert_same(pod.values(), alone.values())


def test_batch_norm_of_their_own_lets_replicas_drift_until_they_are_averaged(
    replicas: Any, tiny_state: Any, alone: Pod
) -> None:
    """The official rule up to eight replicas: not the run on one, but one set of statistics."""
    pod = Pod(replicas(2), tiny_state, batch_norm_group="official")
    pod.train(STEPS)
    apart = [pod.strategy.experimental_local_results(v) for v in pod.state.moving_statistics()]
    means = [np.mean([copy.numpy() for copy in copies], axis=0) for copies in apart]
    assert all(not np.array_equal(*(copy.numpy() for copy in copies)) for copies in apart)
    pod.statistics.average()
    for variable, mean in zip(pod.state.moving_statistics(), means, strict=True):
        for copy in pod.strategy.experimental_local_results(variable):
            np.testing.assert_allclose(copy, mean, rtol=1e-6, atol=1e-7)
    kernel = "weights/block2a_expand_conv/kernel"
    assert np.abs(pod.values()[kernel] - alone.values()[kernel]).max() > 1e-4
