"""MobileNetV1 (arXiv 1704.04861) and MobileNetV2 (arXiv 1801.04381): baselines of Table 3.

Differences from keras.applications: filters are rounded to multiples of 8 under any width (there
V1 truncates), depth can be scaled, images are 0..255 and normalised inside, the classifier of V1
is a dense layer (there a 1x1 convolution of the same numbers), batch-norm momentum is 0.99.
"""

from typing import Any

from efficientnet_tf.models.maker import Maker
from efficientnet_tf.models.mbconv import Block, mbconv
from efficientnet_tf.models.staged import Operator, Stage, StagedNetwork


def conv_norm_relu6(kernel_size: int) -> Operator:
    """A convolution, batch norm, relu6."""

    def block(make: Maker, x: Any, filters: int, strides: int, name: str) -> Any:
        x = make.conv(x, filters, kernel_size, strides, name=f"{name}_conv")
        return make.norm(x, "relu6", name=f"{name}_bn")

    return block


def separable(make: Maker, x: Any, filters: int, strides: int, name: str) -> Any:
    """V1's block: a depthwise 3x3 and a 1x1 convolution, each with batch norm and relu6."""
    x = make.depthwise(x, 3, strides, name=f"{name}_dwconv")
    x = make.norm(x, "relu6", name=f"{name}_bn")
    x = make.conv(x, filters, 1, name=f"{name}_project_conv")
    return make.norm(x, "relu6", name=f"{name}_project_bn")


def inverted_residual(expand_ratio: int) -> Operator:
    """V2's block: an MBConv of 3x3 without squeeze-and-excitation."""

    def block(make: Maker, x: Any, filters: int, strides: int, name: str) -> Any:
        channels = make.channels(x)
        numbers = Block(
            name=name,
            kernel_size=3,
            strides=(strides, strides),
            input_filters=channels,
            expanded_filters=expand_ratio * channels,
            output_filters=filters,
            expands=expand_ratio > 1,
            has_residual=strides == 1 and channels == filters,
        )
        return mbconv(make, x, numbers, "relu6")

    return block


MOBILENET_V1 = StagedNetwork(
    "mobilenet-v1",
    resolution=224,
    stages=(
        Stage(conv_norm_relu6(3), 1, 32, 2, deepens=False),
        Stage(separable, 1, 64),
        Stage(separable, 2, 128, 2),
        Stage(separable, 2, 256, 2),
        Stage(separable, 6, 512, 2),
        Stage(separable, 2, 1024, 2),
    ),
    dropout_rate=0.001,
)

MOBILENET_V2 = StagedNetwork(
    "mobilenet-v2",
    resolution=224,
    stages=(
        Stage(conv_norm_relu6(3), 1, 32, 2, deepens=False),
        Stage(inverted_residual(1), 1, 16),
        Stage(inverted_residual(6), 2, 24, 2),
        Stage(inverted_residual(6), 3, 32, 2),
        Stage(inverted_residual(6), 4, 64, 2),
        Stage(inverted_residual(6), 3, 96),
        Stage(inverted_residual(6), 3, 160, 2),
        Stage(inverted_residual(6), 1, 320),
        # Section 3 of 1801.04381: narrow networks keep the width of the head.
        Stage(conv_norm_relu6(1), 1, 1280, deepens=False, width="widened"),
    ),
)
