"""Stochastic gradient descent with Nesterov's momentum: the update rule as a pure function.

One step, per element, with g the gradient (weight decay included, see loss.py):

    momentum_buffer <- momentum * momentum_buffer - learning_rate * g
    weight <- weight + momentum * momentum_buffer - learning_rate * g

This is the optimizer of the fine-tuning that section 5.3 of the paper borrows (docs/transfer.md).
The step runs TensorFlow's one kernel for it; this function says what that computes.

Differences
- From keras.optimizers.SGD(nesterov=True): none in the numbers.
- From PyTorch and from TF1's MomentumOptimizer: the learning rate goes into the buffer, so a
  change of it fades in over the next steps.
"""

from typing import Any

MOMENTUM = 0.9


def nesterov_update(
    weight: Any,
    gradient: Any,
    momentum_buffer: Any,
    learning_rate: Any,
    momentum: float = MOMENTUM,
) -> tuple[Any, Any]:
    """One step for one weight; nothing is assigned.

    Args:
        weight, gradient, momentum_buffer: tensors, arrays or variables of one shape and dtype; the
            buffer is 0 before the first step.
        learning_rate: a float or a scalar tensor of that dtype.
        momentum: part of the old buffer that is kept, in [0, 1).

    Returns:
        (new weight, new momentum_buffer).
    """
    step = gradient * learning_rate
    new_buffer = momentum_buffer * momentum - step
    return weight + new_buffer * momentum - step, new_buffer
