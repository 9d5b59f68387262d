"""A network as a list of stages, and how depth, width and resolution coefficients scale it.

The contract of what can be scaled is `ScalableNetwork`; `scaled` gives a `Network`, which counts
itself without Keras and builds itself with it. `StagedNetwork` fulfils it for any network that is
said as stages of an operator; `architecture.Variant` does for networks of block strings.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from efficientnet_tf.errors import UsageError, whole_number
from efficientnet_tf.models.maker import Maker, Tally, TallyMap
from efficientnet_tf.models.operations import Operation
from efficientnet_tf.models.scaling import (
    block_name,
    check_blocks,
    check_coefficient,
    check_resolution,
    check_strides,
    round_filters,
    round_repeats,
)

if TYPE_CHECKING:
    import keras

# From the maker, a map, filters, strides and a name to a map.
Operator = Callable[[Maker, Any, int, int, str], Any]
WIDTHS = ("scaled", "widened", "fixed")
# Per channel, red, green, blue, on the scale 0..255.
IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


@runtime_checkable
class Network(Protocol):
    """A network with its final numbers."""

    @property
    def name(self) -> str:
        """Of the baseline."""

    @property
    def resolution(self) -> int:
        """Side of the square input image in pixels."""

    @property
    def num_blocks(self) -> int:
        """Blocks, all stages together: what depth scaling changes."""

    def operations(self, classes: int) -> Sequence[Operation]:
        """Every layer with weights, from arithmetic alone."""

    def build(
        self,
        *,
        classes: int,
        include_top: bool = True,
        weights: str | None = None,
        input_tensor: Any = None,
        input_shape: Sequence[int | None] | None = None,
        pooling: str | None = None,
        classifier_activation: str | None = "softmax",
        dtype: Any = None,
        name: str | None = None,
    ) -> keras.Model:
        """The Keras model; see `create_model` for the arguments."""


@runtime_checkable
class ScalableNetwork(Protocol):
    """A baseline that coefficients can scale."""

    @property
    def name(self) -> str:
        """As given to `--model`."""

    @property
    def resolution(self) -> int:
        """Of its square input in pixels."""

    @property
    def classes(self) -> int:
        """Outputs of its published form."""

    def scaled(
        self, *, depth: float = 1.0, width: float = 1.0, resolution: int | None = None
    ) -> Network:
        """The network with layers and filters multiplied, rounded by its own rules.

        Raises:
            UsageError: a coefficient is out of range, or the resolution too small for the strides.
        """


@dataclass(frozen=True, kw_only=True)
class ScaledNetwork(ABC):
    """A network with its final numbers, said once as operators; fulfils `Network`.

    Attributes:
        name: of the baseline.
        resolution: of the square input in pixels.
        dropout_rate: before the classifier.
        mean, std: of the input normalisation, on 0..255.
    """

    name: str
    resolution: int
    dropout_rate: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    @abstractmethod
    def num_blocks(self) -> int:
        """See `Network`."""

    @abstractmethod
    def features(self, make: Maker, x: Any) -> Any:
        """Everything before the pooling, made by `make` from the normalised image x."""

    def operations(self, classes: int) -> Sequence[Operation]:
        """See `Network`."""
        tally = Tally()
        x = self.features(tally, TallyMap((self.resolution, self.resolution, 3)))
        tally.dense(tally.channels(x), classes, name="predictions")
        return tally.operations

    def build(self, **arguments: Any) -> keras.Model:
        """See `Network`."""
        from efficientnet_tf.models import keras_maker

        return keras_maker.build(self, **arguments)


@dataclass(frozen=True)
class Stage:
    """Blocks of one operator, of which the first has the strides.

    Attributes:
        operator: makes one block.
        layers: blocks before depth scaling.
        channels: filters before width scaling.
        strides: of the first block.
        deepens: whether depth scaling repeats it; stem and head are single layers.
        width: "scaled"; "widened" by factors above 1 only; "fixed".
    """

    operator: Operator
    layers: int
    channels: int
    strides: int = 1
    deepens: bool = True
    width: str = "scaled"


@dataclass(frozen=True)
class StagedNetwork:
    """A baseline given by its stages; fulfils `ScalableNetwork`.

    Attributes:
        name: of the network.
        resolution: of the square input in pixels.
        stages: in the order of the forward pass, stem and head among them.
        classes: outputs of its published form.
        dropout_rate: before the classifier.
        depth_divisor: filters are rounded to its multiples.
        mean, std: of the input normalisation, on 0..255.
    """

    name: str
    resolution: int
    stages: tuple[Stage, ...]
    classes: int = 1000
    dropout_rate: float = 0.0
    depth_divisor: int = 8
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise UsageError(f"a network needs a name, received {self.name!r}.")
        check_resolution(self.resolution, f"network {self.name}: resolution")
        if not self.stages:
            raise UsageError(f"network {self.name} needs at least one stage, received none.")
        for position, stage in enumerate(self.stages, start=1):
            self._check_stage(position, stage)

    def _check_stage(self, position: int, stage: Any) -> None:
        where = f"network {self.name}, stage {position}"
        if not isinstance(stage, Stage):
            raise UsageError(
                f"{where}: expected a Stage(operator, layers, channels, strides), received "
                f"{stage!r}."
            )
        if not callable(stage.operator):
            raise UsageError(
                f"{where}: operator must be a function of (make, x, filters, strides, name), "
                f"received {stage.operator!r}."
            )
        for field in ("layers", "channels", "strides"):
            value = getattr(stage, field)
            if whole_number(value) is None:
                raise UsageError(
                    f"{where}: {field} must be a whole number of at least 1, received {value!r}."
                )
        if stage.width not in WIDTHS:
            raise UsageError(
                f"{where}: width must be one of {', '.join(WIDTHS)}, received {stage.width!r}."
            )

    def scaled(
        self, *, depth: float = 1.0, width: float = 1.0, resolution: int | None = None
    ) -> ScaledStages:
        """See `ScalableNetwork`."""
        depth = check_coefficient("depth", depth)
        width = check_coefficient("width", width)
        side = check_resolution(self.resolution if resolution is None else resolution, "resolution")
        stages = []
        for stage in self.stages:
            factor = {"scaled": width, "widened": max(width, 1.0), "fixed": 1.0}[stage.width]
            filters = round_filters(int(stage.channels), factor, self.depth_divisor)
            if factor == 1.0:
                filters = int(stage.channels)  # the baseline as it was published
            layers = round_repeats(int(stage.layers), depth) if stage.deepens else int(stage.layers)
            stages.append((stage.operator, layers, filters, int(stage.strides)))
        check_blocks(sum(layers for _, layers, _, _ in stages), self.name)
        check_strides(side, math.prod(int(stage.strides) for stage in self.stages), self.name)
        return ScaledStages(
            name=self.name,
            resolution=side,
            dropout_rate=self.dropout_rate,
            mean=self.mean,
            std=self.std,
            stages=tuple(stages),
        )


@dataclass(frozen=True, kw_only=True)
class ScaledStages(ScaledNetwork):
    """A `StagedNetwork` with its final numbers.

    Attributes:
        stages: (operator, layers, filters, strides) of each.
    """

    stages: tuple[tuple[Operator, int, int, int], ...]

    @property
    def num_blocks(self) -> int:
        return sum(layers for _, layers, _, _ in self.stages)

    def features(self, make: Maker, x: Any) -> Any:
        """See `ScaledNetwork`."""
        for position, (operator, layers, filters, strides) in enumerate(self.stages, start=1):
            for repeat in range(layers):
                name = block_name(position, repeat)
                x = operator(make, x, filters, 1 if repeat else strides, name)
        return x
