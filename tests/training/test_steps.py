"""One update on any number of replicas: the arithmetic by hand, then replicas against one."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from step_settings import step_settings

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.models.layers import BatchNormalization, Dropout
from efficientnet_tf.optim.rmsprop import EPSILON, MOMENTUM, RHO, rmsprop_update
from efficientnet_tf.training.distribution import batch_norm_group_size
from efficientnet_tf.training.metrics import Metrics
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import EvalStep, TrainStep

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


# The linear network, against the arithmetic by hand


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


# Masks, seen through the gradient: row i of the kernel gets one where the mask keeps input i

WIDTH = 64


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


def masks(
    strategy: tf.distribute.Strategy, at_step: int = 0, parts: int = 1, seed: int = 0
) -> np.ndarray:
    """How many parts kept each input, by replica: int [replicas, WIDTH]."""
    with strategy.scope():
        inputs = keras.Input((WIDTH,))
        x = Dropout(0.5, name="drop")(inputs)
        dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="zeros", name="out")
        state = TrainState(keras.Model(inputs, dense(x)), with_average=False)
    state.step.assign(at_step)
    count = strategy.num_replicas_in_sync
    step = train_step(
        state,
        strategy,
        global_batch_size=count * parts,
        seed=seed,
        accumulation_steps=parts,
        weight_decay=0.0,
        label_smoothing=0.0,
    )
    batch = {"image": tf.ones([parts, WIDTH]), "label": tf.zeros([parts], tf.int32)}
    (gradient,) = strategy.run(lambda: step.gradients(batch)[1])
    copies = strategy.experimental_local_results(gradient)
    # Kept inputs are doubled; zero logits give probabilities of a half: 2 * 0.5 = 1 for each.
    kept = np.stack([-copy.numpy()[:, 0] for copy in copies]) * count * parts
    np.testing.assert_allclose(kept, np.rint(kept), atol=1e-5)
    return np.rint(kept).astype(int)


def test_masks_differ_between_replicas_steps_parts_and_seeds(replicas: Any) -> None:
    first = masks(replicas(4))
    assert set(np.unique(first)) == {0, 1}
    assert 0.35 < first.mean() < 0.65
    later, other_seed = masks(replicas(4), at_step=1), masks(replicas(4), seed=1)
    rows = np.concatenate([first, later, other_seed])
    assert len(np.unique(rows, axis=0)) == 12
    both = masks(replicas(4), parts=2)
    second = both - first  # the first part draws what a whole batch draws
    assert set(np.unique(second)) == {0, 1}
    assert len(np.unique(np.concatenate([rows, second]), axis=0)) == 16


def test_masks_are_reproducible(replicas: Any) -> None:
    for changes in ({}, {"at_step": 7}, {"parts": 3}, {"seed": 5}):
        first = masks(replicas(2), **changes)
        keras.utils.set_random_seed(123)
        np.testing.assert_array_equal(first, masks(replicas(2), **changes))


# A network of the family, replicas against one

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


# Evaluation


def eval_batches(strategy: tf.distribute.Strategy) -> Any:
    """Ten images in batches of four; the last two of the twelve are padding."""
    chance = np.random.RandomState(3)
    examples = {
        "image": chance.randint(0, 256, (12, 16, 16, 3)).astype(np.float32),
        "label": chance.randint(0, 10, 12).astype(np.int32),
        "mask": np.array([1] * 10 + [0] * 2, np.float32),
    }
    dataset = tf.data.Dataset.from_tensor_slices(examples).batch(4)
    return examples, strategy.experimental_distribute_dataset(dataset)


def metrics_by_hand(model: keras.Model, examples: dict[str, np.ndarray]) -> Metrics:
    logits = model(examples["image"][:10], training=False).numpy().astype(np.float64)
    labels = examples["label"][:10]
    losses = np.log(np.exp(logits).sum(1)) - logits[range(10), labels]
    order = np.argsort(-logits, axis=1)
    return Metrics(
        examples=10,
        loss=losses.mean(),
        top1=(order[:, 0] == labels).mean(),
        top5=(order[:, :5] == labels[:, None]).any(1).mean(),
    )


@pytest.mark.parametrize("count", [1, 2])
def test_evaluation_counts_each_image_with_the_weights_asked_for(
    replicas: Any, tiny_state: Any, tiny_network: Any, count: int
) -> None:
    strategy = replicas(count)
    state = tiny_state(strategy)
    chance = np.random.RandomState(4)
    for value in state.average.values():
        value.assign(value.numpy() * chance.uniform(0.5, 1.5, value.shape))
    before = values(state)
    examples, dataset = eval_batches(strategy)
    model = tiny_network()
    losses = []
    for table, averaged in (("weights", False), ("average", True)):
        found = Metrics.from_sums(EvalStep(state, strategy, averaged=averaged)(dataset))
        for name, value in values(state).items():
            np.testing.assert_array_equal(value, before[name], err_msg=f"{name} was changed")
        for weight in model.weights:
            weight.assign(before[f"{table}/{weight.path}"])
        expected = metrics_by_hand(model, examples)
        assert found.examples == 10
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert (found.top1, found.top5) == pytest.approx((expected.top1, expected.top5))
        losses.append(expected.loss)
    assert abs(losses[0] - losses[1]) > 1e-3, "the test could not tell them apart"


def test_evaluation_without_averages_takes_the_raw_weights(replicas: Any, tiny_state: Any) -> None:
    strategy = replicas(1)
    state = tiny_state(strategy, with_average=False)
    examples, dataset = eval_batches(strategy)
    found = Metrics.from_sums(EvalStep(state, strategy, averaged=True)(dataset))
    assert found.loss == pytest.approx(metrics_by_hand(state.model, examples).loss, rel=1e-5)


def test_evaluation_follows_training(replicas: Any, tiny_state: Any) -> None:
    """The compiled evaluation reads the variables as they are, not as they were."""
    strategy = replicas(1)
    state = tiny_state(strategy)
    evaluate = EvalStep(state, strategy, averaged=True)
    examples, dataset = eval_batches(strategy)
    evaluate(dataset)
    state.average["predictions/bias"].assign(np.arange(10, dtype=np.float32))
    state.weights["predictions/bias"].assign(np.arange(10, dtype=np.float32))
    found = Metrics.from_sums(evaluate(dataset))
    assert found.loss == pytest.approx(metrics_by_hand(state.model, examples).loss, rel=1e-5)
