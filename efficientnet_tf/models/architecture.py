"""A scaled network as data: every block with its final numbers, and their sums. No TensorFlow.

`Architecture` stands between the block strings and the Keras model: the builder reads it, and the
parameter and multiply-add counts come from it in microseconds (`--list_models`). The counting
rule is that of golden/params.json: convolutions, depthwise convolutions and matrix products, one
multiply-add each; the paper calls them FLOPS.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models import operations as operations_lib
from efficientnet_tf.models.block_string import BlockArgs, decode_all
from efficientnet_tf.models.operations import Counts, Operation
from efficientnet_tf.models.scaling import (
    check_coefficient,
    round_filters,
    round_repeats,
    survival_probability,
)
from efficientnet_tf.models.variants import Variant, find_variant

STEM_FILTERS = 32
HEAD_FILTERS = 1280
SURVIVAL_PROB = 0.8


@dataclass(frozen=True)
class Block:
    """One block, ready to build. `input_filters` is what the block string declares after scaling.

    The declared number decides the SE width and, in fused blocks, the expansion; it differs from
    the tensor's real depth only in the first blocks of lite3, lite4 and EdgeTPU.
    """

    name: str
    kernel_size: int
    strides: tuple[int, int]
    input_filters: int
    expanded_filters: int
    output_filters: int
    expands: bool
    se_filters: int
    fused: bool
    has_residual: bool
    survival_prob: float


@dataclass(frozen=True)
class Architecture:
    """A network of the family with all coefficients applied; see `Variant` for the fields."""

    name: str
    resolution: int
    stem_filters: int
    head_filters: int
    blocks: tuple[Block, ...]
    dropout_rate: float
    activation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def block_name(stage: int, repeat: int) -> str:
    """`block2a` is the first block of the second stage; after `z` comes `aa`."""
    letters = ""
    repeat += 1
    while repeat > 0:
        repeat, letter = divmod(repeat - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return f"block{stage}{letters}"


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
        if not isinstance(resolution, int) or isinstance(resolution, bool) or resolution < 1:
            raise UsageError(
                f"resolution must be a whole number of pixels, at least 1, received {resolution!r}."
            )
        changes["resolution"] = resolution
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


@dataclass(frozen=True)
class Convolution:
    """One bias-free convolution with batch norm behind it, and where it stands.

    Attributes:
        name: of its layer.
        kernel_shape: [k, k, in, out], or [k, k, channels, 1] of a depthwise one.
        output_size: (height, width) of its output at the architecture's resolution.
        filters: of its output.
    """

    name: str
    kernel_shape: tuple[int, int, int, int]
    output_size: tuple[int, int]
    filters: int


def convolutions(architecture: Architecture) -> Iterator[Convolution]:
    """Every convolution of the network in the order of the forward pass, SE excepted."""
    size = (math.ceil(architecture.resolution / 2),) * 2
    depth = architecture.stem_filters
    yield Convolution("stem_conv", (3, 3, 3, depth), size, depth)
    for block in architecture.blocks:
        kernel, expanded = block.kernel_size, block.expanded_filters
        strided = (math.ceil(size[0] / block.strides[0]), math.ceil(size[1] / block.strides[1]))
        if block.expands:
            side, area = (kernel, strided) if block.fused else (1, size)
            name = f"{block.name}_expand_conv"
            yield Convolution(name, (side, side, depth, expanded), area, expanded)
        if not block.fused:
            name = f"{block.name}_dwconv"
            yield Convolution(name, (kernel, kernel, expanded, 1), strided, expanded)
        size, depth = strided, block.output_filters
        name = f"{block.name}_project_conv"
        yield Convolution(name, (1, 1, expanded, depth), size, depth)
    head = architecture.head_filters
    yield Convolution("top_conv", (1, 1, depth, head), size, head)


def operations(architecture: Architecture, classes: int) -> Iterator[Operation]:
    """Every layer with weights, SE and classifier included."""
    squeezed = {f"{block.name}_dwconv": block.se_filters for block in architecture.blocks}
    for one in convolutions(architecture):
        kind = "depthwise" if one.name.endswith("_dwconv") else "conv"
        yield Operation(one.name, kind, one.kernel_shape, (*one.output_size, one.filters))
        filters = squeezed.get(one.name, 0)
        if filters:
            name = one.name.removesuffix("_dwconv") + "_se"
            for part, shape in (
                ("reduce", (one.filters, filters)),
                ("expand", (filters, one.filters)),
            ):
                yield Operation(f"{name}/{part}", "dense", shape, shape[1:], True, False)
    shape = (architecture.head_filters, classes)
    yield Operation("predictions", "dense", shape, shape[1:], True, False)


def count(architecture: Architecture, classes: int) -> Counts:
    """Counts a network of the family at its own resolution, from arithmetic alone."""
    return operations_lib.count(operations(architecture, classes))
