"""The network of the family as a Keras model: stem, blocks and head.

Layer names: `stem_conv`, `stem_bn`, `block2a_expand_conv`, `block2a_expand_bn`,
`block2a_dwconv`, `block2a_bn`, `block2a_se`, `block2a_project_conv`, `block2a_project_bn`,
`block2a_drop`, `block2a_add`, `top_conv`, `top_bn`, `pooled_features`, `top_dropout`,
`predictions`. A `_bn` layer before an activation applies it, too. Endpoints are layers of the
model: `reduction_1` .. `reduction_5` (the last map at strides 2 to 32), `features` (output of the
last block) and `pooled_features` (before dropout), so `model.get_layer("reduction_3").output`
needs no surgery.

Differences from keras.applications: padding is SAME (there: a shifted VALID for strides), the
normalisation divides by the standard deviation (there: by its square root, repaired outside for
ImageNet weights only), the survival ramp counts scaled blocks, initialisers are not truncated,
BN epsilon 1e-3 and momentum 0.99 are stated, not inherited.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import keras

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.architecture import Architecture, Block, convolutions
from efficientnet_tf.models.initializers import dense_initializer, draw_ahead
from efficientnet_tf.models.layers import (
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    ImageNormalization,
    SqueezeExcitation,
    StochasticDepth,
)


class _Builder:
    """Makes the layers of one network, all with the same precision and activation."""

    def __init__(self, architecture: Architecture, dtype: Any) -> None:
        self.activation = architecture.activation
        self.dtype = dtype
        squeezed = {f"{block.name}_dwconv": block.se_filters for block in architecture.blocks}
        shapes = {}  # in the order in which the layers are made
        for one in convolutions(architecture):
            shapes[one.name] = one.kernel_shape
            filters = squeezed.get(one.name, 0)
            if filters:
                name = one.name.removesuffix("_dwconv") + "_se"
                shapes[f"{name}/reduce"] = (1, 1, one.filters, filters)
                shapes[f"{name}/expand"] = (1, 1, filters, one.filters)
        self.kernels = draw_ahead(shapes)

    def conv(self, x: Any, filters: int, kernel: int, strides: tuple[int, int], name: str) -> Any:
        return Conv2D(
            filters,
            kernel,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer=self.kernels[name],
            dtype=self.dtype,
            name=name,
        )(x)

    def depthwise(self, x: Any, block: Block) -> Any:
        name = f"{block.name}_dwconv"
        return DepthwiseConv2D(
            block.kernel_size,
            strides=block.strides,
            padding="same",
            use_bias=False,
            depthwise_initializer=self.kernels[name],
            dtype=self.dtype,
            name=name,
        )(x)

    def norm(self, x: Any, name: str, activate: bool = True) -> Any:
        activation = self.activation if activate else None
        return BatchNormalization(activation=activation, dtype=self.dtype, name=name)(x)

    def expansion(self, x: Any, block: Block) -> Any:
        """Everything up to the projection: expand, filter in space, squeeze and excite."""
        if block.fused and block.expands:
            x = self.conv(
                x,
                block.expanded_filters,
                block.kernel_size,
                block.strides,
                f"{block.name}_expand_conv",
            )
            x = self.norm(x, f"{block.name}_expand_bn")
        elif not block.fused:
            if block.expands:
                x = self.conv(x, block.expanded_filters, 1, (1, 1), f"{block.name}_expand_conv")
                x = self.norm(x, f"{block.name}_expand_bn")
            x = self.depthwise(x, block)
            x = self.norm(x, f"{block.name}_bn")
        if block.se_filters:
            name = f"{block.name}_se"
            layer = SqueezeExcitation(
                block.se_filters, activation=self.activation, dtype=self.dtype, name=name
            )
            layer.reduce_initializer = self.kernels[f"{name}/reduce"]
            layer.expand_initializer = self.kernels[f"{name}/expand"]
            x = layer(x)
        return x

    def block(self, inputs: Any, block: Block) -> Any:
        """One MBConv or fused block, with its residual. [B, H, W, in] -> [B, H', W', out]."""
        x = self.expansion(inputs, block)
        x = self.conv(x, block.output_filters, 1, (1, 1), f"{block.name}_project_conv")
        x = self.norm(x, f"{block.name}_project_bn", activate=False)
        if block.has_residual:
            if block.survival_prob < 1:
                x = StochasticDepth(
                    block.survival_prob, dtype=self.dtype, name=f"{block.name}_drop"
                )(x)
            x = keras.layers.Add(dtype=self.dtype, name=f"{block.name}_add")([inputs, x])
        return x


def _endpoint(x: Any, name: str, dtype: Any) -> Any:
    return keras.layers.Identity(dtype=dtype, name=name)(x)


def _body(x: Any, architecture: Architecture, builder: _Builder) -> Any:
    """Stem and blocks: normalised images -> `features`."""
    x = builder.conv(x, architecture.stem_filters, 3, (2, 2), "stem_conv")
    x = builder.norm(x, "stem_bn")
    reduction = 0
    for position, block in enumerate(architecture.blocks):
        x = builder.block(x, block)
        following = architecture.blocks[position + 1 : position + 2]
        if not following or max(following[0].strides) > 1:
            reduction += 1
            x = _endpoint(x, f"reduction_{reduction}", builder.dtype)
    return _endpoint(x, "features", builder.dtype)


def check_arguments(classes: Any, pooling: Any) -> None:
    """Raises a UsageError for what `create_model` does not take, before anything is built."""
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        raise UsageError(f"classes must be a whole number of at least 1, received {classes!r}.")
    if pooling not in (None, "avg", "max"):
        raise UsageError(f'pooling must be None, "avg" or "max", received {pooling!r}.')


def image_input(
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
    architecture: Architecture,
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
    """Builds the Keras model of an architecture; see `create_model` for the arguments."""
    check_arguments(classes, pooling)
    inputs = image_input(input_tensor, input_shape, architecture.resolution)
    builder = _Builder(architecture, dtype)
    x = ImageNormalization(architecture.mean, architecture.std, name="normalization")(inputs)
    x = _body(x, architecture, builder)
    x = builder.conv(x, architecture.head_filters, 1, (1, 1), "top_conv")
    x = builder.norm(x, "top_bn")
    return classifier(
        inputs,
        x,
        classes=classes,
        include_top=include_top,
        input_tensor=input_tensor,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dropout_rate=architecture.dropout_rate,
        dtype=dtype,
        name=name or architecture.name,
    )


def classifier(
    inputs: Any,
    x: Any,
    *,
    classes: int,
    include_top: bool,
    input_tensor: Any,
    pooling: str | None,
    classifier_activation: str | None,
    dropout_rate: float,
    dtype: Any,
    name: str,
) -> keras.Model:
    """The model that ends in the map x: pooling, dropout and classifier."""
    if include_top or pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(dtype=dtype, name="pooled_features")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(dtype=dtype, name="pooled_features")(x)
    if include_top:
        if dropout_rate > 0:
            x = Dropout(dropout_rate, dtype=dtype, name="top_dropout")(x)
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
    return keras.Model(inputs, x, name=name)


def endpoints(model: keras.Model) -> dict[str, Any]:
    """Symbolic tensors of a model by the official endpoint names.

    `stem`, `block_0` .., `block_0/expansion_output` .. (after SE, before the projection),
    `reduction_1` .. with their `/expansion_output`, `features`, `head_1x1`, and if the model has
    them `pooled_features` and `head`. Use as `keras.Model(model.input, endpoints(model))`.
    """
    found: dict[str, Any] = {}
    block = -1
    for layer in model.layers:
        if layer.name == "stem_bn":
            found["stem"] = layer.output
        elif layer.name.startswith("reduction_"):
            found[layer.name] = layer.output
            found[f"{layer.name}/expansion_output"] = found[f"block_{block}/expansion_output"]
        elif layer.name.endswith("_project_conv"):
            block += 1
            found[f"block_{block}/expansion_output"] = layer.input
        elif layer.name == "top_bn":
            found["head_1x1"] = layer.output
        elif layer.name in ("features", "pooled_features"):
            found[layer.name] = layer.output
        elif layer.name == "predictions":
            found["head"] = layer.output
        if layer.name.endswith(("_project_bn", "_add")):
            found[f"block_{block}"] = layer.output
    return found


def segments(model: keras.Model) -> list[keras.Model]:
    """The model cut where its blocks end: stem and first block, every other, head.

    Called one after another they compute what the model computes. They share its layers, so
    names, variables and what is saved stay as they are. The stem is not by itself, because its
    output is one of the largest maps that pass between blocks.

    Raises:
        UsageError: no block of this family is in the model.
    """
    found = endpoints(model)
    blocks = [found[name] for name in found if name.removeprefix("block_").isdigit()]
    if not blocks:
        raise UsageError(
            f"rematerialise: {model.name} has no blocks to compute again. Use a model of "
            "efficientnet_tf, or switch it off."
        )
    cuts = [model.input, *blocks, model.output]
    return [keras.Model(first, last) for first, last in itertools.pairwise(cuts)]
