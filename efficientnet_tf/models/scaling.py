"""How coefficients change a network: the two rounding rules (paper, section 4), and the checks.

Differences: Keras and timm count repeats of the first and last stage of the lite family apart in
their builders; here `fixed` says it once. The rules themselves are the official code's.
"""

import math
import numbers
from typing import Any

from efficientnet_tf.errors import UsageError, whole_number

# Beyond the largest network that was ever published by far. Numbers above them are mistakes, or
# those of a file that was made to take all memory, and are refused before anything is built.
MAX_COEFFICIENT = 2.0**12
MAX_BLOCKS = 100_000
MAX_RESOLUTION = 2**13


def round_filters(filters: int, width_coefficient: float, depth_divisor: int = 8) -> int:
    """Scales a number of filters by the width coefficient and rounds it for the hardware.

    The result is the nearest multiple of `depth_divisor` (halves up), but never below one multiple
    and never more than 10 % under the exact product: then one multiple is added.
    """
    exact = filters * width_coefficient
    rounded = max(depth_divisor, int(exact + depth_divisor / 2) // depth_divisor * depth_divisor)
    if rounded < 0.9 * exact:
        rounded += depth_divisor
    return rounded


def round_repeats(repeats: int, depth_coefficient: float) -> int:
    """Scales a number of layers by the depth coefficient and rounds it up."""
    return math.ceil(depth_coefficient * repeats)


def block_name(stage: int, repeat: int) -> str:
    """`block2a` is the first block of the second stage; after `z` comes `aa`."""
    letters = ""
    repeat += 1
    while repeat > 0:
        repeat, letter = divmod(repeat - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return f"block{stage}{letters}"


def survival_probability(index: int, num_blocks: int, final: float) -> float:
    """Survival of block `index` of `num_blocks` under the linear ramp of stochastic depth.

    Block 0 always survives; the ramp would reach `final` one block after the last. The count is
    over *scaled* blocks, and blocks without a residual use up an index (arXiv 1603.09382; the
    official code calls 1 - survival "drop connect").
    """
    return 1.0 - (1.0 - final) * index / num_blocks


def check_coefficient(argument: str, value: float) -> float:
    """Returns a positive, finite coefficient as float or raises a UsageError naming `argument`."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise UsageError(f"{argument} must be a positive number, received {value!r}.")
    if value > MAX_COEFFICIENT:
        raise UsageError(f"{argument} must be at most {MAX_COEFFICIENT:g}, received {value!r}.")
    return float(value)


def check_blocks(blocks: int, name: str) -> None:
    """Raises a UsageError for more blocks than any network has."""
    if blocks > MAX_BLOCKS:
        raise UsageError(
            f"{name} would have {blocks:,} blocks, more than {MAX_BLOCKS:,}. Give a smaller "
            "depth_coefficient or smaller numbers r in the block strings."
        )


def check_strides(resolution: int, strides: int, name: str) -> None:
    """Raises a UsageError if the last map would be smaller than one pixel."""
    if resolution < strides:
        raise UsageError(
            f"resolution {resolution} is too small for {name}: its strides make one pixel of "
            f"{strides}x{strides}. Give at least {strides}, or a larger phi."
        )


def check_resolution(value: Any, argument: str) -> int:
    """Returns a whole number of pixels, at least 1, or raises a UsageError naming `argument`."""
    pixels = whole_number(value)
    if pixels is None:
        raise UsageError(
            f"{argument} must be a whole number of pixels, at least 1, received {value!r}."
        )
    if pixels > MAX_RESOLUTION:
        raise UsageError(f"{argument} must be at most {MAX_RESOLUTION} pixels, received {pixels}.")
    return pixels
