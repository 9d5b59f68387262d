"""Keras layers for a network: the other answer to `Maker`, and the whole model.

Layer names are as the operators give them (the family's: `efficientnet.py`), then
`pooled_features`, `top_dropout`, `predictions`.
"""

from collections.abc import Sequence
from typing import Any

import keras

from efficientnet_tf.errors import UsageError, whole_number
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
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.staged import ScaledNetwork

_NORMALIZATION = "normalization"
_MAX_BLOCKS = 400  # Keras gives up far below, and at a thousand only after half a minute
_MAX_PARAMS = 2**32  # 17 GB; the largest published network has 0.5 thousand million


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


def _check_arguments(classes: Any, pooling: Any, activation: Any, include_top: bool) -> int:
    """The number of classes as an int.

    Raises:
        UsageError: what `create_model` does not take, before a layer is made.
    """
    outputs = whole_number(classes)
    if outputs is None:
        raise UsageError(f"classes must be a whole number of at least 1, received {classes!r}.")
    if pooling not in (None, "avg", "max"):
        raise UsageError(f'pooling must be None, "avg" or "max", received {pooling!r}.')
    if keras.config.image_data_format() != "channels_last":
        raise UsageError(
            "these networks read images with channels last, and Keras is set to "
            f'"{keras.config.image_data_format()}".\n'
            'Call keras.config.set_image_data_format("channels_last") before.'
        )
    try:
        function = keras.activations.get(activation)
    except (ValueError, TypeError) as error:
        raise UsageError(
            'classifier_activation must be None or what Keras knows, such as "softmax" and '
            f'"sigmoid", received {activation!r}.'
        ) from error
    of_all = (keras.activations.softmax, keras.activations.log_softmax)
    if include_top and outputs == 1 and function in of_all:
        raise UsageError(
            f"classes=1 with {activation!r} would always answer the same: it divides by the sum "
            "over the classes.\n"
            'Give classes=2, or classifier_activation="sigmoid" (None for the logit).'
        )
    return outputs


def _image_input(
    input_tensor: Any, input_shape: Sequence[int | None] | None, resolution: int
) -> Any:
    """The Keras tensor of the images: the given one, or a new input of the given shape."""
    shape = (resolution, resolution, 3) if input_shape is None else _checked_shape(input_shape)
    if input_tensor is None:
        return keras.Input(shape, dtype="float32", name="image")
    if not keras.backend.is_keras_tensor(input_tensor):
        raise UsageError(
            "input_tensor must be the output of a Keras layer or keras.Input, received "
            f"{type(input_tensor).__name__}."
        )
    kind = keras.backend.standardize_dtype(input_tensor.dtype)
    are_images = len(input_tensor.shape) == 4 and input_tensor.shape[-1] == 3
    if not are_images or not any(number in kind for number in ("int", "float")):
        raise UsageError(
            "input_tensor must be numbers [batch, height, width, 3], images with three colours, "
            f"received {kind} {list(input_tensor.shape)}.\n"
            "Repeat the channel of grey images three times (keras.layers.Concatenate); leave out "
            "a fourth channel."
        )
    return input_tensor


def _checked_shape(input_shape: Any) -> tuple[int | None, int | None, int]:
    """(height, width, 3); raises a UsageError for anything else."""
    try:
        height, width, channels = input_shape
    except (TypeError, ValueError):
        height = width = channels = 0
    sides = tuple(None if side is None else whole_number(side) or 0 for side in (height, width))
    shown = tuple(input_shape) if isinstance(input_shape, (list, tuple)) else repr(input_shape)
    if 0 in sides or whole_number(channels) != 3:
        raise UsageError(
            "input_shape must be (height, width, 3), images with three colours, received "
            f"{shown}. Repeat the channel of grey images three times."
        )
    return sides[0], sides[1], 3


def _names_around(tensor: Any) -> set[str]:
    """Names of the layers that a Keras tensor comes from, and of those that it goes into."""
    around: set[str] = set()
    waiting = [tensor._keras_history.operation]  # Keras has no public name for a graph's neighbours
    while waiting:
        operation = waiting.pop()
        if operation.name not in around:
            around.add(operation.name)
            for node in operation._inbound_nodes:
                waiting += [parent.operation for parent in node.parent_nodes]
            waiting += [node.operation for node in operation._outbound_nodes]
    return around


def stands_beside_another(input_tensor: Any) -> bool:
    """Whether a network of ours is on this tensor already: names of layers occur once in a graph.

    Raises:
        UsageError: no network can be on it.
    """
    return _NORMALIZATION in _names_around(_image_input(input_tensor, None, 1))


def on_tensor(network: keras.Model, input_tensor: Any) -> keras.Model:
    """A model whose one layer is `network`, called on the tensor; the name stays, if it is free."""
    around, own, number = _names_around(input_tensor), network.name, 0
    while network.name in around:
        number += 1
        network.name = f"{own}_{number}"
    return keras.Model(_sources(input_tensor), network(input_tensor), name=own)


def _sources(input_tensor: Any) -> Any:
    sources = keras.utils.get_source_inputs(input_tensor)
    return sources[0] if len(sources) == 1 else sources  # a list would warn at every call


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
    classes = _check_arguments(classes, pooling, classifier_activation, include_top)
    inputs = _image_input(input_tensor, input_shape, network.resolution)
    shapes = {}  # in the order in which the layers are made
    if network.num_blocks > _MAX_BLOCKS:
        raise _too_deep(network)
    operations = network.operations(classes)
    if count(operations).total_params > _MAX_PARAMS:
        raise UsageError(
            f"{network.name} would have {count(operations).total_params:,} parameters, more than "
            f"{_MAX_PARAMS:,}. Give smaller coefficients, block strings or fewer classes."
        )
    for each in operations[:-1]:  # without the classifier
        if each.kind == "dense":  # SE keeps its two products as 1x1 convolutions
            shapes[each.name] = (1, 1, *each.kernel_shape)
        elif each.kind != "norm":
            shapes[each.name] = each.kernel_shape
    x = ImageNormalization(network.mean, network.std, name=_NORMALIZATION)(inputs)
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
        inputs = _sources(input_tensor)
    try:
        return keras.Model(inputs, x, name=name or network.name)
    except RecursionError as error:
        raise _too_deep(network) from error


def _too_deep(network: ScaledNetwork) -> UsageError:
    return UsageError(
        f"{network.name} with {network.num_blocks:,} blocks is deeper than Keras can build: it "
        "follows the layers by recursion.\n"
        "Give a smaller depth_coefficient, or smaller numbers r in the block strings."
    )
