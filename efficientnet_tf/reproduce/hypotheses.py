"""What the paper may have counted or rounded otherwise, each as a change of the stages.

A hypothesis is applied to every row of a network, not only to the row it is to explain: one that
mends a row and breaks its neighbours explains nothing.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from efficientnet_tf.models.mobilenet import MOBILENET_V1, MOBILENET_V2
from efficientnet_tf.models.operations import Operation
from efficientnet_tf.models.resnet import RESNET_50, RESNET_50_V15, pool
from efficientnet_tf.models.scaling import round_filters, round_repeats
from efficientnet_tf.models.staged import ScaledStages, StagedNetwork
from efficientnet_tf.paper.published import ScaledRow
from efficientnet_tf.reproduce.staged_b0 import STAGED_B0

BASELINES = {
    network.name: network for network in (MOBILENET_V1, MOBILENET_V2, RESNET_50, STAGED_B0)
}
CLASSES = 1000


def nearest_repeats(layers: int, depth: float) -> int:
    return max(1, math.floor(depth * layers + 0.5))


def fewest_repeats(layers: int, depth: float) -> int:
    return max(1, math.floor(depth * layers))


def exact_filters(filters: int, width: float) -> int:
    return max(1, round(filters * width))


def nearest_pixel(pixels: float) -> int:
    return math.floor(pixels + 0.5)


def multiple_of_32(pixels: float) -> int:
    """Downwards, so that five halvings come out even."""
    return int(pixels / 32 + 1e-9) * 32


def as_b3(pixels: float) -> int:
    """291 pixels are 1.3 * 224; the published B3, with the same coefficients, has 300."""
    return 300 if nearest_pixel(pixels) == 291 else nearest_pixel(pixels)


def rounded_down(side: float) -> float:
    return float(max(1, math.floor(side)))


def not_rounded(side: float) -> float:
    return side


@dataclass(frozen=True)
class Hypothesis:
    """A way to scale and to count; the defaults are this package's.

    Attributes:
        name: in a few words.
        repeats: from layers and depth coefficient to layers.
        filters: from filters and width coefficient to filters.
        pixels: from baseline resolution * r to the side of the image.
        side: from image side / strides to the side of a map; None keeps each operation's own.
        fixed_width: whether stem and head keep their filters.
        deepens_single: whether stages of one layer are repeated.
        deepens_ends: whether stem and head are repeated.
        strides_in_3x3: of ResNet-50, as in its version 1.5.
        counts_norm: whether batch norm costs a multiply-add for each activation.
        exchanged: whether the paper's rows "by depth" and "by width" stand in each other's place.
    """

    name: str
    repeats: Callable[[int, float], int] = round_repeats
    filters: Callable[[int, float], int] = round_filters
    pixels: Callable[[float], int] = nearest_pixel
    side: Callable[[float], float] | None = None
    fixed_width: bool = False
    deepens_single: bool = True
    deepens_ends: bool = False
    strides_in_3x3: bool = False
    counts_norm: bool = False
    exchanged: bool = False


OURS = Hypothesis("ours")
HYPOTHESES = (
    OURS,
    Hypothesis("repeats to the nearest", repeats=nearest_repeats),
    Hypothesis("repeats rounded down", repeats=fewest_repeats),
    Hypothesis("filters not rounded", filters=exact_filters),
    Hypothesis("stem and head keep their width", fixed_width=True),
    Hypothesis("stages of one layer not deepened", deepens_single=False),
    Hypothesis("stem and head deepened, too", deepens_ends=True),
    Hypothesis("batch norm counted", counts_norm=True),
    Hypothesis("r=1.3 is 300 px, as B3", pixels=as_b3),
    Hypothesis("resolution down to a multiple of 32", pixels=multiple_of_32),
    Hypothesis("maps not rounded", side=not_rounded),
    Hypothesis("maps rounded down", side=rounded_down),
    Hypothesis("rows d and w exchanged", exchanged=True),
    Hypothesis("ResNet v1.5: strides in the 3x3", strides_in_3x3=True),
    Hypothesis("v1.5, stem keeps its width", strides_in_3x3=True, fixed_width=True),
    Hypothesis("v1.5, r=1.3 is 300 px", strides_in_3x3=True, pixels=as_b3),
    Hypothesis("v1.5, rows d and w exchanged", strides_in_3x3=True, exchanged=True),
)


def applies(hypothesis: Hypothesis, row: ScaledRow, rows: tuple[ScaledRow, ...]) -> bool:
    """Whether it says anything about a network: v1.5 of ResNet alone, exchange of two rows."""
    kinds = {each.kind for each in rows if each.network == row.network}
    can_exchange = {"depth", "width"} <= kinds
    is_resnet = row.network == RESNET_50.name
    return (is_resnet or not hypothesis.strides_in_3x3) and (
        can_exchange or not hypothesis.exchanged
    )


def scaled_by(
    hypothesis: Hypothesis,
    baseline: StagedNetwork,
    depth: float = 1.0,
    width: float = 1.0,
    resolution: float = 1.0,
) -> ScaledStages:
    """A baseline under coefficients, all three factors, with the hypothesis' rounding."""
    stages = []
    for stage in baseline.stages:
        is_end = not stage.deepens
        factor = 1.0 if is_end and hypothesis.fixed_width else width
        filters = stage.channels if factor == 1.0 else hypothesis.filters(stage.channels, factor)
        deepens = hypothesis.deepens_ends if is_end else True
        if not is_end and stage.layers == 1:
            deepens = hypothesis.deepens_single
        if stage.operator is pool:  # it has no weights, and a second one would shrink the map
            deepens = False
        layers = hypothesis.repeats(stage.layers, depth) if deepens else stage.layers
        stages.append((stage.operator, layers, filters, stage.strides))
    side = hypothesis.pixels(baseline.resolution * resolution)
    return ScaledStages(baseline, side, tuple(stages))


def _positions(operation: Operation, resolution: int, side: Callable[[float], float]) -> float:
    """Of a map that is the image after so many halvings, its sides rounded by `side`."""
    if len(operation.output_shape) < 3:
        return 1.0
    halvings = round(math.log2(resolution / operation.output_shape[0]))
    return side(resolution / 2**halvings) ** 2


def multiply_adds(hypothesis: Hypothesis, network: ScaledStages) -> float:
    """Of one image, as the hypothesis counts."""
    total = 0.0
    for operation in network.operations(CLASSES):
        each = float(operation.multiply_adds)
        if hypothesis.side is not None:
            positions = _positions(operation, network.resolution, hypothesis.side)
            each = math.prod(operation.kernel_shape) * positions
        if hypothesis.counts_norm and operation.has_batch_norm:
            each += operation.activations
        total += each
    return total


@functools.cache
def row_multiply_adds(
    hypothesis: Hypothesis, row: ScaledRow, rows: tuple[ScaledRow, ...]
) -> float | None:
    """What a row of the paper should print if the hypothesis were true; None if it does not apply.

    Args:
        rows: of the same table, among which an exchanged row is looked up.
    """
    if not applies(hypothesis, row, rows):
        return None
    other = {"depth": "width", "width": "depth"}.get(row.kind)
    if hypothesis.exchanged and other is not None:
        row = next(each for each in rows if (each.network, each.kind) == (row.network, other))
    baseline = RESNET_50_V15 if hypothesis.strides_in_3x3 else BASELINES[row.network]
    network = scaled_by(hypothesis, baseline, row.depth, row.width, row.resolution)
    return multiply_adds(hypothesis, network)
