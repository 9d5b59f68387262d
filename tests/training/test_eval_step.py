"""A step of evaluation: each image counted once, with the weights asked for."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_network import values

from efficientnet_tf.training.metrics import Metrics
from efficientnet_tf.training.steps import EvalStep


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
