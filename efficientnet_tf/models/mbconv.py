"""MBConv and its fused form as operators: said once, counted by a `Tally`, built by Keras."""

from dataclasses import dataclass
from typing import Any

from efficientnet_tf.models.maker import Maker


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
    has_residual: bool
    se_filters: int = 0
    fused: bool = False
    survival_prob: float = 1.0


def mbconv(make: Maker, inputs: Any, block: Block, activation: str) -> Any:
    """Widen, filter in space, squeeze and excite, narrow; a residual. [H, W, in] -> [H', W', out].

    The fused form widens and filters in one full convolution, where it widens at all.
    """
    x, name = inputs, block.name
    if block.expands:
        kernel_size, strides = (block.kernel_size, block.strides) if block.fused else (1, (1, 1))
        x = make.conv(x, block.expanded_filters, kernel_size, strides, name=f"{name}_expand_conv")
        x = make.norm(x, activation, name=f"{name}_expand_bn")
    if not block.fused:
        x = make.depthwise(x, block.kernel_size, block.strides, name=f"{name}_dwconv")
        x = make.norm(x, activation, name=f"{name}_bn")
    if block.se_filters:
        x = make.squeeze_excite(x, block.se_filters, activation=activation, name=f"{name}_se")
    x = make.conv(x, block.output_filters, 1, name=f"{name}_project_conv")
    x = make.norm(x, name=f"{name}_project_bn")
    if block.has_residual:
        if block.survival_prob < 1:
            x = make.stochastic_depth(x, block.survival_prob, name=f"{name}_drop")
        x = make.add(inputs, x, name=f"{name}_add")
    return x
