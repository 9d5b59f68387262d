"""AutoAugment's tables as data: operations, what a level means to each, and the policy "v0".

Levels count from 0 to 10; RandAugment's magnitude is a level, too, and may go beyond. This file
knows names and numbers only; what an operation does is in ops.py and geometry.py.

Differences
- from the AutoAugment paper (1805.09501): policy and levels are those of the official EfficientNet
  code, which trained the published weights.
- from the official TPU code: none in `LEVELS`, `RANDAUGMENT_LEVELS` and `POLICY_V0`. A translation
  there is L / 10 * 250 pixels of any image, 100 in RandAugment; `fixed_translation` is the 150
  pixels of the AutoAugment paper as a share of its image of 331.
- from Keras: its levels are from 0 to 1, on other scales.
"""

import functools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence

from efficientnet_tf.errors import UsageError, nearest, whole_number

Step = tuple[str, float, float]  # operation, probability, level
Policy = Sequence[Sequence[Step]]  # sub-policies, the steps of one applied in turn
Argument = float | int | None  # degrees, bits, ...; None if the operation takes none
Levels = Mapping[str, Callable[[float], Argument]]

MAX_LEVEL = 10.0

# In the order of the official RandAugment.
OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Cutout",
    "SolarizeAdd",
)
WITHOUT_ARGUMENT = ("AutoContrast", "Equalize", "Invert")
SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")  # half of them negative
TRANSLATIONS = ("TranslateX", "TranslateY")

# The official code's "v0", found on ImageNet.
POLICY_V0: Policy = (
    (("Equalize", 0.8, 1), ("ShearY", 0.8, 4)),
    (("Color", 0.4, 9), ("Equalize", 0.6, 3)),
    (("Color", 0.4, 1), ("Rotate", 0.6, 8)),
    (("Solarize", 0.8, 3), ("Equalize", 0.4, 7)),
    (("Solarize", 0.4, 2), ("Solarize", 0.6, 2)),
    (("Color", 0.2, 0), ("Equalize", 0.8, 8)),
    (("Equalize", 0.4, 8), ("SolarizeAdd", 0.8, 3)),
    (("ShearX", 0.2, 9), ("Rotate", 0.6, 8)),
    (("Color", 0.6, 1), ("Equalize", 1.0, 2)),
    (("Invert", 0.4, 9), ("Rotate", 0.6, 0)),
    (("Equalize", 1.0, 9), ("ShearY", 0.6, 3)),
    (("Color", 0.4, 7), ("Equalize", 0.6, 0)),
    (("Posterize", 0.4, 6), ("AutoContrast", 0.4, 7)),
    (("Solarize", 0.6, 8), ("Color", 0.6, 9)),
    (("Solarize", 0.2, 4), ("Rotate", 0.8, 9)),
    (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9)),
    (("ShearX", 0.0, 0), ("Solarize", 0.8, 4)),
    (("ShearY", 0.8, 0), ("Color", 0.6, 4)),
    (("Color", 1.0, 0), ("Rotate", 0.6, 2)),
    (("Equalize", 0.8, 4), ("Equalize", 0.0, 8)),
    (("Equalize", 1.0, 4), ("AutoContrast", 0.6, 2)),
    (("ShearY", 0.4, 7), ("SolarizeAdd", 0.6, 7)),
    (("Posterize", 0.8, 2), ("Solarize", 0.6, 10)),
    (("Solarize", 0.6, 8), ("Equalize", 0.6, 1)),
    (("Color", 0.8, 6), ("Rotate", 0.4, 5)),
)


def _none(level: float) -> None:
    return None


def _scaled(at_10: float, level: float) -> float:
    return level / MAX_LEVEL * at_10


def _whole(at_10: float, level: float) -> int:
    return int(level / MAX_LEVEL * at_10)


def _factor(level: float) -> float:
    """Of the blends; 5 leaves an image as it is, 0 gives nearly the other image."""
    return level / MAX_LEVEL * 1.8 + 0.1


def _levels(translation: float, cutout: float) -> Levels:
    """`translation` and `cutout` are what level 10 means in pixels (of half a side)."""
    return {
        **dict.fromkeys(WITHOUT_ARGUMENT, _none),
        "Rotate": functools.partial(_scaled, 30.0),  # degrees
        "Posterize": functools.partial(_whole, 4),  # bits
        "Solarize": functools.partial(_whole, 256),  # threshold
        **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), _factor),
        **dict.fromkeys(("ShearX", "ShearY"), functools.partial(_scaled, 0.3)),
        **dict.fromkeys(TRANSLATIONS, functools.partial(_scaled, translation)),
        "Cutout": functools.partial(_whole, cutout),
        "SolarizeAdd": functools.partial(_whole, 110),  # addition
    }


# LEVELS[operation](level) is the argument before its random sign.
LEVELS = _levels(translation=250.0, cutout=100.0)
RANDAUGMENT_LEVELS = _levels(translation=100.0, cutout=40.0)


def fixed_translation(level: float) -> float:
    """A translation for bugs="fixed", as a share of the side, at most 150 / 331."""
    return min(level / MAX_LEVEL, 1.0) * (150 / 331)


def check_policy(policy: Policy) -> None:
    """Raises UsageError unless a policy has sub-policies of one length, of known operations."""
    lengths = {len(sub_policy) for sub_policy in policy}
    if len(lengths) != 1 or 0 in lengths:
        raise UsageError(
            "policy must have sub-policies, all of one length of at least 1, received lengths "
            f"{sorted(lengths)}. Fill up with operations of probability 0."
        )
    for operation, probability, level in (step for sub_policy in policy for step in sub_policy):
        if operation not in OPERATIONS:
            raise UsageError(
                f"policy must name operations among {', '.join(OPERATIONS)}, received "
                f"{operation!r}." + nearest(str(operation), OPERATIONS)
            )
        if not 0 <= probability <= 1 or not 0 <= level < math.inf:
            raise UsageError(
                "policy must have probabilities from 0 to 1 and levels from 0 on, received "
                f"{probability} and {level} for {operation}."
            )


def check_randaugment(num_layers: int, magnitude: float) -> None:
    """Raises UsageError unless both are numbers in range."""
    if whole_number(num_layers) is None:
        raise UsageError(
            f"num_layers must be a whole number of at least 1, received {num_layers!r}."
        )
    is_number = isinstance(magnitude, numbers.Real) and not isinstance(magnitude, bool)
    if not is_number or not 0 <= magnitude < math.inf:
        raise UsageError(
            f"magnitude must be from 0 on; 10 is the scale's top, received {magnitude!r}."
        )
