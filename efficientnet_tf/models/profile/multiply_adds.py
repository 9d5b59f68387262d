"""What one call of a layer or operation costs in multiply-adds: a rule for each kind.

The counting rule is that of golden/params.json, and what the paper calls FLOPS: one multiply-add
for each weight of a convolution at each output position, of a depthwise one likewise, and of a
matrix product. Batch norm, activations, pooling, additions, biases and the SE rescaling are not
counted. A transposed convolution applies each weight at each *input* position. Products with the
zeros of a padding count, as in the papers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from efficientnet_tf.models.layers import (
    Dropout,
    ImageNormalization,
    SqueezeExcitation,
    StochasticDepth,
)
from efficientnet_tf.models.profile.layer_calls import has_keras_call

# Fully; but for bare operations in its own Python code; not, though it may multiply matrices.
COUNTED, OPAQUE, UNCOUNTED = "counted", "opaque", "uncounted"

# (layer, positional arguments, keyword arguments, outputs), tensors as KerasTensors of full shape.
Rule = Callable[[Any, Sequence[Any], Mapping[str, Any], Any], int]


def _positions(layer: Any, tensor: Any) -> int:
    """Positions of a map, and images: all sides of the tensor but its channels."""
    channels = 1 if layer.data_format == "channels_first" else len(tensor.shape) - 1
    return math.prod(side for axis, side in enumerate(tensor.shape) if axis != channels)


def _size(weight: Any) -> int:
    return math.prod(weight.shape)


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs[name]


def _convolution(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    # Also grouped, [k, k, channels / groups, filters], and depthwise, [k, k, channels, multiplier].
    return _size(layer.kernel) * _positions(layer, output)


def _separable(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    kernels = _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel)
    return kernels * _positions(layer, output)


def _transposed(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    return _size(layer.kernel) * _positions(layer, _argument(args, kwargs, 0, "inputs"))


def _dense(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    return _size(layer.kernel) * math.prod(output.shape[:-1])


def _einsum_dense(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    inputs, kernel = layer.equation.split("->")[0].split(",")
    shared = [
        side
        for label, side in zip(kernel.strip(), layer.kernel.shape, strict=True)
        if label in inputs
    ]
    numbers = math.prod(_argument(args, kwargs, 0, "inputs").shape)
    return _size(layer.kernel) * numbers // math.prod(shared)


def _excitation(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    return (_size(layer.reduce_kernel) + _size(layer.expand_kernel)) * output.shape[0]


def _attention(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    """Query times key and weights times value; the projections are layers of their own."""
    query, value = _argument(args, kwargs, 0, "query"), _argument(args, kwargs, 1, "value")
    config = layer.get_config()
    axes = config["attention_axes"] or range(1, len(value.shape) - 1)
    attended = math.prod(value.shape[axis] for axis in axes)
    numbers = config["key_dim"] + (config["value_dim"] or config["key_dim"])
    return math.prod(query.shape[:-1]) * attended * config["num_heads"] * numbers


def _matmul(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    return math.prod(output.shape) * _argument(args, kwargs, 0, "x1").shape[-1]


# A layer of these kinds is counted as a whole; layers inside it, an activation, are part of it.
_layers = keras.layers
_RULES: tuple[tuple[tuple[type, ...], Rule], ...] = (
    ((_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose), _transposed),
    ((_layers.SeparableConv1D, _layers.SeparableConv2D), _separable),
    ((_layers.DepthwiseConv1D, _layers.DepthwiseConv2D), _convolution),
    ((_layers.Conv1D, _layers.Conv2D, _layers.Conv3D), _convolution),
    ((_layers.Dense,), _dense),
    ((_layers.EinsumDense,), _einsum_dense),
    ((SqueezeExcitation,), _excitation),
)
# Their call runs a layer inside for each time step, which a count of its calls would miss.
_CLOSED = (_layers.RNN, _layers.TimeDistributed)
# Layers with weights and none of the products that are counted.
_WITHOUT_PRODUCTS = (
    _layers.BatchNormalization,
    _layers.Embedding,
    _layers.GroupNormalization,
    _layers.LayerNormalization,
    _layers.Normalization,
    _layers.PReLU,
    _layers.RMSNormalization,
)
_OURS = (Dropout, ImageNormalization, StochasticDepth)
# Layers and operations of Keras that multiply matrices in ways not counted here.
_PRODUCTS_WITHOUT_RULE = (
    "AdditiveAttention",
    "Attention",
    "Conv",
    "ConvTranspose",
    "DepthwiseConv",
    "Dot",
    "DotProductAttention",
    "Einsum",
    "GroupedQueryAttention",
    "Inner",
    "Outer",
    "ReversibleEmbedding",
    "SeparableConv",
    "TFSMLayer",
    "Tensordot",
    "Vdot",
)


def rule_of(operation: Any) -> Rule | None:
    """The rule for a layer that is counted as a whole, or for an operation; None without one."""
    if type(operation).__name__ == "Matmul" and not isinstance(operation, keras.Layer):
        return _matmul
    return next((rule for kinds, rule in _RULES if isinstance(operation, kinds)), None)


def own_rule_of(layer: Any) -> Rule | None:
    """The rule for what a layer computes besides the layers inside it."""
    return _attention if isinstance(layer, _layers.MultiHeadAttention) else None


def is_closed(operation: Any) -> bool:
    """Whether the layers inside are not to be counted one by one."""
    return rule_of(operation) is not None or isinstance(operation, _CLOSED)


def coverage(operation: Any, opened: bool, has_weights: bool) -> str:
    """How far the rules cover a layer: COUNTED, OPAQUE or UNCOUNTED.

    Args:
        operation: a layer, or an operation of a functional graph.
        opened: the layers inside it are counted one by one.
        has_weights: of its own.
    """
    if type(operation).__name__ in _PRODUCTS_WITHOUT_RULE:
        return UNCOUNTED
    rule = own_rule_of(operation) if opened else rule_of(operation)
    if rule or isinstance(operation, _WITHOUT_PRODUCTS):
        return COUNTED
    if has_weights or isinstance(operation, _CLOSED):
        return UNCOUNTED
    own_code = not has_keras_call(operation) and not isinstance(operation, _OURS)
    return OPAQUE if own_code else COUNTED
