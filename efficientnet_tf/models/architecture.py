"""Networks of block strings as data: a `Variant`, and scaled, block by block. No TensorFlow.

`Architecture` stands between the block strings and whoever makes the layers: a `Tally`, which
counts them in a millisecond (`--list_models`), or Keras.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from efficientnet_tf.models.block_string import BlockArgs, decode_all
from efficientnet_tf.models.maker import Maker
from efficientnet_tf.models.mbconv import Block, mbconv
from efficientnet_tf.models.scaling import (
    block_name,
    check_blocks,
    check_coefficient,
    check_resolution,
    check_strides,
    round_filters,
    round_repeats,
    survival_probability,
)
from efficientnet_tf.models.staged import IMAGENET_MEAN, IMAGENET_STD, ScaledNetwork

B0_BLOCKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)
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


@dataclass(frozen=True)
class Variant:
    """A network of block strings: all that distinguishes it from others; fulfils `ScalableNetwork`.

    `Variant("my-net", 1.0, 1.0, 96, 0.2, ("r1_k3_s22_e1_i32_o16", ...))` is one of your own.

    Attributes:
        name: as given to `--model`.
        width_coefficient, depth_coefficient: of the block strings' filters and repeats.
        resolution: side of the square input image in pixels.
        dropout_rate: before the classifier.
        blocks_args: block strings, one per stage.
        activation: "swish", "relu6" or "relu".
        mean, std: of the input normalisation, on 0..255.
        fixed_stem_and_head: lite: stem and head keep their filters, the first and the last stage
            their repeats.
        classes: of the published checkpoints (1001 with a background class for EdgeTPU).
    """

    name: str
    width_coefficient: float
    depth_coefficient: float
    resolution: int
    dropout_rate: float
    blocks_args: tuple[str, ...] = B0_BLOCKS
    activation: str = "swish"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    fixed_stem_and_head: bool = False
    classes: int = 1000

    def __post_init__(self) -> None:
        decode_all(self.blocks_args)  # finds a wrong block string now

    def scaled(
        self, *, depth: float = 1.0, width: float = 1.0, resolution: int | None = None
    ) -> Architecture:
        """See `ScalableNetwork`; coefficients multiply its own."""
        side = self.resolution if resolution is None else check_resolution(resolution, "resolution")
        variant = replace(
            self,
            depth_coefficient=self.depth_coefficient * check_coefficient("depth", depth),
            width_coefficient=self.width_coefficient * check_coefficient("width", width),
            resolution=side,
        )
        architecture = architecture_of(variant)
        strides = 2 * math.prod(max(block.strides) for block in architecture.blocks)
        check_strides(side, strides, self.name)
        return architecture


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
    check_blocks(num_blocks, variant.name)
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
