"""What a scaling search starts from: the model section of a configuration, as something to scale.

What is scaled and counted here is the network that training builds: both ask
`networks.configured` with the same fields.
"""

import dataclasses
import math
from typing import Any

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import RunError
from efficientnet_tf.models.compound import Factors, Scaled, scale
from efficientnet_tf.models.networks import configured, find_network
from efficientnet_tf.models.staged import Network
from efficientnet_tf.models.variants import VARIANTS
from efficientnet_tf.search.proxy import Candidate
from efficientnet_tf.search.results import Result

_CLASSES_OF_DIGITS = 10
_DECIMALS = 17  # of a float


class Baseline:
    """The network of a configuration; fulfils `ScalableNetwork`.

    Args:
        config: its model section gives the network, with coefficients and resolution of its own.
        classes: outputs that are counted; None: those of digits, data.num_classes, or the
            published form, in this order. Other sources say theirs only when they are read.

    Raises:
        UsageError: there is no such network.
    """

    def __init__(self, config: ExperimentConfig, classes: int | None = None) -> None:
        self._fields = dataclasses.asdict(config.model)
        network = configured(**self._fields)
        self.name = network.name
        self.resolution = network.resolution
        self.classes = classes or _classes(config)
        # A coefficient in the configuration replaces that of a published variant.
        variant = {name.lower(): each for name, each in VARIANTS.items()}.get(self.name.lower())
        self._own = {
            name: self._fields[name] or (getattr(variant, name) if variant else 1.0)
            for name in ("depth_coefficient", "width_coefficient")
        }

    def __str__(self) -> str:
        return f"{self.name} at {self.resolution} pixels, {self.classes} classes"

    def changes(self, factors: Factors, resolution: int) -> dict[str, Any]:
        """Dotted fields of the configuration that scale it, with the side of the image in pixels.

        Only those that change; so the baseline itself has none.
        """
        found: dict[str, Any] = {}
        for name, factor in (("depth", factors.depth), ("width", factors.width)):
            if factor != 1:
                field = f"{name}_coefficient"
                found[f"model.{field}"] = factor * self._own[field]
        if resolution != self.resolution:
            found["model.resolution"] = resolution
        return found

    def scaled(
        self, *, depth: float = 1.0, width: float = 1.0, resolution: int | None = None
    ) -> Network:
        """See `ScalableNetwork`."""
        side = self.resolution if resolution is None else resolution
        changes = self.changes(Factors(depth, width), side)
        fields = {name.removeprefix("model."): value for name, value in changes.items()}
        return configured(**{**self._fields, **fields})

    def candidate(self, scaled: Scaled) -> Candidate:
        """What the proxy trains for a network scaled from this baseline."""
        factors, side = scaled.factors, scaled.network.resolution
        key = f"d{factors.depth:.6g}-w{factors.width:.6g}-r{side}"
        return Candidate(key, self.changes(factors, side))


def _classes(config: ExperimentConfig) -> int:
    if config.data.source == "digits":
        return _CLASSES_OF_DIGITS
    return config.data.num_classes or find_network(config.model.name).classes


def shortened(baseline: Baseline, scaled: Scaled) -> Scaled:
    """The same network by factors with the fewest decimals.

    A budget is solved by halving an interval, which ends beside a jump of the rounding: 4.5 layers
    or 4.499999999999999. Factors with few decimals are away from it where they can be.
    """
    operations = list(scaled.network.operations(baseline.classes))
    resolution = scaled.network.resolution / baseline.resolution
    for decimals in range(1, _DECIMALS):
        for depth in _rounded(scaled.factors.depth, decimals):
            for width in _rounded(scaled.factors.width, decimals):
                factors = Factors(depth, width, resolution)
                found = scale(baseline, factors, phi=scaled.phi)
                if list(found.network.operations(baseline.classes)) == operations:
                    return found
    return scaled


def _rounded(value: float, decimals: int) -> tuple[float, ...]:
    """Down and up, without those that are no factor."""
    unit = 10**decimals
    both = (math.floor(value * unit) / unit, math.ceil(value * unit) / unit)
    return tuple(each for each in dict.fromkeys(both) if each > 0)


def check_counted(row: Result, scaled: Scaled) -> None:
    """Raises a RunError if training built another network than the one that was counted."""
    if row.error is None and row.multiply_adds != scaled.counts.multiply_adds:
        raise RunError(
            f'"{row.key}" was trained with {row.multiply_adds:,} multiply-adds, but counted with '
            f"{scaled.counts.multiply_adds:,}. Either the data have another number of classes, "
            "then give it as --classes; or the file of the network was changed after that "
            "training, then use another --output_dir."
        )
