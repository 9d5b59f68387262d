"""The learning rate of every training step: a warm-up mask over one of four decays.

The arithmetic is float32 as in TF1, for Python integers (numpy) and for tensors (keras.ops)
alike: one expression, two namespaces. 0.97 ** 145 in float64 would be 4e-6 off, and 1 + cos(x)
loses digits near its end, so the precision is part of the recipe. Importing this file loads
neither Keras nor TensorFlow.

Differences
- From the paper (section 5.2, "initial learning rate 0.256 that decays by 0.97 every 2.4 epochs"):
  0.256 is 0.016 per 256 examples at a batch of 4096; the warm-up and the stairs are not mentioned
  there and come from the official code.
- From the official TPU code: the polynomial ends at `end`, 0.0 by default. The official 0.1 is
  hard-coded and lies above the whole default schedule. Past `total_steps` the cosine stays at its
  last value, where the official formula would climb again. A stair comes at its step even where
  TF1's float32 division rounds across it. `staircase=False` and `power` are new.
- From Keras: the decay counts from step 0 under the warm-up. keras CosineDecay starts its decay
  after its warm-up, which shifts the whole curve; ExponentialDecay and PolynomialDecay have none.
"""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, overload

import numpy as np

from efficientnet_tf.errors import UsageError, nearest

KINDS = ("exponential", "cosine", "constant", "polynomial")
REFERENCE_BATCH_SIZE = 256


def scaled_learning_rate(base: float, global_batch_size: int) -> float:
    """The linear scaling rule: `base` is the rate for 256 examples (0.016 at 2048 gives 0.128).

    Raises UsageError if either is not positive.
    """
    _require("base", base, base > 0, "a positive number", "The paper's recipe has 0.016.")
    _require(
        "global_batch_size",
        global_batch_size,
        global_batch_size > 0,
        "a positive number of examples",
        "Count the examples of one step over all replicas.",
    )
    return base * global_batch_size / REFERENCE_BATCH_SIZE


@dataclass(frozen=True)
class Schedule:
    """Learning rate as a function of the step, counted from 0 before the update.

    The first `warmup_steps` rates are peak * step / warmup_steps (so step 0 has rate 0); after
    them the decay shows, as far as it has come since step 0.

    Attributes:
        kind: "exponential": peak * decay_factor ** floor(epochs / decay_epochs).
            "cosine": half a cosine from peak at step 0 to zero at `total_steps`.
            "constant": peak.
            "polynomial": from peak to `end` as (1 - p) ** power. The only kind that counts from
            the end of the warm-up; p = 1 is reached one step after `total_steps`.
        peak: rate at the top, already scaled to the batch (`scaled_learning_rate`).
        steps_per_epoch: training steps per pass over the data, not rounded (625.57).
        total_steps: steps of the whole run.
        warmup_epochs: length of the warm-up in epochs, rounded down to whole steps; 0 is none.
        decay_epochs: epochs between two stairs of the exponential. The period is not rounded.
        decay_factor: what one stair multiplies the rate by, in (0, 1].
        staircase: False makes the exponential smooth.
        end: last rate of the polynomial. The official code has 0.1 here, fixed.
        power: exponent of the polynomial.

    Raises UsageError if a value is out of its range.
    """

    kind: str
    peak: float
    steps_per_epoch: float
    total_steps: int
    warmup_epochs: float = 5.0
    decay_epochs: float = 2.4
    decay_factor: float = 0.97
    staircase: bool = True
    end: float = 0.0
    power: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"kind must be one of {', '.join(KINDS)}; received {self.kind!r}."
                + nearest(str(self.kind), KINDS)
            )
        finite = math.inf
        for name, met, expected, remedy in (
            ("peak", 0 < self.peak < finite, "positive", "Use scaled_learning_rate(base, batch)."),
            (
                "steps_per_epoch",
                0 < self.steps_per_epoch < finite,
                "positive",
                "Divide the number of examples by the global batch size.",
            ),
            ("total_steps", 0 < self.total_steps < finite, "positive", "Count the whole run."),
            (
                "warmup_epochs",
                0 <= self.warmup_epochs < finite,
                "zero or more epochs",
                "Use 0 for no warm-up.",
            ),
            ("decay_epochs", 0 < self.decay_epochs < finite, "positive", "The recipe has 2.4."),
            ("decay_factor", 0 < self.decay_factor <= 1, "in (0, 1]", "The recipe has 0.97."),
            ("end", 0 <= self.end < finite, "zero or more", "Use 0.0 to decay to nothing."),
            ("power", 0 < self.power < finite, "positive", "The official code has 2."),
        ):
            _require(name, getattr(self, name), met, expected, remedy)
        if self.kind == "polynomial":
            _require(
                "warmup_epochs",
                self.warmup_epochs,
                self.warmup_steps <= self.total_steps,
                f"at most {self.total_steps / self.steps_per_epoch:.3g} for the polynomial, which "
                "starts after the warm-up and must reach its end within total_steps",
                "Shorten the warm-up or train longer.",
            )

    @property
    def warmup_steps(self) -> int:
        """Whole steps under the warm-up mask."""
        return int(self.warmup_epochs * self.steps_per_epoch)

    @property
    def decay_steps(self) -> float:
        """Period of the exponential's stairs in steps, not rounded (1501.37 at batch 2048)."""
        return self.steps_per_epoch * self.decay_epochs

    @overload
    def __call__(self, step: int) -> float: ...

    @overload
    def __call__(self, step: Any) -> Any: ...

    def __call__(self, step: Any) -> Any:
        """The rate of `step`: a float for an integer, a float32 scalar tensor for a tensor.

        `step` is an integer, or an integer tensor or variable of shape [] of the Keras backend.
        Both give the same float32 number up to the last bits of `pow` and `cos`.
        """
        if isinstance(step, Integral):
            return float(self._rate(step, np))
        from keras import ops  # here, so that the command line can read a schedule without Keras

        return self._rate(step, ops)

    def _rate(self, step: Any, xp: Any) -> Any:
        """The rate in the namespace `xp`, numpy or keras.ops.

        Constants are combined before they meet `step`: a compiler may turn a division by a
        constant into a product with its rounded reciprocal, and the two namespaces would differ.
        """
        float32 = np.float32
        step = xp.array(step, dtype="float32")
        peak = float32(self.peak)
        if self.kind == "exponential":
            factor = float32(self.decay_factor)
            decayed = peak * xp.power(factor, self._periods(step, xp))
        elif self.kind == "cosine":
            total = float32(self.total_steps)
            angle = xp.minimum(step, total) * (float32(math.pi) / total)
            # numpy's float32 cos is off by an ulp or two, which 1 + cos magnifies near the end.
            cosine = float32(math.cos(angle)) if xp is np else xp.cos(angle)
            decayed = (cosine + float32(1.0)) * (float32(0.5) * peak)
        elif self.kind == "polynomial":
            length = float32(self.total_steps - self.warmup_steps + 1)
            since = xp.maximum(step - float32(self.warmup_steps), float32(1.0))
            remaining = xp.maximum(length - since, float32(0.0)) * (float32(1.0) / length)
            end = float32(self.end)
            decayed = xp.power(remaining, float32(self.power)) * (peak - end) + end
        else:
            decayed = xp.zeros_like(step) + peak
        if self.warmup_steps == 0:
            return decayed
        warmup = float32(self.warmup_steps)
        return xp.where(step < warmup, step * (peak / warmup), decayed)

    def _periods(self, step: Any, xp: Any) -> Any:
        """Decay periods since step 0, whole ones if `staircase`."""
        period = np.float32(self.decay_steps)
        periods = step * (np.float32(1.0) / period)
        if not self.staircase:
            return periods
        # Not floor(periods): 41 * (1 / 41) < 1 in float32, and the stair would come a step late.
        # The closest whole number is safe from that; the comparison says on which side we are.
        closest = xp.floor(periods + np.float32(0.5))
        return xp.where(closest * period > step, closest - np.float32(1.0), closest)


def _require(name: str, value: object, met: bool, expected: str, remedy: str) -> None:
    """Raises UsageError that says which argument, what was expected, received and to do."""
    if not met:
        raise UsageError(f"{name} must be {expected}; received {value!r}. {remedy}")
