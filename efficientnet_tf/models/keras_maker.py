"""Keras layers for a network said as stages: the other answer to `Maker`.

Layer names are `block2a_conv`, `block2a_bn`, ... as the operators give them, then
`pooled_features`, `top_dropout`, `predictions` as in the family.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.efficientnet import check_arguments, classifier, image_input
from efficientnet_tf.models.initializers import draw_ahead
from efficientnet_tf.models.layers import (
    ACTIVATIONS,
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    ImageNormalization,
    SqueezeExcitation,
)
from efficientnet_tf.models.maker import Maker, Padding
from efficientnet_tf.models.operations import Operation


class KerasMaker(Maker):
    """Makes Keras layers; a map is a Keras tensor.

    Args:
        shapes: of the kernels to come, by name; they are drawn while the layers are made.
        dtype: Keras dtype policy of the layers.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: Any) -> None:
        self._kernels = draw_ahead(shapes)
        self._dtype = dtype

    def conv(
        self,
        x: Any,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        *,
        name: str,
        padding: Padding = "same",
        use_bias: bool = False,
        groups: int = 1,
    ) -> Any:
        x, padding = self._pad(x, padding, name)
        return Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=use_bias,
            groups=groups,
            kernel_initializer=self._kernels[name],
            dtype=self._dtype,
            name=name,
        )(x)

    def depthwise(self, x: Any, kernel_size: int, strides: int = 1, *, name: str) -> Any:
        return DepthwiseConv2D(
            kernel_size,
            strides=strides,
            padding="same",
            use_bias=False,
            depthwise_initializer=self._kernels[name],
            dtype=self._dtype,
            name=name,
        )(x)

    def norm(
        self, x: Any, activation: str | None = None, *, name: str, epsilon: float = 1e-3
    ) -> Any:
        layer = BatchNormalization(
            epsilon=epsilon, activation=activation, dtype=self._dtype, name=name
        )
        return layer(x)

    def activate(self, x: Any, activation: str, *, name: str) -> Any:
        return keras.layers.Activation(ACTIVATIONS[activation], dtype=self._dtype, name=name)(x)

    def squeeze_excite(self, x: Any, filters: int, *, name: str, activation: str = "swish") -> Any:
        layer = SqueezeExcitation(filters, activation=activation, dtype=self._dtype, name=name)
        layer.reduce_initializer = self._kernels[f"{name}/reduce"]
        layer.expand_initializer = self._kernels[f"{name}/expand"]
        return layer(x)

    def max_pool(
        self, x: Any, size: int, strides: int, *, name: str, padding: Padding = "same"
    ) -> Any:
        x, padding = self._pad(x, padding, name)
        return keras.layers.MaxPooling2D(
            size, strides=strides, padding=padding, dtype=self._dtype, name=name
        )(x)

    def add(self, x: Any, y: Any, *, name: str) -> Any:
        return keras.layers.Add(dtype=self._dtype, name=name)([x, y])

    def shape(self, x: Any) -> tuple[int, int, int]:
        return x.shape[1:]

    def _pad(self, x: Any, padding: Padding, name: str) -> tuple[Any, str]:
        """The map with its zeros, and the padding that is left to do."""
        if padding == "same":
            return x, "same"
        layer = keras.layers.ZeroPadding2D(padding, dtype=self._dtype, name=f"{name}_pad")
        return (layer(x) if padding else x), "valid"


def build(
    features: Callable[[Maker, Any], Any],
    operations: Sequence[Operation],
    *,
    resolution: int,
    mean: Sequence[float],
    std: Sequence[float],
    dropout_rate: float,
    classes: int,
    include_top: bool = True,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classifier_activation: str | None = "softmax",
    dtype: Any = None,
    name: str,
) -> keras.Model:
    """Builds a Keras model; see `create_model` for the arguments that are not here.

    Args:
        features: makes everything before the pooling, of a maker and the normalised image.
        operations: what it makes, as a `Tally` counted it.
        mean, std: of the input normalisation.
        dropout_rate: before the classifier.
    """
    check_arguments(classes, pooling)
    inputs = image_input(input_tensor, input_shape, resolution)
    shapes = {each.name: each.kernel_shape for each in operations if each.kind != "norm"}
    for each in operations:  # SE keeps its two products as 1x1 convolutions
        if each.kind == "dense":
            shapes[each.name] = (1, 1, *each.kernel_shape)
    shapes.pop("predictions", None)
    make = KerasMaker(shapes, dtype)
    x = ImageNormalization(mean, std, name="normalization")(inputs)
    try:
        x = features(make, x)
    except KeyError as error:
        raise UsageError(
            f"network {name}: an operator makes layer {error} for Keras alone. Its layers and "
            "their names must not depend on the maker."
        ) from error
    return classifier(
        inputs,
        x,
        classes=classes,
        include_top=include_top,
        input_tensor=input_tensor,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=dropout_rate,
        dtype=dtype,
        name=name,
    )
