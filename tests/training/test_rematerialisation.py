"""Computing blocks again in the backward pass: the same update, masks included."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.config import OptimizerConfig, TrainConfig
from efficientnet_tf.training.steps import TrainStep


@pytest.mark.parametrize(("count", "accumulation_steps"), [(1, 2), (2, 1)])
def test_an_update_is_the_same_with_and_without(
    replicas: Any, tiny_state: Any, count: int, accumulation_steps: int
) -> None:
    strategy = replicas(count)
    random = np.random.RandomState(0)
    state = tiny_state(strategy)
    start = {name: variable.numpy() for name, variable in state.named_variables().items()}
    batch = {
        "image": tf.constant(random.uniform(0, 255, (8, *state.model.input_shape[1:])), tf.float32),
        "label": tf.constant(random.randint(0, 10, 8), tf.int32),
    }
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    found = []
    for rematerialise in (False, True):
        for name, variable in state.named_variables().items():
            variable.assign(start[name])
        train = TrainConfig(
            global_batch_size=8 * count,
            accumulation_steps=accumulation_steps,
            rematerialise=rematerialise,
        )
        step = TrainStep(state, strategy, lambda step: tf.constant(0.1), OptimizerConfig(), train)
        losses = step(iter(strategy.distribute_datasets_from_function(lambda _: dataset)), 2)
        found.append(
            (losses, {name: value.numpy() for name, value in state.named_variables().items()})
        )
    (losses, expected), (again, updated) = found
    np.testing.assert_allclose(again, losses, rtol=1e-5)
    assert any(np.abs(expected[name] - start[name]).max() > 1e-4 for name in expected)
    for name, value in expected.items():
        np.testing.assert_allclose(updated[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
