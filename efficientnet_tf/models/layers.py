"""The Keras layers of the family: normalisation, batch norm, SE, dropout, stochastic depth.

All are backend-neutral (`keras.ops` only) and serialisable. What depends on the replica or the
step comes from `models/engine.py`.

Differences:
- from keras.layers.BatchNormalization: the activation can be applied in the same layer; in
  training the batch variance is E[x^2] - E[x]^2, biased, as on the official TPU path, and moments
  can be averaged over a group of replicas. Sums and moments are never narrower than float32.
- from keras.layers.Dropout: under our training step masks differ between replicas; a frozen layer
  (`trainable=False`) drops nothing, as a frozen batch norm moves nothing.
- from the official code: the input is normalised in float32, also when the network computes in
  bfloat16 (there the constants themselves were rounded, 123.675 to 123.5).
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models import initializers  # no names: it may be half imported (__init__.py)
from efficientnet_tf.models.engine import current_engine, training_kernels

_PACKAGE = "efficientnet_tf"
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "swish": ops.silu,
    "relu6": ops.relu6,
    "relu": ops.relu,
}


def _layer_id(layer: keras.layers.Layer) -> int:
    """A number that depends on the layer's name alone, so that masks survive a restart."""
    return zlib.crc32(layer.name.encode()) & 0x7FFFFFFF


def _check_activation(activation: str | None) -> str | None:
    if activation is not None and activation not in ACTIVATIONS:
        known = ", ".join(f'"{name}"' for name in ACTIVATIONS)
        raise UsageError(f"activation must be one of {known} or None, received {activation!r}.")
    return activation


@keras.saving.register_keras_serializable(package=_PACKAGE)
class ImageNormalization(keras.layers.Layer):
    """(image - mean) / std per channel, in float32, whatever the precision of the network.

    Input: [batch, height, width, 3], values 0..255, float or uint8.
    Output: the same shape, float32.

    Args:
        mean, std: three numbers each, on the scale 0..255.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)

    def call(self, inputs: Any) -> Any:
        mean = ops.convert_to_tensor(self.mean, "float32")
        std = ops.convert_to_tensor(self.std, "float32")
        return (ops.cast(inputs, "float32") - mean) / std

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation over all axes but the last, followed by an optional activation.

    Input and output: [batch, height, width, channels].
    Moving statistics: new = momentum * old + (1 - momentum) * batch, with the biased variance.

    Args:
        momentum: of the moving statistics; 0.99 (paper, section 5.2).
        epsilon: added to the variance; 1e-3.
        activation: "swish", "relu6", "relu" or None.
        frozen_statistics: normalise with the moving statistics in training, too, and leave them
            as they are; scale and shift are trained. `trainable=False` stops those as well.
    """

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        activation: str | None = None,
        frozen_statistics: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.activation = _check_activation(activation)
        self.frozen_statistics = frozen_statistics

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        if not training or not self.trainable or self.frozen_statistics:
            mean = ops.cast(self.moving_mean, wide)
            variance = ops.cast(self.moving_variance, wide)
            return self._activate(self._normalize(inputs, mean, variance), self.activation)
        engine = current_engine()
        kernels = training_kernels(self.compute_dtype)
        averages = engine is not None and engine.averages_moments
        if kernels is not None and (kernels.AVERAGES_MOMENTS or not averages):
            swish = self.activation == "swish"
            y, mean, variance = kernels.batch_norm(
                inputs,
                ops.convert_to_tensor(self.gamma),
                ops.convert_to_tensor(self.beta),
                self.epsilon,
                swish=swish,
            )
            y = self._activate(y, None if swish else self.activation)
        else:
            x = ops.cast(inputs, wide)
            mean = ops.mean(x, axis=(0, 1, 2))
            mean_of_squares = ops.mean(ops.square(x), axis=(0, 1, 2))
            if engine is not None:
                mean, mean_of_squares = engine.average_moments(mean, mean_of_squares)
            variance = mean_of_squares - ops.square(mean)
            y = self._activate(self._normalize(inputs, mean, variance), self.activation)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving - (moving - batch) * (1.0 - self.momentum))
        return y

    def _normalize(self, inputs: Any, mean: Any, variance: Any) -> Any:
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(self.gamma, wide)
        shift = ops.cast(self.beta, wide) - mean * scale
        return ops.cast(ops.cast(inputs, wide) * scale + shift, self.compute_dtype)

    def _activate(self, y: Any, activation: str | None) -> Any:
        return y if activation is None else ACTIVATIONS[activation](y)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation": self.activation,
            "frozen_statistics": self.frozen_statistics,
        }


def _is_plain(layer: Any) -> bool:
    """Whether a convolution is one that the engine's kernels compute."""
    linear = layer.activation in (None, keras.activations.linear)
    return linear and not layer.use_bias and layer.padding == "same"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Conv2D(keras.layers.Conv2D):
    """keras.layers.Conv2D; 1x1 ones take the engine's kernel in training."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        kernels = training_kernels(self.compute_dtype)
        one_by_one = self.kernel_size == (1, 1) and self.strides == (1, 1)
        if training and kernels is not None and one_by_one and _is_plain(self):
            return kernels.pointwise_conv(inputs, ops.convert_to_tensor(self.kernel))
        return super().call(inputs)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """keras.layers.DepthwiseConv2D; takes the engine's kernel in training."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        kernels = training_kernels(self.compute_dtype)
        square = self.strides[0] == self.strides[1]
        if training and kernels is not None and square and _is_plain(self):
            kernel = ops.convert_to_tensor(self.kernel)
            return kernels.depthwise_conv(inputs, kernel, self.strides[0])
        return super().call(inputs)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class SqueezeExcitation(keras.layers.Layer):
    """Rescales channels by a gate computed from their means (arXiv 1709.01507).

    mean over height and width -> 1x1 convolution, bias, activation -> 1x1 convolution, bias,
    sigmoid -> multiply. Input and output: [batch, height, width, channels].

    Args:
        filters: of the squeezed vector. In this family it is counted from the *input* filters of
            the block, not from the expanded ones.
        activation: between the two convolutions: "swish", "relu6" or "relu".
        reduce_initializer, expand_initializer: of the two kernels; None for `FanOutNormal`. They
            are not stored with the layer, whose weights are.
    """

    def __init__(
        self,
        filters: int,
        activation: str = "swish",
        *,
        reduce_initializer: keras.initializers.Initializer | None = None,
        expand_initializer: keras.initializers.Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.activation = _check_activation(activation)
        # Made in any case: each takes a seed, and what a seed gives to the layers behind stays.
        plain = (initializers.FanOutNormal(), initializers.FanOutNormal())
        self.reduce_initializer = reduce_initializer or plain[0]
        self.expand_initializer = expand_initializer or plain[1]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        self.reduce_kernel = self.add_weight(
            shape=(1, 1, channels, self.filters),
            initializer=self.reduce_initializer,
            name="reduce_kernel",
        )
        self.reduce_bias = self.add_weight(
            shape=(self.filters,), initializer="zeros", name="reduce_bias"
        )
        self.expand_kernel = self.add_weight(
            shape=(1, 1, self.filters, channels),
            initializer=self.expand_initializer,
            name="expand_kernel",
        )
        self.expand_bias = self.add_weight(
            shape=(channels,), initializer="zeros", name="expand_bias"
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        weights = [
            ops.convert_to_tensor(weight, self.compute_dtype)
            for weight in (
                ops.reshape(self.reduce_kernel, self.reduce_kernel.shape[2:]),
                self.reduce_bias,
                ops.reshape(self.expand_kernel, self.expand_kernel.shape[2:]),
                self.expand_bias,
            )
        ]
        kernels = training_kernels(self.compute_dtype)
        if training and kernels is not None:
            return kernels.squeeze_excitation(inputs, self._gate, *weights)
        gate = self._gate(ops.mean(inputs, axis=(1, 2)), *weights)
        return inputs * ops.reshape(gate, (-1, 1, 1, inputs.shape[-1]))

    def _gate(
        self, squeezed: Any, reduce_kernel: Any, reduce_bias: Any, expand_kernel: Any, bias: Any
    ) -> Any:
        """[batch, channels] -> [batch, channels], in (0, 1)."""
        hidden = ops.matmul(squeezed, reduce_kernel) + reduce_bias
        if self.activation is not None:
            hidden = ACTIVATIONS[self.activation](hidden)
        return ops.sigmoid(ops.matmul(hidden, expand_kernel) + bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "activation": self.activation}


class _RandomMask(keras.layers.Layer):
    """A layer that draws uniform numbers: from the engine in our training step, else from Keras."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def _uniform(self, shape: Sequence[Any]) -> Any:
        engine = current_engine()
        if engine is not None:
            return engine.uniform(shape, _layer_id(self))
        return keras.random.uniform(shape, seed=self.seed_generator, dtype="float32")

    def _scale_survivors(self, inputs: Any, mask_shape: Sequence[Any], survival: float) -> Any:
        """Inputs / survival where floor(survival + U[0, 1)) is 1, zero where it is 0."""
        mask = ops.cast(ops.floor(survival + self._uniform(mask_shape)), inputs.dtype)
        return inputs / ops.cast(survival, inputs.dtype) * mask

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Dropout(_RandomMask):
    """Sets single inputs to zero with probability `rate` in training, scales the rest up.

    Args:
        rate: in [0, 1).
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not self.trainable or self.rate == 0:
            return inputs
        return self._scale_survivors(inputs, ops.shape(inputs), 1.0 - self.rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class StochasticDepth(_RandomMask):
    """Drops the whole residual branch of single examples in training (arXiv 1603.09382).

    The official code calls it drop connect, with rate 1 - survival_prob.
    Input and output: [batch, height, width, channels].

    Args:
        survival_prob: probability that an example keeps the branch, in (0, 1].
    """

    def __init__(self, survival_prob: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.survival_prob = survival_prob

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not self.trainable or self.survival_prob == 1:
            return inputs
        shape = (ops.shape(inputs)[0], 1, 1, 1)
        return self._scale_survivors(inputs, shape, self.survival_prob)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "survival_prob": self.survival_prob}
