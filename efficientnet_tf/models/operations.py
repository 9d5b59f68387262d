"""One weighted layer as numbers: what it costs, without Keras.

The counting rule is that of golden/params.json, and what the paper calls FLOPS: one multiply-add
for each weight of a convolution at each output position, of a depthwise one likewise, and of a
matrix product. Batch norm, activations, pooling, additions and the SE rescaling are not counted.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

ACTIVATION_BYTES = 4  # of a float32


@dataclass(frozen=True)
class Operation:
    """A convolution, depthwise convolution or matrix product of a network.

    Attributes:
        name: of its layer.
        kind: "conv", "depthwise", "dense", or "norm" for batch norm by itself.
        kernel_shape: [k, k, in, out], [k, k, channels, 1] of a depthwise one, [in, out]; [0] of
            batch norm by itself.
        output_shape: (height, width, filters), or (units,) of a matrix product.
        has_bias: one number for each filter.
        has_batch_norm: behind it: gamma, beta and two moving statistics for each filter.
    """

    name: str
    kind: str
    kernel_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    has_bias: bool = False
    has_batch_norm: bool = True

    @property
    def filters(self) -> int:
        return self.output_shape[-1]

    @property
    def trainable_params(self) -> int:
        per_filter = self.has_bias + 2 * self.has_batch_norm
        return math.prod(self.kernel_shape) + per_filter * self.filters

    @property
    def total_params(self) -> int:
        return self.trainable_params + 2 * self.has_batch_norm * self.filters

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        return math.prod(self.kernel_shape) * math.prod(self.output_shape[:-1])

    @property
    def activations(self) -> int:
        """Numbers in its output for one image."""
        return math.prod(self.output_shape)


@dataclass(frozen=True)
class Counts:
    """Sums over a network.

    Attributes:
        trainable_params: what training can change.
        total_params: moving statistics of batch norm, too.
        multiply_adds: for one image.
        activation_bytes: of the outputs of all operations for one image in float32: what training
            must keep at least. Equation 1 of the paper calls it Memory.
    """

    trainable_params: int
    total_params: int
    multiply_adds: int
    activation_bytes: int


def count(operations: Iterable[Operation]) -> Counts:
    """Adds up the operations of a network."""
    trainable = total = multiply_adds = activations = 0
    for operation in operations:
        trainable += operation.trainable_params
        total += operation.total_params
        multiply_adds += operation.multiply_adds
        activations += operation.activations
    return Counts(trainable, total, multiply_adds, ACTIVATION_BYTES * activations)
