"""Fine-tuning, one update after another: what moves, what does not, and what it costs."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from step_settings import step_settings

from efficientnet_tf.config import TransferConfig
from efficientnet_tf.optim.sgd import nesterov_update
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import TrainStep
from efficientnet_tf.transfer import fine_tuning

BATCH = 8
RATE = 0.05


def batches() -> Iterator[dict[str, tf.Tensor]]:
    chance = np.random.RandomState(0)
    images = chance.uniform(0, 255, (BATCH, 16, 16, 3)).astype(np.float32)
    labels = chance.randint(0, 10, BATCH).astype(np.int32)
    return iter(tf.data.Dataset.from_tensors({"image": images, "label": labels}).repeat())


@pytest.fixture
def prepared(
    replicas: Any, tiny_network: Any
) -> Callable[..., tuple[TrainState, Callable[..., TrainStep]]]:
    """A state of a tiny network under a TransferConfig, and how to make its step."""

    def make(seed: int = 0, sgd: bool = False, **fields: Any) -> Any:
        with replicas(1).scope():
            model = tiny_network(seed=seed, survival_prob=0.5, dropout_rate=0.5)
            asked = TransferConfig(**fields)
            fine_tuning.prepare(model, asked)
            state = TrainState(model, with_average=True, with_mean_square=not sgd)

        def step(**options: Any) -> TrainStep:
            rates = fine_tuning.learning_rates(model, asked)
            kind = "sgd" if sgd else "rmsprop"
            settings = step_settings(rates=rates, kind=kind, global_batch_size=BATCH, **options)
            return TrainStep(state, replicas(1), lambda _: RATE, **settings)

        return state, step

    return make


def numbers(variables: dict[str, tf.Variable]) -> dict[str, np.ndarray]:
    return {path: variable.numpy() for path, variable in variables.items()}


def moved(before: dict[str, np.ndarray], after: dict[str, tf.Variable]) -> set[str]:
    return {path for path, value in before.items() if not np.array_equal(value, after[path])}


@pytest.mark.parametrize(
    ("until", "prefixes", "rematerialise"),
    [
        ("", ("stem_", "block1", "block2", "top_", "predictions"), False),
        ("stem", ("block1", "block2", "top_", "predictions"), True),
        ("block1", ("block2", "top_", "predictions"), False),
        ("block1", ("block2", "top_", "predictions"), True),
        ("block2", ("top_", "predictions"), True),
        ("head", ("predictions",), False),
    ],
)
def test_frozen_stages_do_not_move_by_a_bit(
    prepared: Any, until: str, prefixes: tuple[str, ...], rematerialise: bool
) -> None:
    state, step = prepared(freeze_until=until)
    for average in state.average.values():
        average.assign_add(tf.random.stateless_normal(average.shape, [1, 2]))
    weights, average = numbers(state.weights), numbers(state.average)
    step(weight_decay=0.1, rematerialise=rematerialise)(batches(), 3)
    expected = {path for path in weights if path.startswith(prefixes)}
    assert moved(weights, state.weights) == expected
    assert moved(average, state.average) == expected
    trained = {path for path in expected if not path.endswith(("moving_mean", "moving_variance"))}
    assert state.momentum.keys() == state.mean_square.keys() == trained


def test_nothing_is_dropped_in_frozen_stages(prepared: Any) -> None:
    """With block2, the one that has a residual, frozen, its features are those of evaluation."""
    state, _ = prepared(freeze_until="block2")
    images = next(batches())["image"]
    features = keras.Model(state.model.input, state.model.get_layer("features").output)
    np.testing.assert_array_equal(features(images, training=True), features(images, training=False))
    state, _ = prepared(freeze_until="stem")
    features = keras.Model(state.model.input, state.model.get_layer("features").output)
    assert not np.allclose(features(images, training=True), features(images, training=False))


def test_frozen_statistics_stay_and_their_scale_and_shift_learn(prepared: Any) -> None:
    state, step = prepared(batch_norm="frozen")
    weights = numbers(state.weights)
    step()(batches(), 3)
    still = {path for path in weights if path.endswith(("moving_mean", "moving_variance"))}
    assert moved(weights, state.weights) == weights.keys() - still
    for path in still:
        np.testing.assert_array_equal(state.average[path], weights[path], err_msg=path)


def test_frozen_statistics_give_the_logits_of_evaluation(prepared: Any) -> None:
    state, _ = prepared(batch_norm="frozen", freeze_until="head")
    images = next(batches())["image"]
    pooled = keras.Model(state.model.input, state.model.get_layer("pooled_features").output)
    np.testing.assert_array_equal(pooled(images, training=True), pooled(images, training=False))


def test_the_momentum_of_batch_norm_is_the_one_asked_for(prepared: Any) -> None:
    means = {}
    for momentum in (None, 0.99, 0.9):
        state, step = prepared(batch_norm_momentum=momentum)
        step()(batches(), 1)
        means[momentum] = state.weights["stem_bn/moving_mean"].numpy()
    np.testing.assert_array_equal(means[None], means[0.99])
    np.testing.assert_allclose(means[0.9], 10 * means[0.99], rtol=1e-5)  # they start at 0


def flops(step: TrainStep) -> float:
    batch = next(batches())
    graph = tf.function(step.update).get_concrete_function(batch).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops


def test_a_linear_probe_costs_less_than_half_a_full_step(prepared: Any) -> None:
    """By TensorFlow's own count of the operations in the graph of one update."""
    full = flops(prepared()[1]())
    probe_state, probe = prepared(freeze_until="head")
    assert set(probe_state.trainable) == {"predictions/kernel", "predictions/bias"}
    assert 0 < flops(probe()) < 0.5 * full


def test_layer_decay_and_the_heads_rate_scale_the_first_step(prepared: Any) -> None:
    """The first step of SGD moves a weight by (1 + momentum) * rate * gradient."""
    changes = {}
    for name, fields in (
        ("plain", {}),
        ("decayed", {"layer_decay": 0.5, "head_learning_rate": 4.0}),
    ):
        state, step = prepared(sgd=True, **fields)
        before = numbers(state.weights)
        step()(batches(), 1)
        changes[name] = {path: state.weights[path] - before[path] for path in state.trainable}
    for path, plain in changes["plain"].items():
        multiple = {"predictions": 4, "top": 0.5, "block2": 0.25, "block1": 0.125, "stem": 0.0625}
        stage = next(name for name in multiple if path.startswith(name))
        # The change is read back from the weight, so it is exact to an ulp of the weight.
        np.testing.assert_allclose(
            changes["decayed"][path], multiple[stage] * plain, rtol=1e-3, atol=2e-7, err_msg=path
        )


def test_sgd_equals_the_rule_and_keeps_no_mean_square(prepared: Any, replicas: Any) -> None:
    state, make_step = prepared(sgd=True)
    assert state.mean_square == {}
    step = make_step(momentum=0.8)
    chance = np.random.RandomState(0)
    for slot in state.momentum.values():
        slot.assign(chance.uniform(-0.1, 0.1, slot.shape))
    batch = next(batches())
    _, gradients = replicas(1).run(step.gradients, args=(batch,))
    expected = {
        path: nesterov_update(w.numpy(), g.numpy(), state.momentum[path].numpy(), RATE, 0.8)
        for (path, w), g in zip(state.trainable.items(), gradients, strict=True)
    }
    replicas(1).run(step.update, args=(batch,))
    for path, (weight, buffer) in expected.items():
        np.testing.assert_allclose(state.weights[path], weight, rtol=1e-5, atol=1e-6, err_msg=path)
        np.testing.assert_allclose(state.momentum[path], buffer, rtol=1e-4, atol=1e-6, err_msg=path)


def test_class_weights_weigh_the_loss_of_each_example(prepared: Any) -> None:
    """Against the cross-entropy of Keras, times the weight of the label."""
    state, step = prepared(freeze_until="head")
    weights = np.linspace(0.0, 2.0, 10)
    batch = next(batches())
    state.model.get_layer("top_dropout").rate = 0.0
    logits = state.model(batch["image"], training=False)
    losses = keras.losses.sparse_categorical_crossentropy(batch["label"], logits, from_logits=True)
    expected = np.sum(losses.numpy() * weights[batch["label"].numpy()]) / BATCH
    found = step(class_weights=weights, label_smoothing=0.0, weight_decay=0.0)(batches(), 1)
    np.testing.assert_allclose(found, [expected], rtol=1e-5)
