"""Faster training kernels of the MBConv block for TensorFlow on a CPU, same mathematics.

A profile of the B0 step on a CPU shows where its time goes: batch norm and swish are several
passes over large tensors, and the depthwise gradients run in slow kernels. Here oneDNN's fused
batch norm does all per-channel sums at memory bandwidth; XLA turns the elementwise part of each
backward pass into one pass (it is kept away from sums, which it does slowly); the depthwise
gradients are put so that the fast oneDNN kernels apply. Layers get them through
`Engine.kernels`; GPUs and TPUs use the plain layers. Everything is float32, [batch, H, W, C].
`scripts/bench_train.py` measures the effect.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.machine.startup import stderr_held_back

DTYPES = ("float32",)
AVERAGES_MOMENTS = False


def _fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """An elementwise function compiled to one pass over its inputs."""
    return tf.function(function, jit_compile=True, autograph=False)


@functools.cache
def are_available() -> bool:
    """Whether this TensorFlow has XLA for the CPU, which tensorflow-tpu has not.

    Asked before the first step also because TensorFlow 2.19 logs its first compilation.
    """
    try:
        with stderr_held_back():
            tf.function(lambda: tf.constant(1.0) + 1.0, jit_compile=True)()
    except tf.errors.OpError:
        return False
    return True


def _tensor(weight: Any) -> tf.Tensor:
    """The value of a variable: functions with gradients of their own must not see variables."""
    return tf.convert_to_tensor(weight)


@_fused
def _swish_gradient(dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Of swish(x * scale + shift) with respect to the argument of swish."""
    z = x * scale + shift
    gate = tf.sigmoid(z)
    return dy * gate * (1.0 + z * (1.0 - gate))


def batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, *, swish: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Batch norm with the moments of the batch, and swish if asked for.

    Returns:
        The output, and mean and *biased* variance [C] without gradients.
    """

    @tf.custom_gradient
    def run(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        z, mean, unbiased, *saved = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=[],
            variance=[],
            epsilon=epsilon,
            exponential_avg_factor=1.0,
            is_training=True,
        )
        count = tf.cast(tf.size(x) // tf.size(gamma), tf.float32)
        variance = unbiased * (tf.maximum(count - 1.0, 1.0) / count)
        # Written out, because the graph optimiser makes one oneDNN kernel of this form.
        y = z * tf.sigmoid(z) if swish else z

        def gradient(dy: tf.Tensor, *_: Any) -> Any:
            if swish:
                scale = gamma * tf.math.rsqrt(variance + epsilon)
                dy = _swish_gradient(dy, x, scale, beta - mean * scale)
            return tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=dy,
                x=x,
                scale=gamma,
                reserve_space_1=saved[0],
                reserve_space_2=saved[1],
                reserve_space_3=saved[2],
                epsilon=epsilon,
                is_training=True,
            )[:3]

        return (y, mean, variance), gradient

    y, mean, variance = run(x, _tensor(gamma), _tensor(beta))
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance)


@_fused
def _gate_products(dy: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """dy * x, added up over up to 14 blocks of positions: [batch, positions / blocks, C]."""
    positions, channels = x.shape[1] * x.shape[2], x.shape[3]
    blocks = max(count for count in range(1, 15) if positions % count == 0)
    shape = [-1, blocks, positions // blocks, channels]
    dy, x = tf.reshape(dy, shape), tf.reshape(x, shape)
    total = dy[:, 0] * x[:, 0]
    for block in range(1, blocks):
        total += dy[:, block] * x[:, block]
    return total


@_fused
def _gated_gradient(dy: tf.Tensor, gate: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    return dy * gate + shift


def squeeze_excitation(x: tf.Tensor, gate_of: Callable[..., tf.Tensor], *weights: Any) -> tf.Tensor:
    """x * gate_of(mean of x over height and width, *weights), with one backward pass over x.

    Args:
        gate_of: from [batch, C] and the weights to the gate [batch, C].
    """
    height, width, channels = x.shape[1:]

    @tf.custom_gradient
    def run(x: tf.Tensor, *weights: tf.Tensor) -> Any:
        pooled = tf.nn.avg_pool2d(x, [height, width], 1, "VALID")
        squeezed = tf.reshape(pooled, [-1, channels])
        wide = tf.reshape(gate_of(squeezed, *weights), [-1, 1, 1, channels])

        def gradient(dy: tf.Tensor) -> Any:
            with tf.GradientTape() as tape:  # once more: it is small
                tape.watch([squeezed, *weights])
                gate = gate_of(squeezed, *weights)
            d_gate = tf.reduce_sum(_gate_products(dy, x), axis=1)
            d_squeezed, *d_weights = tape.gradient(gate, [squeezed, *weights], d_gate)
            shift = tf.reshape(d_squeezed / (height * width), [-1, 1, 1, channels])
            return _gated_gradient(dy, wide, shift), *d_weights

        return x * wide, gradient

    return run(x, *map(_tensor, weights))


def _padding_before(size: int, outputs: int, kernel: int, stride: int) -> int:
    """Of TensorFlow's SAME rule along one axis."""
    return max((outputs - 1) * stride + kernel - size, 0) // 2


def _filter_gradient(
    x: tf.Tensor, dy: tf.Tensor, size: int, stride: int, first: int, last: int
) -> tf.Tensor:
    """Gradient of the kernel's columns first .. last - 1, [size, last - first, C, 1].

    x is cut and padded here, because explicit padding would not take oneDNN's kernel.
    """
    height, width = x.shape[1:3]
    top = _padding_before(height, dy.shape[1], size, stride)
    bottom = (dy.shape[1] - 1) * stride + size - height - top
    low = first - _padding_before(width, dy.shape[2], size, stride)
    high = low + (dy.shape[2] - 1) * stride + last - first
    x = tf.pad(
        x[:, : height + min(bottom, 0), max(low, 0) : high, :],
        [[0, 0], [top, max(bottom, 0)], [max(-low, 0), max(high - width, 0)], [0, 0]],
    )
    return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=x,
        filter_sizes=[size, last - first, x.shape[3], 1],
        out_backprop=dy,
        strides=[1, stride, stride, 1],
        padding="VALID",
    )


def depthwise_conv(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """SAME depthwise convolution with kernel [k, k, C, 1].

    With stride 1 the gradient of the input is a forward convolution with the kernel turned round.
    oneDNN's fast filter gradient takes at most three columns, so wider kernels go in parts.
    """
    size = kernel.shape[0]
    strides = [1, stride, stride, 1]

    @tf.custom_gradient
    def run(x: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(dy: tf.Tensor) -> Any:
            if stride == 1 and size % 2:
                dx = tf.nn.depthwise_conv2d(dy, tf.reverse(kernel, [0, 1]), strides, "SAME")
            else:
                dx = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                    input_sizes=tf.shape(x),
                    filter=kernel,
                    out_backprop=dy,
                    strides=strides,
                    padding="SAME",
                )
            if size > 3 and x.shape[2] >= size:
                columns = [
                    _filter_gradient(x, dy, size, stride, first, min(first + 3, size))
                    for first in range(0, size, 3)
                ]
                return dx, tf.concat(columns, axis=1)
            d_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x,
                filter_sizes=kernel.shape,
                out_backprop=dy,
                strides=strides,
                padding="SAME",
            )
            return dx, d_kernel

        return tf.nn.depthwise_conv2d(x, kernel, strides, "SAME"), gradient

    return run(x, _tensor(kernel))


def pointwise_conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """1x1 convolution with kernel [1, 1, C, D] as a matrix product: its gradients are faster."""
    channels, filters = kernel.shape[2:]
    rows = tf.reshape(x, [-1, channels])
    y = tf.matmul(rows, tf.reshape(_tensor(kernel), [channels, filters]))
    return tf.reshape(y, [-1, *x.shape[1:3], filters])
