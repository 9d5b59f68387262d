"""Parameters and multiply-adds of a built Keras model, layer by layer.

Counting rule (the one of golden/params.json, and what the paper calls FLOPS): one multiply-add for
each weight of a convolution at each output position, of a depthwise convolution likewise, and of a
matrix product. Batch norm, activations, pooling, additions and the SE rescaling are not counted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.layers import SqueezeExcitation


@dataclass(frozen=True)
class LayerProfile:
    """One layer: its weights and the multiply-adds for one image."""

    name: str
    kind: str
    trainable_params: int
    total_params: int
    multiply_adds: int


@dataclass(frozen=True)
class Profile:
    """Sums over the layers of a model; multiply-adds are for one image.

    Trainable parameters count what training can change, as in the official code: gamma and beta
    of batch norm are in, moving statistics are not, whether or not a layer is frozen.
    """

    layers: tuple[LayerProfile, ...]

    @property
    def trainable_params(self) -> int:
        return sum(layer.trainable_params for layer in self.layers)

    @property
    def total_params(self) -> int:
        return sum(layer.total_params for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)


def _positions(layer: Any) -> int:
    """Output positions of a channels-last convolution: height * width."""
    sides = layer.output.shape[1:-1]
    if any(side is None for side in sides):
        raise UsageError(
            f'layer "{layer.name}" has no fixed output size, shape {layer.output.shape}; build the '
            "model with a full input_shape, for example (224, 224, 3), to count multiply-adds."
        )
    return math.prod(sides)


def _convolution(layer: Any) -> int:
    return math.prod(layer.kernel.shape) * _positions(layer)


def _dense(layer: Any) -> int:
    return math.prod(layer.kernel.shape)


def _squeeze_excitation(layer: Any) -> int:
    return math.prod(layer.reduce_kernel.shape) + math.prod(layer.expand_kernel.shape)


# A depthwise kernel is [k, k, channels, 1]: its weights are applied once at each position, too.
_RULES: tuple[tuple[type, Callable[[Any], int]], ...] = (
    (keras.layers.DepthwiseConv2D, _convolution),
    (keras.layers.Conv2D, _convolution),
    (keras.layers.Dense, _dense),
    (SqueezeExcitation, _squeeze_excitation),
)


def _profile_layer(layer: Any) -> LayerProfile:
    multiply_adds = next((rule(layer) for kind, rule in _RULES if isinstance(layer, kind)), 0)
    moving = [getattr(layer, name, None) for name in ("moving_mean", "moving_variance")]
    not_trainable = {id(weight) for weight in moving if weight is not None}
    sizes = [(math.prod(weight.shape), id(weight)) for weight in layer.weights]
    return LayerProfile(
        name=layer.name,
        kind=type(layer).__name__,
        trainable_params=sum(size for size, key in sizes if key not in not_trainable),
        total_params=sum(size for size, _ in sizes),
        multiply_adds=multiply_adds,
    )


def profile(model: keras.Model) -> Profile:
    """Profiles a built functional model of this package.

    Raises:
        UsageError: the model has no fixed input size.
    """
    return Profile(tuple(_profile_layer(layer) for layer in model.layers))
