"""EfficientNet-B0 as stages of an operator, so that a hypothesis can change its stem, head and
repeats as it does for the other baselines. Its counts are those of the family (tests).
"""

from typing import Any

from efficientnet_tf.models.maker import Maker
from efficientnet_tf.models.mobilenet import conv_norm_relu6
from efficientnet_tf.models.staged import Operator, Stage, StagedNetwork

_SE_RATIO = 0.25


def mbconv(kernel_size: int, expand_ratio: int) -> Operator:
    """Widen, depthwise, squeeze-and-excitation, narrow; a residual where it fits."""

    def block(make: Maker, inputs: Any, filters: int, strides: int, name: str) -> Any:
        x, channels = inputs, make.channels(inputs)
        if expand_ratio > 1:
            x = make.conv(x, expand_ratio * channels, 1, name=f"{name}_expand_conv")
            x = make.norm(x, "swish", name=f"{name}_expand_bn")
        x = make.depthwise(x, kernel_size, strides, name=f"{name}_dwconv")
        x = make.norm(x, "swish", name=f"{name}_bn")
        x = make.squeeze_excite(x, max(1, int(_SE_RATIO * channels)), name=f"{name}_se")
        x = make.conv(x, filters, 1, name=f"{name}_project_conv")
        x = make.norm(x, name=f"{name}_project_bn")
        if strides == 1 and channels == filters:
            x = make.add(inputs, x, name=f"{name}_add")
        return x

    return block


# The activation of stem and head costs nothing that is counted.
STAGED_B0 = StagedNetwork(
    "efficientnet-b0",
    resolution=224,
    stages=(
        Stage(conv_norm_relu6(3), 1, 32, 2, deepens=False),
        Stage(mbconv(3, 1), 1, 16),
        Stage(mbconv(3, 6), 2, 24, 2),
        Stage(mbconv(5, 6), 2, 40, 2),
        Stage(mbconv(3, 6), 3, 80, 2),
        Stage(mbconv(5, 6), 3, 112),
        Stage(mbconv(5, 6), 4, 192, 2),
        Stage(mbconv(3, 6), 1, 320),
        Stage(conv_norm_relu6(1), 1, 1280, deepens=False),
    ),
)
