"""The exponential moving average of the weights: its ramp of decays and its update.

With n the number of finished steps, this one included (the first update has n = 1):

    decay = min(0.9999, (1 + n) / (10 + n))
    average <- average - (1 - decay) * (average - value)

Updated every step after the optimizer. It covers the trainable variables AND the moving mean and
variance of batch norm, for which it is a second average. Averages start at the variables' initial
values, without bias correction. Evaluation and export use the averages, training never does; the
official accuracies are those of the averages (B5 without them: 80 % in place of 83 %, by issue
408 of tensorflow/tpu).

Why the ramp: a constant 0.9999 remembers 10,000 steps, and the random start among them, so that
accuracy stays near zero for tens of epochs. The ramp remembers about the last ninth of the steps
so far and reaches 0.9999 at n = 89,990, 41 % of the official run.

Differences
- From the paper: it does not mention the average; the official code's numbers depend on it.
- From Keras (`use_ema` of its optimizers): that has a constant decay, copies the weights at the
  first step and leaves out batch norm's statistics.
"""

from numbers import Integral
from typing import Any

from keras import ops

from efficientnet_tf.errors import UsageError

DECAY = 0.9999


def ema_enabled(decay: float) -> bool:
    """Whether a run with this `decay` keeps averages; zero and below switch them off.

    Raises UsageError for 1 and above, which would never leave the initial values.
    """
    if not decay < 1:
        raise UsageError(
            f"The decay of the weight average must be below 1; received {decay!r}. "
            f"Use {DECAY} for the recipe, or 0 for no average."
        )
    return decay > 0


def ema_decay(step_after_increment: Any, decay: float = DECAY) -> Any:
    """The decay to use at a step: min(decay, (1 + n) / (10 + n)).

    Args:
        step_after_increment: n, steps finished with this one, counted from 1: read it after the
            optimizer's step counter has moved. An integer, or an integer scalar tensor or variable.
        decay: upper bound, in (0, 1).

    Returns:
        A float for an integer, a float32 scalar tensor for a tensor.

    Raises UsageError if `decay` is not in (0, 1); ask `ema_enabled` first.
    """
    if not ema_enabled(decay):
        raise UsageError(
            f"The weight average is switched off by its decay; received {decay!r}. "
            f"Use {DECAY} for the recipe, or leave the update out."
        )
    if isinstance(step_after_increment, Integral):
        n = int(step_after_increment)
        return min(decay, (1 + n) / (10 + n))
    n = ops.cast(step_after_increment, "float32")
    return ops.minimum((n + 1.0) / (n + 10.0), decay)


def ema_update(average: Any, value: Any, decay: Any) -> Any:
    """The next average; nothing is assigned.

    Args:
        average, value: arrays, tensors or variables of one shape and dtype.
        decay: of `ema_decay`, a float or a scalar tensor of that dtype.
    """
    # Only operators, so any backend's tensors do. The small difference times the small factor
    # keeps float32 digits that decay * average + (1 - decay) * value would round away.
    return average - (average - value) * (1.0 - decay)
