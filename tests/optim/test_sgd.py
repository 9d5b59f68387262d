"""Nesterov's rule against the optimizer of Keras, step by step."""

import keras
import numpy as np
import pytest

from efficientnet_tf.optim.sgd import nesterov_update


@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_twenty_steps_equal_keras(momentum: float) -> None:
    chance = np.random.RandomState(0)
    start = chance.standard_normal((3, 4)).astype(np.float32)
    variable = keras.Variable(start)
    rates = np.geomspace(0.1, 0.001, 20)  # a rate that changes tells where it enters
    optimizer = keras.optimizers.SGD(0.1, momentum=momentum, nesterov=True)
    weight, buffer = start, np.zeros_like(start)
    for rate in rates:
        gradient = chance.standard_normal((3, 4)).astype(np.float32)
        optimizer.learning_rate = float(rate)
        optimizer.apply([gradient], [variable])
        weight, buffer = nesterov_update(weight, gradient, buffer, np.float32(rate), momentum)
        np.testing.assert_allclose(weight, variable, rtol=1e-6, atol=1e-6)


def test_nothing_is_assigned() -> None:
    weight, gradient, buffer = (np.full(2, value, np.float32) for value in (1.0, 2.0, 0.5))
    new_weight, new_buffer = nesterov_update(weight, gradient, buffer, 0.1, 0.9)
    np.testing.assert_allclose(new_buffer, 0.9 * 0.5 - 0.1 * 2)
    np.testing.assert_allclose(new_weight, 1 + 0.9 * (0.9 * 0.5 - 0.2) - 0.2)
    assert (weight == 1).all()
    assert (buffer == 0.5).all()
