"""Keras layers for a network: the other answer to `Maker`, and the whole model.

Layer names are as the operators give them (the family's: `efficientnet.py`), then
`pooled_features`, `top_dropout`, `predictions`.
"""

from collections.abc import Sequence
from typing import Any

import keras

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.initializers import dense_initializer, draw_ahead
from efficientnet_tf.models.layers import (
    ACTIVATIONS,
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    ImageNormalization,
    SqueezeExcitation,
    StochasticDepth,
)
from efficientnet_tf.models.maker import Maker, Padding, Strides
from efficientnet_tf.models.staged import ScaledNetwork


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
        strides: Strides = 1,
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

    def depthwise(self, x: Any, kernel_size: int, strides: Strides = 1, *, name: str) -> Any:
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
        layer = SqueezeExcitation(
            filters,
            activation=activation,
            reduce_initializer=self._kernels[f"{name}/reduce"],
            expand_initializer=self._kernels[f"{name}/expand"],
            dtype=self._dtype,
            name=name,
        )
        return layer(x)

    def stochastic_depth(self, x: Any, survival_prob: float, *, name: str) -> Any:
        return StochasticDepth(survival_prob, dtype=self._dtype, name=name)(x)

    def identity(self, x: Any, *, name: str) -> Any:
        return keras.layers.Identity(dtype=self._dtype, name=name)(x)

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


def _check_arguments(classes: Any, pooling: Any) -> None:
    """Raises a UsageError for what `create_model` does not take, before a layer is made."""
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        raise UsageError(f"classes must be a whole number of at least 1, received {classes!r}.")
    if pooling not in (None, "avg", "max"):
        raise UsageError(f'pooling must be None, "avg" or "max", received {pooling!r}.')


def _image_input(
    input_tensor: Any, input_shape: Sequence[int | None] | None, resolution: int
) -> Any:
    """The Keras tensor of the images: the given one, or a new input of the given shape."""
    if input_shape is None:
        input_shape = (resolution, resolution, 3)
    elif len(input_shape) != 3 or input_shape[-1] != 3:
        raise UsageError(
            "input_shape must be (height, width, 3), images with three colours, received "
            f"{tuple(input_shape)}. Repeat the channel of grey images three times."
        )
    if input_tensor is None:
        return keras.Input(tuple(input_shape), dtype="float32", name="image")
    if not keras.backend.is_keras_tensor(input_tensor):
        raise UsageError(
            "input_tensor must be the output of a Keras layer or keras.Input, received "
            f"{type(input_tensor).__name__}."
        )
    return input_tensor


def build(
    network: ScaledNetwork,
    *,
    classes: int,
    include_top: bool = True,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classifier_activation: str | None = "softmax",
    dtype: Any = None,
    name: str | None = None,
) -> keras.Model:
    """Builds the Keras model of a network; see `create_model` for the arguments."""
    _check_arguments(classes, pooling)
    inputs = _image_input(input_tensor, input_shape, network.resolution)
    shapes = {}  # in the order in which the layers are made
    for each in network.operations(classes)[:-1]:  # without the classifier
        if each.kind == "dense":  # SE keeps its two products as 1x1 convolutions
            shapes[each.name] = (1, 1, *each.kernel_shape)
        elif each.kind != "norm":
            shapes[each.name] = each.kernel_shape
    x = ImageNormalization(network.mean, network.std, name="normalization")(inputs)
    try:
        x = network.features(KerasMaker(shapes, dtype), x)
    except KeyError as error:
        raise UsageError(
            f"network {network.name}: an operator makes layer {error} for Keras alone. Its layers "
            "and their names must not depend on the maker."
        ) from error
    if include_top or pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(dtype=dtype, name="pooled_features")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(dtype=dtype, name="pooled_features")(x)
    if include_top:
        if network.dropout_rate > 0:
            x = Dropout(network.dropout_rate, dtype=dtype, name="top_dropout")(x)
        # In float32 also under a bfloat16 policy: the logits feed the loss.
        computed = keras.dtype_policies.get(dtype).compute_dtype
        x = keras.layers.Dense(
            classes,
            activation=classifier_activation,
            kernel_initializer=dense_initializer(),
            dtype=keras.backend.result_type(computed, "float32"),
            name="predictions",
        )(x)
    if input_tensor is not None:
        sources = keras.utils.get_source_inputs(input_tensor)
        inputs = sources[0] if len(sources) == 1 else sources  # a list would warn at every call
    return keras.Model(inputs, x, name=name or network.name)
