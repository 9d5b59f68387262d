"""ResNet-50 (arXiv 1512.03385), a baseline of Table 3.

Differences from keras.applications: width, depth and resolution can be scaled, images are 0..255
and normalised inside, batch-norm momentum is 0.99 and moments are biased.
`RESNET_50` is version 1, with the strides in the first 1x1 convolution of a block; `RESNET_50_V15`
has them in the 3x3 one, as most reimplementations do, for 6 % more multiply-adds.
"""

from typing import Any

from efficientnet_tf.models.maker import Maker
from efficientnet_tf.models.staged import Operator, Stage, StagedNetwork

EPSILON = 1.001e-5  # as in keras.applications
_WIDENS = 4


def stem(make: Maker, x: Any, filters: int, strides: int, name: str) -> Any:
    """7x7 convolution, batch norm, relu."""
    x = make.conv(x, filters, 7, strides, padding=3, use_bias=True, name=f"{name}_conv")
    return make.norm(x, "relu", epsilon=EPSILON, name=f"{name}_bn")


def pool(make: Maker, x: Any, filters: int, strides: int, name: str) -> Any:
    """3x3 maximum; it has no filters of its own."""
    return make.max_pool(x, 3, strides, padding=1, name=f"{name}_pool")


def bottleneck(strides_in_3x3: bool) -> Operator:
    """1x1, 3x3 and 1x1 convolution to four times the filters, and a shortcut."""

    def block(make: Maker, inputs: Any, filters: int, strides: int, name: str) -> Any:
        first, second = (1, strides) if strides_in_3x3 else (strides, 1)
        x = make.conv(inputs, filters, 1, first, use_bias=True, name=f"{name}_conv1")
        x = make.norm(x, "relu", epsilon=EPSILON, name=f"{name}_bn1")
        x = make.conv(x, filters, 3, second, use_bias=True, name=f"{name}_conv2")
        x = make.norm(x, "relu", epsilon=EPSILON, name=f"{name}_bn2")
        x = make.conv(x, _WIDENS * filters, 1, use_bias=True, name=f"{name}_conv3")
        x = make.norm(x, epsilon=EPSILON, name=f"{name}_bn3")
        shortcut = inputs
        if strides > 1 or make.channels(inputs) != _WIDENS * filters:
            shortcut = make.conv(
                inputs, _WIDENS * filters, 1, strides, use_bias=True, name=f"{name}_shortcut_conv"
            )
            shortcut = make.norm(shortcut, epsilon=EPSILON, name=f"{name}_shortcut_bn")
        x = make.add(shortcut, x, name=f"{name}_add")
        return make.activate(x, "relu", name=f"{name}_relu")

    return block


def _resnet_50(name: str, strides_in_3x3: bool) -> StagedNetwork:
    block = bottleneck(strides_in_3x3)
    return StagedNetwork(
        name,
        resolution=224,
        stages=(
            Stage(stem, 1, 64, 2, deepens=False),
            Stage(pool, 1, 64, 2, deepens=False),
            Stage(block, 3, 64),
            Stage(block, 4, 128, 2),
            Stage(block, 6, 256, 2),
            Stage(block, 3, 512, 2),
        ),
    )


RESNET_50 = _resnet_50("resnet-50", strides_in_3x3=False)
RESNET_50_V15 = _resnet_50("resnet-50-v1.5", strides_in_3x3=True)
