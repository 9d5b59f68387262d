"""What an architecture search maximises: ACC x (FLOPS / T)^w (paper, section 4). No TensorFlow.

With one exponent T changes no ranking: it multiplies every objective by the same T^-w, and only
makes objectives read like accuracies at the target. It decides only if networks below the target
have another exponent: MnasNet's hard constraint is 0 below and -1 above.

Differences: the paper's FLOPS are multiply-adds, and called so here; MnasNet has latency there.
"""

import math
from dataclasses import dataclass

from efficientnet_tf.errors import UsageError

PAPER_TARGET = 400e6
PAPER_EXPONENT = -0.07


@dataclass(frozen=True)
class Objective:
    """Top-1 accuracy, discounted by what it costs.

    Args:
        target: T, multiply-adds for one image, above 0; the paper's is 400 million.
        exponent: w, at most 0; the paper's is -0.07: twice the cost must bring 5 % more accuracy.
        exponent_below: w of networks of at most `target`, at most 0; None: the same.

    Raises:
        UsageError: an argument is out of range.
    """

    target: float = PAPER_TARGET
    exponent: float = PAPER_EXPONENT
    exponent_below: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.target) or self.target <= 0:
            raise UsageError(
                f"target must be a number of multiply-adds above 0, received {self.target!r}."
            )
        for name in ("exponent", "exponent_below"):
            value = getattr(self, name)
            if value is not None and (not math.isfinite(value) or value > 0):
                raise UsageError(
                    f"{name} must be at most 0, as in the paper's -0.07, received {value!r}: above "
                    "0 it would reward networks for their cost."
                )

    def __call__(self, top1: float, multiply_adds: float) -> float:
        """The objective of a network of this top-1 in [0, 1] and multiply-adds above 0."""
        exponent = self.exponent
        if self.exponent_below is not None and multiply_adds <= self.target:
            exponent = self.exponent_below
        return top1 * (multiply_adds / self.target) ** exponent

    def top1_at(self, value: float, multiply_adds: float) -> float:
        """The top-1 that gives this objective at so many multiply-adds: curves of equal worth."""
        return value / self(1.0, multiply_adds)
