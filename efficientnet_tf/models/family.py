"""EfficientNets, and any network of block strings, as baselines that can be scaled."""

import math
from dataclasses import dataclass, replace

from efficientnet_tf.models.architecture import Architecture, architecture_of
from efficientnet_tf.models.scaling import check_coefficient
from efficientnet_tf.models.staged import check_resolution, check_strides
from efficientnet_tf.models.variants import Variant


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
    ) -> Architecture:
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
        return architecture
