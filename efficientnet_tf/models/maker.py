"""What an operator of a network may ask for, whoever answers: a count or a Keras model.

An operator is written once against `Maker`. `Tally` answers with shapes and notes what each layer
costs, without Keras; `keras_maker.KerasMaker` answers with Keras tensors.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.operations import Operation

Padding = str | int  # "same", or so many zeros on each side
Strides = int | tuple[int, int]  # of rows and columns


class Maker(ABC):
    """Makes layers. A map x is whatever the maker makes of it; ask `channels` and `size`."""

    @abstractmethod
    def conv(
        self,
        x: Any,
        filters: int,
        kernel_size: int,
        strides: Strides = 1,
        *,
        name: str,
        padding: Padding = "same",
        use_bias: bool = False,
        groups: int = 1,
    ) -> Any:
        """A convolution with a square kernel, without activation; `norm` is to follow."""

    @abstractmethod
    def depthwise(self, x: Any, kernel_size: int, strides: Strides = 1, *, name: str) -> Any:
        """A depthwise convolution with SAME padding, without activation; `norm` is to follow."""

    @abstractmethod
    def norm(
        self, x: Any, activation: str | None = None, *, name: str, epsilon: float = 1e-3
    ) -> Any:
        """Batch norm of the last convolution's output, then "swish", "relu6", "relu" or none."""

    @abstractmethod
    def activate(self, x: Any, activation: str, *, name: str) -> Any:
        """An activation by itself."""

    @abstractmethod
    def squeeze_excite(self, x: Any, filters: int, *, name: str, activation: str = "swish") -> Any:
        """Squeeze-and-excitation with so many squeezed filters."""

    @abstractmethod
    def stochastic_depth(self, x: Any, survival_prob: float, *, name: str) -> Any:
        """A residual branch, which single examples of a training batch go without."""

    @abstractmethod
    def identity(self, x: Any, *, name: str) -> Any:
        """The map itself, to be found by this name in the Keras model."""

    @abstractmethod
    def max_pool(
        self, x: Any, size: int, strides: int, *, name: str, padding: Padding = "same"
    ) -> Any:
        """The largest of each window; zeros are padded, as behind a relu."""

    @abstractmethod
    def add(self, x: Any, y: Any, *, name: str) -> Any:
        """The sum of two maps of one shape."""

    @abstractmethod
    def shape(self, x: Any) -> tuple[int, int, int]:
        """(height, width, channels)."""

    def channels(self, x: Any) -> int:
        return self.shape(x)[2]


@dataclass(frozen=True)
class TallyMap:
    """A map that is not there: (height, width, channels), and which operation made it, if one."""

    shape: tuple[int, int, int]
    operation: int | None = None


def _output_sides(
    x: TallyMap, size: int, strides: Strides, padding: Padding, name: str
) -> tuple[int, int]:
    """Positions of a window along height and width.

    Raises:
        UsageError: the padded map is smaller than the window.
    """
    rows, columns = (strides, strides) if isinstance(strides, int) else strides
    height, width, _ = x.shape
    if isinstance(padding, str):
        return math.ceil(height / rows), math.ceil(width / columns)
    if min(height, width) + 2 * padding < size:
        raise UsageError(
            f"layer {name}: a map of {min(height, width)} pixels is smaller than the {size}x{size} "
            "window. Give a larger resolution or fewer strides."
        )
    return (height + 2 * padding - size) // rows + 1, (width + 2 * padding - size) // columns + 1


class Tally(Maker):
    """Notes every operation; maps are `TallyMap`.

    Attributes:
        operations: so far, in the order of the forward pass.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def conv(
        self,
        x: Any,
        filters: int,
        kernel_size: int,
        strides: Strides = 1,
        *,
        name: str,
        padding: Padding = "same",
        use_bias: bool = False,
        groups: int = 1,
    ) -> Any:
        channels = x.shape[2]
        if channels % groups or filters % groups:
            raise UsageError(
                f"layer {name}: groups={groups} must divide its {channels} input channels and its "
                f"{filters} filters."
            )
        sides = _output_sides(x, kernel_size, strides, padding, name)
        kernel = (kernel_size, kernel_size, channels // groups, filters)
        return self._note(Operation(name, "conv", kernel, (*sides, filters), use_bias, False))

    def depthwise(self, x: Any, kernel_size: int, strides: Strides = 1, *, name: str) -> Any:
        channels = x.shape[2]
        shape = (*_output_sides(x, kernel_size, strides, "same", name), channels)
        kernel = (kernel_size, kernel_size, channels, 1)
        return self._note(Operation(name, "depthwise", kernel, shape, False, False))

    def dense(self, features: int, units: int, *, name: str) -> None:
        """A matrix product with biases."""
        self.operations.append(Operation(name, "dense", (features, units), (units,), True, False))

    def norm(
        self, x: Any, activation: str | None = None, *, name: str, epsilon: float = 1e-3
    ) -> Any:
        if x.operation is None:  # of a sum or of pooled values, as in pre-activation networks
            self.operations.append(Operation(name, "norm", (0,), x.shape))
        else:
            convolution = self.operations[x.operation]
            self.operations[x.operation] = replace(convolution, has_batch_norm=True)
        return TallyMap(x.shape)

    def activate(self, x: Any, activation: str, *, name: str) -> Any:
        return TallyMap(x.shape)

    def squeeze_excite(self, x: Any, filters: int, *, name: str, activation: str = "swish") -> Any:
        channels = x.shape[2]
        for part, shape in (("reduce", (channels, filters)), ("expand", (filters, channels))):
            operation = Operation(
                f"{name}/{part}", "dense", shape, shape[1:], has_bias=True, has_batch_norm=False
            )
            self.operations.append(operation)
        return TallyMap(x.shape)

    def stochastic_depth(self, x: Any, survival_prob: float, *, name: str) -> Any:
        return TallyMap(x.shape)

    def identity(self, x: Any, *, name: str) -> Any:
        return TallyMap(x.shape)

    def max_pool(
        self, x: Any, size: int, strides: int, *, name: str, padding: Padding = "same"
    ) -> Any:
        return TallyMap((*_output_sides(x, size, strides, padding, name), x.shape[2]))

    def add(self, x: Any, y: Any, *, name: str) -> Any:
        if x.shape != y.shape:
            raise UsageError(f"layer {name}: cannot add maps of shapes {x.shape} and {y.shape}.")
        return TallyMap(x.shape)

    def shape(self, x: Any) -> tuple[int, int, int]:
        return x.shape

    def _note(self, operation: Operation) -> TallyMap:
        self.operations.append(operation)
        height, width, filters = operation.output_shape
        return TallyMap((height, width, filters), len(self.operations) - 1)
