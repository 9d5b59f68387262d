"""A scaled network of the family as data: every block with its final numbers. No TensorFlow.

`Architecture` stands between the block strings and whoever makes the layers: a `Tally`, which
counts them in a millisecond (`--list_models`), or Keras.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.block_string import BlockArgs, decode_all
from efficientnet_tf.models.maker import Maker
from efficientnet_tf.models.mbconv import Block, mbconv
from efficientnet_tf.models.scaling import (
    block_name,
    check_coefficient,
    round_filters,
    round_repeats,
    survival_probability,
)
from efficientnet_tf.models.staged import ScaledNetwork, check_resolution
from efficientnet_tf.models.variants import Variant, find_variant

STEM_FILTERS = 32
HEAD_FILTERS = 1280
SURVIVAL_PROB = 0.8


@dataclass(frozen=True, kw_only=True)
class Architecture(ScaledNetwork):
    """A network of the family with all coefficients applied; see `Variant` for the fields."""

    stem_filters: int
    head_filters: int
    blocks: tuple[Block, ...]
    activation: str

    @property
    def num_blocks(self) -> int:
        return len(self.blocks)

    def features(self, make: Maker, x: Any) -> Any:
        """See `ScaledNetwork`: stem, blocks with their endpoints, head."""
        x = make.conv(x, self.stem_filters, 3, 2, name="stem_conv")
        x = make.norm(x, self.activation, name="stem_bn")
        reduction = 0
        for block, following in itertools.zip_longest(self.blocks, self.blocks[1:]):
            x = mbconv(make, x, block, self.activation)
            if following is None or max(following.strides) > 1:
                reduction += 1
                x = make.identity(x, name=f"reduction_{reduction}")
        x = make.identity(x, name="features")
        x = make.conv(x, self.head_filters, 1, name="top_conv")
        return make.norm(x, self.activation, name="top_bn")


def _scale_stages(variant: Variant) -> Iterator[tuple[int, BlockArgs]]:
    """(repeats, stage) with filters scaled."""
    stages = decode_all(variant.blocks_args)
    for position, stage in enumerate(stages):
        fixed = variant.fixed_stem_and_head and position in (0, len(stages) - 1)
        depth = 1.0 if fixed else variant.depth_coefficient
        width = variant.width_coefficient
        yield (
            round_repeats(stage.num_repeat, depth),
            replace(
                stage,
                input_filters=round_filters(stage.input_filters, width),
                output_filters=round_filters(stage.output_filters, width),
            ),
        )


def _blocks(variant: Variant, stem_filters: int, survival_prob: float) -> tuple[Block, ...]:
    scaled = list(_scale_stages(variant))
    num_blocks = sum(repeats for repeats, _ in scaled)
    blocks: list[Block] = []
    depth = stem_filters  # of the tensor that really arrives
    for position, (repeats, stage) in enumerate(scaled):
        for repeat in range(repeats):
            declared = stage.input_filters if repeat == 0 else stage.output_filters
            strides = stage.strides if repeat == 0 else (1, 1)
            fused = stage.conv_type == 1
            # The fused block multiplies the declared filters, as MBConv does.
            expanded = declared * stage.expand_ratio
            if stage.expand_ratio == 1:
                expanded = depth
            # Fused blocks compare the declared filters; the real ones must agree to be added.
            same_filters = depth == stage.output_filters and (
                not fused or declared == stage.output_filters
            )
            blocks.append(
                Block(
                    name=block_name(position + 1, repeat),
                    kernel_size=stage.kernel_size,
                    strides=strides,
                    input_filters=declared,
                    expanded_filters=expanded,
                    output_filters=stage.output_filters,
                    expands=stage.expand_ratio != 1,
                    se_filters=max(1, int(declared * stage.se_ratio)) if stage.se_ratio else 0,
                    fused=fused,
                    has_residual=stage.id_skip and strides == (1, 1) and same_filters,
                    survival_prob=survival_probability(len(blocks), num_blocks, survival_prob),
                )
            )
            depth = stage.output_filters
    return tuple(blocks)


def _probability(argument: str, value: float, *, zero: bool, one: bool) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
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


def architecture_of(variant: Variant, survival_prob: float = SURVIVAL_PROB) -> Architecture:
    """The network of a variant, published or not.

    Raises:
        UsageError: a block string is wrong.
    """
    fixed = variant.fixed_stem_and_head
    width = 1.0 if fixed else variant.width_coefficient
    stem_filters = STEM_FILTERS if fixed else round_filters(STEM_FILTERS, width)
    return Architecture(
        name=variant.name,
        resolution=variant.resolution,
        stem_filters=stem_filters,
        head_filters=HEAD_FILTERS if fixed else round_filters(HEAD_FILTERS, width),
        blocks=_blocks(variant, stem_filters, survival_prob),
        dropout_rate=variant.dropout_rate,
        activation=variant.activation,
        mean=variant.mean,
        std=variant.std,
    )
