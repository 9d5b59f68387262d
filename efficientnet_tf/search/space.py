"""The search space of MnasNet, which the paper uses in section 4, as block strings.

A baseline gives the stages, their strides and what is varied around; in each stage one chooses,
for all its blocks:
    operation   separable (depthwise and 1x1), MBConv with expansion 3 or 6, fused with 3
    kernel      3 or 5
    SE          none or 0.25 (a fused block has none)
    skip        residual connection or none
    filters     0.75, 1 or 1.25 times the baseline's, rounded as width scaling rounds
    layers      one less, as many, one more than the baseline's, at least one
A network is a tuple of block strings, which `--config.model.blocks_args` takes. Of strings that
mean the same network only one is used: no "noskip" where no block could have a residual.

Differences from MnasNet (arXiv 1807.11626, section 4): its regular convolution is not in our
language, the fused block (a full convolution to three times the filters, then 1x1) takes its
place; its pooling skip is not there; expansion ratios are written out as operations, those of its
published networks; it starts from MobileNetV2, this from any block strings, by default those of
B0, whose stages have MobileNetV2's strides. Its searcher is reinforcement learning.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from efficientnet_tf.models.block_string import BlockArgs, decode_all, encode
from efficientnet_tf.models.scaling import round_filters

Network = tuple[str, ...]

# name: (conv_type, expand_ratio) of the block string
OPERATIONS = {"separable": (0, 1), "mbconv3": (0, 3), "mbconv6": (0, 6), "fused3": (1, 3)}
KERNELS = (3, 5)
SE_RATIOS = (None, 0.25)
SKIPS = (True, False)
FILTER_FACTORS = (0.75, 1.0, 1.25)
LAYER_CHANGES = (-1, 0, 1)


@dataclass(frozen=True)
class _Choices:
    """Values of one stage: (conv_type, expand_ratio, kernel, SE, skip), filters, layers."""

    blocks: tuple[tuple[int, int, int, float | None, bool], ...]
    filters: tuple[int, ...]
    layers: tuple[int, ...]


def _choices(stage: BlockArgs) -> _Choices:
    return _Choices(
        blocks=tuple(
            (conv_type, expand_ratio, kernel, se_ratio, skip)
            for conv_type, expand_ratio in OPERATIONS.values()
            for kernel in KERNELS
            for se_ratio in SE_RATIOS
            for skip in SKIPS
            if not (conv_type == 1 and se_ratio)
        ),
        filters=tuple(
            sorted({round_filters(stage.output_filters, factor) for factor in FILTER_FACTORS})
        ),
        layers=tuple(sorted({max(1, stage.num_repeat + change) for change in LAYER_CHANGES})),
    )


def _may_skip(stage: BlockArgs) -> bool:
    """Whether any block of the stage keeps the shape, so that "noskip" means something."""
    same = stage.strides == (1, 1) and stage.input_filters == stage.output_filters
    return stage.num_repeat > 1 or same


def _join(stages: Iterable[BlockArgs], input_filters: int) -> Network:
    """The block strings of stages, each with the filters that the one before gives."""
    strings = []
    for stage in stages:
        stage = replace(stage, input_filters=input_filters)
        stage = replace(stage, id_skip=stage.id_skip or not _may_skip(stage))
        strings.append(encode(stage))
        input_filters = stage.output_filters
    return tuple(strings)


class Space:
    """All networks that can be made from a baseline.

    Args:
        baseline: block strings.

    Attributes:
        baseline: the same; it need not be in the space.

    Raises:
        UsageError: a block string is wrong.
    """

    def __init__(self, baseline: Sequence[str]) -> None:
        self._stages = decode_all(baseline)
        self._choices = tuple(_choices(stage) for stage in self._stages)
        self.baseline: Network = tuple(baseline)

    @property
    def size(self) -> int:
        """How many different networks there are."""
        counts = {self._stages[0].input_filters: 1}  # of networks up to here, by their filters
        for stage, choices in zip(self._stages, self._choices, strict=True):
            following = dict.fromkeys(choices.filters, 0)
            for before, count in counts.items():
                for filters in choices.filters:
                    for layers in choices.layers:
                        made = replace(
                            stage,
                            input_filters=before,
                            output_filters=filters,
                            num_repeat=layers,
                        )
                        blocks = len(choices.blocks)
                        following[filters] += count * (blocks if _may_skip(made) else blocks // 2)
            counts = following
        return sum(counts.values())

    def draw(self, generator: np.random.Generator) -> Network:
        """A network with every choice made at random, each value alike."""
        stages = []
        for stage, choices in zip(self._stages, self._choices, strict=True):
            operations = list(OPERATIONS.values())
            conv_type, expand_ratio = operations[generator.integers(len(operations))]
            se_ratio = SE_RATIOS[generator.integers(len(SE_RATIOS))]
            stages.append(
                replace(
                    stage,
                    conv_type=conv_type,
                    expand_ratio=expand_ratio,
                    kernel_size=KERNELS[generator.integers(len(KERNELS))],
                    se_ratio=None if conv_type == 1 else se_ratio,
                    id_skip=SKIPS[generator.integers(len(SKIPS))],
                    output_filters=choices.filters[generator.integers(len(choices.filters))],
                    num_repeat=choices.layers[generator.integers(len(choices.layers))],
                )
            )
        return _join(stages, self._stages[0].input_filters)

    def neighbours(self, network: Network) -> list[Network]:
        """Networks that differ from this one in one choice of one stage, each once.

        A stage that becomes fused loses its SE, so the way back may take two steps.
        """
        stages = decode_all(network)
        found: dict[Network, None] = {}
        for position, (stage, choices) in enumerate(zip(stages, self._choices, strict=True)):
            for changed in _variations(stage, choices):
                changed_stages = [*stages[:position], changed, *stages[position + 1 :]]
                found[_join(changed_stages, stages[0].input_filters)] = None
        found.pop(tuple(network), None)
        return list(found)

    def mutate(self, network: Network, generator: np.random.Generator) -> Network:
        """One of the neighbours, each alike."""
        neighbours = self.neighbours(network)
        return neighbours[generator.integers(len(neighbours))]


def _variations(stage: BlockArgs, choices: _Choices) -> Iterable[BlockArgs]:
    """The stage with another value for one choice; a fused block loses its SE."""
    for conv_type, expand_ratio in OPERATIONS.values():
        se_ratio = None if conv_type == 1 else stage.se_ratio
        yield replace(stage, conv_type=conv_type, expand_ratio=expand_ratio, se_ratio=se_ratio)
    for kernel in KERNELS:
        yield replace(stage, kernel_size=kernel)
    if stage.conv_type == 0:
        for se_ratio in SE_RATIOS:
            yield replace(stage, se_ratio=se_ratio)
    for skip in SKIPS:
        yield replace(stage, id_skip=skip)
    for filters in choices.filters:
        yield replace(stage, output_filters=filters)
    for layers in choices.layers:
        yield replace(stage, num_repeat=layers)
