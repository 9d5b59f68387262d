"""EfficientNets, and any network of block strings, as baselines that can be scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from efficientnet_tf.models import architecture as architecture_lib
from efficientnet_tf.models.architecture import Architecture, architecture_of
from efficientnet_tf.models.operations import Operation
from efficientnet_tf.models.scaling import check_coefficient
from efficientnet_tf.models.staged import check_resolution, check_strides
from efficientnet_tf.models.variants import Variant

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FamilyNetwork:
    """A network of the family with its final numbers; fulfils `Network`."""

    architecture: Architecture

    @property
    def name(self) -> str:
        return self.architecture.name

    @property
    def resolution(self) -> int:
        return self.architecture.resolution

    @property
    def num_blocks(self) -> int:
        return len(self.architecture.blocks)

    def operations(self, classes: int) -> Sequence[Operation]:
        """See `Network`."""
        return tuple(architecture_lib.operations(self.architecture, classes))

    def build(self, **arguments: Any) -> keras.Model:
        """See `Network`."""
        from efficientnet_tf.models import efficientnet

        return efficientnet.build(self.architecture, **arguments)


@dataclass(frozen=True)
class BlockNetwork:
    """A baseline given by its block strings; fulfils `ScalableNetwork`.

    Args:
        variant: `Variant("my-net", 1.0, 1.0, 96, 0.2, ("r1_k3_s22_e1_i32_o16", ...))` for a
            network of your own.
    """

    variant: Variant

    def __post_init__(self) -> None:
        architecture_of(self.variant)  # finds a wrong block string now

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def resolution(self) -> int:
        return self.variant.resolution

    @property
    def classes(self) -> int:
        return self.variant.classes

    def scaled(
        self, *, depth: float = 1.0, width: float = 1.0, resolution: int | None = None
    ) -> FamilyNetwork:
        """See `ScalableNetwork`; coefficients multiply those of the variant."""
        variant = replace(
            self.variant,
            depth_coefficient=self.variant.depth_coefficient * check_coefficient("depth", depth),
            width_coefficient=self.variant.width_coefficient * check_coefficient("width", width),
        )
        if resolution is not None:
            check_resolution(resolution, "resolution")
            variant = replace(variant, resolution=resolution)
        architecture = architecture_of(variant)
        strides = 2 * math.prod(max(block.strides) for block in architecture.blocks)
        check_strides(variant.resolution, strides, self.name)
        return FamilyNetwork(architecture)
