"""A network made ready to serve: batch norm inside the convolutions, Keras' own layers only.

At inference batch normalisation is one factor and one offset for each channel, which the
convolution before it can apply. What is left of this package's layers is written with Keras'
own, so that any exporter knows them. Computed in float64, once.

Differences from the network: the last bits of its answers; it is not for training.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.layers import (
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    ImageNormalization,
    SqueezeExcitation,
    StochasticDepth,
)

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
# Layers that do nothing at inference.
_TRAINING_ONLY = (Dropout, StochasticDepth, keras.layers.Dropout)
_REWRITTEN = (
    *_TRAINING_ONLY,
    BatchNormalization,
    ImageNormalization,
    SqueezeExcitation,
    keras.layers.Normalization,
)


def fold(model: keras.Model, dtype: str = "float32") -> keras.Model:
    """A new model with the same answers and inputs, without batch norm after convolutions.

    Args:
        model: functional, of this package or of Keras; it is left as it is.
        dtype: of weights and computation: "float32", "bfloat16" or "float16". Images are read and
            classifiers computed in float32 in any case.

    Returns:
        A functional model whose layers are all Keras' own if those of `model` are Keras' or ours.

    Raises:
        UsageError: not a functional model.
    """
    if not hasattr(model, "operations"):
        raise UsageError(f"fold takes a functional model, received {type(model).__name__}.")
    return _Folding(model, dtype).model


class _Folding:
    """Clones a model; afterwards `model` has the weights, too."""

    def __init__(self, model: keras.Model, dtype: str) -> None:
        self._old = {layer.name: layer for layer in model.layers}
        self._dtype = dtype
        self._norm_of = _norms_after_convolutions(model)
        self._absorbed = {norm.name for norm in self._norm_of.values()}
        self._scale_of = _scales_into_convolutions(model)
        self._weights: list[tuple[Any, list[np.ndarray]]] = []
        self.model = keras.models.clone_model(
            model, clone_function=self._clone, call_function=self._call
        )
        for layer, weights in self._weights:
            layer.set_weights(weights)

    def _clone(self, layer: Any) -> Any:
        if layer.name in self._absorbed or isinstance(layer, _REWRITTEN):
            return keras.layers.Identity(name=layer.name)  # stands there until _call
        config = layer.get_config()
        if not isinstance(layer, keras.Layer):  # an operation such as x + 3
            return type(layer).from_config(config)
        if not isinstance(layer, keras.layers.InputLayer | keras.layers.Dense):
            config["dtype"] = self._dtype
        if layer.name not in self._norm_of:
            new = _plain_kind(layer).from_config(config)
            if layer.weights:
                self._weights.append((new, layer.get_weights()))
            return new
        norm = self._norm_of[layer.name]
        activation = getattr(norm, "activation", None)
        config.update(use_bias=True, activation=_keras_name(activation))
        new = _plain_kind(layer).from_config(config)
        self._weights.append(
            (new, _folded_weights(layer, norm, self._scale_of.get(layer.name, np.ones(1))))
        )
        return new

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        old = self._old.get(layer.name)  # None for operations that are no layers
        if layer.name in self._absorbed or isinstance(old, _TRAINING_ONLY):
            return args[0]
        if isinstance(old, BatchNormalization):
            return self._unfolded_norm(old, args[0])
        if isinstance(old, SqueezeExcitation):
            return self._squeeze_excitation(old, args[0])
        if isinstance(old, ImageNormalization):
            return self._normalization(old, args[0])
        if isinstance(old, keras.layers.Normalization):
            return _keras_normalization(old, args[0])
        return layer(*args, **kwargs)

    def _unfolded_norm(self, old: BatchNormalization, x: Any) -> Any:
        """One that follows no convolution; its activation becomes a layer."""
        norm = keras.layers.BatchNormalization(
            momentum=old.momentum, epsilon=old.epsilon, dtype=self._dtype, name=old.name
        )
        x = norm(x)
        self._weights.append((norm, old.get_weights()))
        if old.activation is None:
            return x
        activation = _keras_name(old.activation)
        return keras.layers.Activation(
            activation, dtype=self._dtype, name=f"{old.name}_activation"
        )(x)

    def _squeeze_excitation(self, old: SqueezeExcitation, x: Any) -> Any:
        """As dense layers, which runtimes compute faster than 1x1 convolutions of one pixel."""
        name, channels = old.name, x.shape[-1]
        activation = _keras_name(old.activation)
        squeeze = keras.layers.GlobalAveragePooling2D(dtype=self._dtype, name=f"{name}_squeeze")
        reduce = keras.layers.Dense(
            old.filters, activation, dtype=self._dtype, name=f"{name}_reduce"
        )
        expand = keras.layers.Dense(channels, "sigmoid", dtype=self._dtype, name=f"{name}_expand")
        reshape = keras.layers.Reshape((1, 1, channels), dtype=self._dtype, name=f"{name}_reshape")
        kernel, bias, other_kernel, other_bias = old.get_weights()
        self._weights.append((reduce, [kernel[0, 0], bias]))
        self._weights.append((expand, [other_kernel[0, 0], other_bias]))
        gate = reshape(expand(reduce(squeeze(x))))
        return keras.layers.Multiply(dtype=self._dtype, name=f"{name}_excite")([x, gate])

    def _normalization(self, old: ImageNormalization, x: Any) -> Any:
        """The means here; the deviations too, unless the convolution behind has taken them."""
        taken = any(name in self._scale_of for name in self._old)
        scale = np.ones(3) if taken else 1 / np.array(old.std)
        return _rescale(x, scale, -np.array(old.mean) * scale, old.name)


def _rescale(x: Any, scale: np.ndarray, offset: np.ndarray, name: str) -> Any:
    """x * scale + offset by channel, over whole rows: a loop over three channels is slow."""
    _, height, width, channels = x.shape
    if height is None or width is None or len(scale) != channels:
        return keras.layers.Rescaling(
            scale.tolist(), offset=offset.tolist(), dtype="float32", name=name
        )(x)
    rows = keras.layers.Reshape((height, width * channels), dtype="float32", name=f"{name}_rows")
    images = keras.layers.Reshape(x.shape[1:], dtype="float32", name=f"{name}_images")
    rescale = keras.layers.Rescaling(
        np.tile(scale, width).tolist(),
        offset=np.tile(offset, width).tolist(),
        dtype="float32",
        name=name,
    )
    return images(rescale(rows(x)))


def _keras_normalization(old: Any, x: Any) -> Any:
    """Keras' layer keeps its statistics in tensors that no exporter takes for weights."""
    mean, variance = (np.asarray(value, np.float64).ravel() for value in (old.mean, old.variance))
    scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    return _rescale(x, scale, -mean * scale, old.name)


def _keras_name(activation: Any) -> Any:
    return "silu" if activation == "swish" else activation


def _plain_kind(layer: Any) -> Any:
    """Keras' own class for a convolution of ours."""
    if isinstance(layer, DepthwiseConv2D):
        return keras.layers.DepthwiseConv2D
    return keras.layers.Conv2D if isinstance(layer, Conv2D) else type(layer)


def _producer(layer: Any) -> Any:
    """The layer whose output is the only input of a layer that is called once, or None."""
    inputs = layer.input if len(layer._inbound_nodes) == 1 else None
    return None if inputs is None or isinstance(inputs, list) else inputs._keras_history.operation


def _consumers(model: keras.Model) -> Mapping[str, int]:
    """How often the output of a layer is used, as an output of the model too."""
    uses = dict.fromkeys((layer.name for layer in model.layers), 0)
    for operation in model.operations:
        for node in operation._inbound_nodes:
            for tensor in node.input_tensors:
                name = tensor._keras_history.operation.name
                uses[name] = uses.get(name, 0) + 1
    for tensor in keras.tree.flatten(model.outputs):
        uses[tensor._keras_history.operation.name] += 1
    return uses


def _norms_after_convolutions(model: keras.Model) -> dict[str, Any]:
    """By name of a convolution: the batch norm that alone reads it, and that it can take over."""
    uses = _consumers(model)
    found = {}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        producer = _producer(layer)
        linear = getattr(producer, "activation", None) in (None, keras.activations.linear)
        last = layer.axis in (-1, 3)
        if isinstance(producer, _CONVOLUTIONS) and linear and last and uses[producer.name] == 1:
            found[producer.name] = layer
    return found


def _scales_into_convolutions(model: keras.Model) -> dict[str, np.ndarray]:
    """By name of a convolution: the deviations of the image channels that it can divide by.

    Its means it cannot take: beside the image it reads zeros, which stand for the mean colour.
    """
    uses = _consumers(model)
    for layer in model.layers:
        producer = _producer(layer) if isinstance(layer, keras.layers.Conv2D) else None
        if isinstance(producer, ImageNormalization) and uses[producer.name] == 1:
            return {layer.name: 1 / np.array(producer.std, np.float64)}
    return {}


def _folded_weights(layer: Any, norm: Any, scale: np.ndarray) -> list[np.ndarray]:
    """[kernel, bias] of a convolution that does what it and its batch norm did, in float32.

    `scale` multiplies the input channels.
    """
    kernel, *biases = (weight.astype(np.float64) for weight in layer.get_weights())
    mean = norm.moving_mean.numpy().astype(np.float64)
    factor = 1 / np.sqrt(norm.moving_variance.numpy().astype(np.float64) + norm.epsilon)
    if norm.gamma is not None:
        factor = factor * norm.gamma.numpy()
    offset = 0.0 if norm.beta is None else norm.beta.numpy()
    bias = ((biases[0] if biases else 0.0) - mean) * factor + offset
    kernel = kernel * scale[:, np.newaxis]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = kernel * factor.reshape(kernel.shape[2:])
    else:
        kernel = kernel * factor
    return [kernel.astype(np.float32), bias.astype(np.float32)]
