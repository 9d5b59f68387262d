"""The published members of the family as data, and their block strings. No TensorFlow here.

Sources: Table 1 and section 5.2 of the paper for B0-B7; the official code's tables for B8, L2,
lite and EdgeTPU. Width, depth, resolution and dropout of B1-B7 are the
hand-rounded values of the release, not powers of alpha, beta, gamma.
"""

import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.models.architecture import (
    B0_BLOCKS,
    SURVIVAL_PROB,
    Architecture,
    Variant,
    architecture_of,
)
from efficientnet_tf.models.scaling import check_coefficient, check_resolution
from efficientnet_tf.models.staged import IMAGENET_MEAN as IMAGENET_MEAN  # for importers, too
from efficientnet_tf.models.staged import IMAGENET_STD as IMAGENET_STD

# The official lite tables keep the SE tokens and switch SE off elsewhere; here they say no SE.
LITE_BLOCKS = tuple(string.removesuffix("_se0.25") for string in B0_BLOCKS)
EDGETPU_BLOCKS = (
    "r1_k3_s11_e4_i24_o24_c1_noskip",
    "r2_k3_s22_e8_i24_o32_c1",
    "r4_k3_s22_e8_i32_o48_c1",
    "r5_k5_s22_e8_i48_o96",
    "r4_k5_s11_e8_i96_o144",
    "r2_k5_s22_e8_i144_o192",
)
CENTRED_MEAN = (127.0, 127.0, 127.0)
CENTRED_STD = (128.0, 128.0, 128.0)


def _lite(index: int, width: float, depth: float, resolution: int, dropout: float) -> Variant:
    return Variant(
        name=f"efficientnet-lite{index}",
        width_coefficient=width,
        depth_coefficient=depth,
        resolution=resolution,
        dropout_rate=dropout,
        blocks_args=LITE_BLOCKS,
        activation="relu6",
        mean=CENTRED_MEAN,
        std=CENTRED_STD,
        fixed_stem_and_head=True,
    )


def _edgetpu(size: str, width: float, depth: float, resolution: int, dropout: float) -> Variant:
    return Variant(
        name=f"efficientnet-edgetpu-{size}",
        width_coefficient=width,
        depth_coefficient=depth,
        resolution=resolution,
        dropout_rate=dropout,
        blocks_args=EDGETPU_BLOCKS,
        activation="relu",
        mean=CENTRED_MEAN,
        std=CENTRED_STD,
        classes=1001,
    )


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("efficientnet-b0", 1.0, 1.0, 224, 0.2),
        Variant("efficientnet-b1", 1.0, 1.1, 240, 0.2),
        Variant("efficientnet-b2", 1.1, 1.2, 260, 0.3),
        Variant("efficientnet-b3", 1.2, 1.4, 300, 0.3),
        Variant("efficientnet-b4", 1.4, 1.8, 380, 0.4),
        Variant("efficientnet-b5", 1.6, 2.2, 456, 0.4),
        Variant("efficientnet-b6", 1.8, 2.6, 528, 0.5),
        Variant("efficientnet-b7", 2.0, 3.1, 600, 0.5),
        Variant("efficientnet-b8", 2.2, 3.6, 672, 0.5),
        Variant("efficientnet-l2", 4.3, 5.3, 800, 0.5),
        _lite(0, 1.0, 1.0, 224, 0.2),
        _lite(1, 1.0, 1.1, 240, 0.2),
        _lite(2, 1.1, 1.2, 260, 0.3),
        _lite(3, 1.2, 1.4, 280, 0.3),
        _lite(4, 1.4, 1.8, 300, 0.3),
        _edgetpu("S", 1.0, 1.0, 224, 0.2),
        _edgetpu("M", 1.0, 1.1, 240, 0.2),
        _edgetpu("L", 1.2, 1.4, 300, 0.3),
    )
}


def find_variant(name: str) -> Variant:
    """The variant called `name` (upper or lower case).

    Raises:
        UsageError: no such variant; the message offers the nearest names.
    """
    lowered = str(name).lower()
    for known, variant in VARIANTS.items():
        if known.lower() == lowered:
            return variant
    raise UsageError(
        f'unknown model "{name}".{nearest(str(name), VARIANTS)} '
        "`python main.py --list_models` lists all."
    )


def _probability(argument: str, value: float, *, zero: bool, one: bool) -> float:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    inside = number and (0 < value < 1 or (zero and value == 0) or (one and value == 1))
    if not inside:
        interval = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
        raise UsageError(f"{argument} must lie in {interval}, received {value!r}.")
    return float(value)


def make_architecture(
    name: str,
    *,
    width_coefficient: float | None = None,
    depth_coefficient: float | None = None,
    resolution: int | None = None,
    dropout_rate: float | None = None,
    survival_prob: float | None = None,
    blocks_args: Sequence[str] | None = None,
) -> Architecture:
    """Applies coefficients to a variant; None keeps the variant's own value.

    Args:
        name: a variant, see `VARIANTS`.
        width_coefficient: multiplies filters, positive.
        depth_coefficient: multiplies repeats, positive.
        resolution: side of the input image in pixels, at least 1.
        dropout_rate: in [0, 1).
        survival_prob: of stochastic depth at the end of the ramp, in (0, 1]; 1 switches it off.
        blocks_args: block strings in place of the variant's.

    Raises:
        UsageError: an argument is out of range, or a block string is wrong.
    """
    variant = find_variant(name)
    changes: dict[str, Any] = {}
    if width_coefficient is not None:
        changes["width_coefficient"] = check_coefficient("width_coefficient", width_coefficient)
    if depth_coefficient is not None:
        changes["depth_coefficient"] = check_coefficient("depth_coefficient", depth_coefficient)
    if resolution is not None:
        changes["resolution"] = check_resolution(resolution, "resolution")
    if dropout_rate is not None:
        changes["dropout_rate"] = _probability("dropout_rate", dropout_rate, zero=True, one=False)
    if blocks_args is not None:
        changes["blocks_args"] = blocks_args
    final_survival = SURVIVAL_PROB
    if survival_prob is not None:
        final_survival = _probability("survival_prob", survival_prob, zero=False, one=True)
    return architecture_of(replace(variant, **changes), final_survival)
