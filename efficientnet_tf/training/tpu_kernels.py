"""Training kernels of the MBConv block for XLA on a TPU: same mathematics, fewer trips to memory.

A step on a TPU waits for memory, and XLA already fuses elementwise arithmetic into the
convolutions around it. What it cannot do is algebra. Two identities save passes over the widest
maps; `scripts/bench_tpu_compile.py` measures them, docs/tpu.md has the figures:

1. The gradient of batch norm is `scale * dz + constant + factor * x` with factors per channel, and
   behind a widening 1x1 convolution x is `u @ w`. What the convolution's gradients need of x is
   therefore `u @ (w factor w^T)` and `(u^T u) w factor`: they read the narrow u, not the wide x.
2. Behind batch norm and swish, squeeze-and-excitation adds to dz a term that is constant over a
   map. Both sums over dz that batch norm's gradient needs are then made of sums over single maps,
   and all of those are taken in one pass together with the gradient of the gate.

The first reads u more often than XLA would compute it again, so it would be kept from the forward
pass on; the gradient therefore makes it anew from the maps that are kept anyway.

Sums are float32 whatever the maps are; what is rounded to the type of the maps is what is stored:
the outputs and `scale * dz`. All maps are [batch, height, width, channels], of static shape.
Layers get them through `Engine.kernels`. They are for graphs that XLA compiles, on `CHIPS`.

A kernel knows the one before it by a note on the tensor between them, as Keras leaves its masks.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops  # its barrier has no public name

from efficientnet_tf.models.engine import current_engine

# Where the TPU compiler counts fewer bytes and no more memory than with the plain layers. On v3, v4
# and v6e it does not (docs/tpu.md); v2 and v5p were not compared.
CHIPS = ("v5e",)
DTYPES = ("float32", "bfloat16")
AVERAGES_MOMENTS = True

# Cheap operations whose result no program needs to keep.
_ELEMENTWISE: dict[str, Callable[..., tf.Tensor]] = {
    "AddV2": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "RealDiv": operator.truediv,
    "Cast": tf.cast,
}
# Of the batch, along which a TPU lays out the maps if it fills the lanes of its registers. Else the
# channels lie there, and a narrow map is padded to the size of a wide one: nothing to save.
LANES = 128
_KEPT_EVERY = 3  # residual additions; else the last block of a stage would read all before it

_CONVOLUTION = "_efficientnet_convolution"
_NORMALIZATION = "_efficientnet_normalization"


def _float(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x, tf.float32)


def _wide(x: tf.Tensor) -> tf.Tensor:
    """[batch, C] -> [batch, 1, 1, C], float32."""
    return _float(x)[:, tf.newaxis, tf.newaxis]


def _sum(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(x, [0, 1, 2])


def _mean(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(x, [0, 1, 2])


def _swish(z: tf.Tensor) -> tf.Tensor:
    return z * tf.sigmoid(z)


def _swish_slope(z: tf.Tensor) -> tf.Tensor:
    gate = tf.sigmoid(z)
    return gate * (1.0 + z * (1.0 - gate))


@dataclass(frozen=True)
class _Normalization:
    """What batch norm did to `x`; all but x are float32 [C]."""

    x: tf.Tensor
    gamma: tf.Tensor
    beta: tf.Tensor
    mean: tf.Tensor
    inverse_deviation: tf.Tensor
    average: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

    @property
    def scale(self) -> tf.Tensor:
        return self.gamma * self.inverse_deviation

    def centred(self) -> tf.Tensor:
        return _float(self.x) - self.mean

    def output(self) -> tf.Tensor:
        return self.centred() * self.scale + self.beta

    def gradients(
        self, total: tf.Tensor, product: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What follows from the sums of dz and of dz * centred x, each [C].

        Returns:
            constant, factor: the gradient of x is scale * dz + constant + factor * x.
            d_gamma: the gradient of gamma; that of beta is `total`.
        """
        d_variance = -0.5 * self.gamma * product * self.inverse_deviation**3
        d_mean = -self.scale * total - 2.0 * self.mean * d_variance
        d_mean, d_squares = self.average(d_mean, d_variance)
        batch, height, width, _ = self.x.shape
        count = float(batch * height * width)
        return d_mean / count, 2.0 * d_squares / count, product * self.inverse_deviation


def batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, *, swish: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Batch norm with the moments of the batch and its batch-norm group, and swish if asked for.

    Args:
        x: of the type of the result; gamma, beta: float32 [C].

    Returns:
        The output, and mean and *biased* variance [C] without gradients.
    """
    gamma, beta = tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)
    engine = current_engine()
    # Averaging is its own adjoint: what averages the moments averages their gradients, too.
    average = engine.average_moments if engine is not None else lambda *moments: moments
    mean, squares = average(_mean(_float(x)), _mean(tf.square(_float(x))))
    variance = squares - tf.square(mean)
    normalization = _Normalization(x, gamma, beta, mean, tf.math.rsqrt(variance + epsilon), average)

    def forward() -> tf.Tensor:
        z = normalization.output()
        return tf.cast(_swish(z) if swish else z, x.dtype)

    def backward(dy: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """scale * dz as it is stored, and constant, factor and d_gamma, d_beta."""
        dz = _float(dy)
        if swish:
            dz *= _swish_slope(normalization.output())
        total = _sum(dz)
        constant, factor, d_gamma = normalization.gradients(
            total, _sum(dz * normalization.centred())
        )
        return tf.cast(dz * normalization.scale, x.dtype), constant, factor, d_gamma, total

    @tf.custom_gradient
    def of_map(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        def gradient(dy: tf.Tensor) -> Any:
            scaled, constant, factor, d_gamma, d_beta = backward(dy)
            dx = _float(scaled) + constant + factor * _float(x)
            return tf.cast(dx, x.dtype), d_gamma, d_beta

        return forward(), gradient

    @tf.custom_gradient
    def of_convolution(u: tf.Tensor, kernel: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        def gradient(dy: tf.Tensor) -> Any:
            scaled, constant, factor, d_gamma, d_beta = backward(dy)
            du, d_kernel = _convolution_gradients(u, kernel, scaled, constant, factor)
            return du, d_kernel, d_gamma, d_beta

        return forward(), gradient

    source = getattr(x, _CONVOLUTION, None)
    y = of_map(x, gamma, beta) if source is None else of_convolution(*source, gamma, beta)
    if swish:
        setattr(y, _NORMALIZATION, normalization)
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance)


def _convolution_gradients(
    u: tf.Tensor, kernel: tf.Tensor, scaled: tf.Tensor, constant: tf.Tensor, factor: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of u and the kernel [1, 1, C, D] if x = u * kernel and x is not to be read.

    That of x is scaled + constant + factor * x. The factor's part is made of the kernel as the
    forward pass rounded it.
    """
    u, factor = _anew(u, factor)
    weights = _float(kernel[0, 0])
    weighted = weights * factor
    mixing = tf.cast(tf.matmul(weighted, weights, transpose_b=True), u.dtype)
    du = (
        _float(_pointwise(scaled, tf.transpose(kernel, [0, 1, 3, 2])))
        + _float(_pointwise(u, mixing[tf.newaxis, tf.newaxis]))
        + tf.linalg.matvec(weights, constant)
    )
    d_weights = (
        _products(u, scaled)
        + _sum(_float(u))[:, tf.newaxis] * constant
        + tf.matmul(_products(u, u), weighted)
    )
    return tf.cast(du, u.dtype), tf.cast(d_weights, kernel.dtype)[tf.newaxis, tf.newaxis]


def _source(x: tf.Tensor) -> tf.Tensor:
    while x.op.type in ("Identity", "IdentityN"):
        x = x.op.inputs[x.value_index]
    return x


def _terms(x: tf.Tensor) -> list[tf.Tensor]:
    """The maps that an elementwise operation made x of; none if it was something else."""
    if x.op.type not in _ELEMENTWISE:
        return []
    return [_source(each) for each in x.op.inputs if each.shape == x.shape]


def _additions(x: tf.Tensor) -> int:
    """How many residual additions, one behind another, made x."""
    terms = _terms(x)
    return (len(terms) > 1) + max(map(_additions, terms), default=0)


def _anew(x: tf.Tensor, after: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """x computed again from maps that are kept, not before `after` is; and `after`."""
    x = _source(x)
    kept: dict[Any, tf.Tensor] = {}

    def find(each: tf.Tensor) -> None:
        additions = _additions(each)
        is_kept = each is not x and additions > 0 and additions % _KEPT_EVERY == 0
        if is_kept or not _terms(each):
            kept[each.ref()] = each
        else:
            for term in _terms(each):
                find(term)

    find(x)
    *held, after = gen_xla_ops.xla_optimization_barrier([*kept.values(), after])
    made = dict(zip(kept, held, strict=True))

    def make(each: tf.Tensor) -> tf.Tensor:
        if each.ref() not in made:
            inputs = [
                make(_source(one)) if one.shape == each.shape else one for one in each.op.inputs
            ]
            if each.op.type == "Cast":
                inputs.append(each.dtype)
            made[each.ref()] = _ELEMENTWISE[each.op.type](*inputs)
        return made[each.ref()]

    return make(x), after


def _pointwise(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def _products(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """x^T y over all positions, float32 [C, D].

    Asked for in float32, because the sum of two such products is far smaller than either.
    """
    return tf.raw_ops.Conv2DBackpropFilter(
        input=_float(x),
        filter_sizes=[1, 1, x.shape[3], y.shape[3]],
        out_backprop=_float(y),
        strides=[1, 1, 1, 1],
        padding="SAME",
    )[0, 0]


def squeeze_excitation(x: tf.Tensor, gate_of: Callable[..., tf.Tensor], *weights: Any) -> tf.Tensor:
    """x * gate_of(mean of x over height and width, *weights).

    Args:
        gate_of: from [batch, C] and the weights to the gate [batch, C].
    """
    weights = tuple(map(tf.convert_to_tensor, weights))
    normalization = getattr(x, _NORMALIZATION, None)
    if normalization is None:
        gate = gate_of(tf.reduce_mean(x, [1, 2]), *weights)
        return x * gate[:, tf.newaxis, tf.newaxis]
    return _excite_normalized(normalization, gate_of, weights)


def _excite_normalized(
    normalization: _Normalization, gate_of: Callable[..., tf.Tensor], weights: tuple[Any, ...]
) -> tf.Tensor:
    """The same of swish of the output of a batch norm, from what entered it."""
    x = normalization.x
    maps = [1, 2]

    @tf.custom_gradient
    def run(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *weights: tf.Tensor) -> Any:
        y = _swish(normalization.output())
        squeezed = tf.cast(tf.reduce_mean(y, maps), x.dtype)
        gate = gate_of(squeezed, *weights)

        def gradient(d_output: tf.Tensor) -> Any:
            d_output = _float(d_output)
            with tf.GradientTape() as tape:  # once more: it is small
                tape.watch([squeezed, *weights])
                again = gate_of(squeezed, *weights)
            d_gate = tf.reduce_sum(d_output * _swish(normalization.output()), maps)
            d_squeezed, *d_weights = tape.gradient(
                again, [squeezed, *weights], tf.cast(d_gate, x.dtype)
            )
            shift = _float(d_squeezed) / float(x.shape[1] * x.shape[2])
            slope = _swish_slope(normalization.output())
            sloped, centred = d_output * slope, normalization.centred()
            # dz = slope * (gate * d_output + shift), but its sums do not wait for the shift.
            factor_of_gate = tf.reduce_sum(sloped, maps), tf.reduce_sum(sloped * centred, maps)
            factor_of_shift = tf.reduce_sum(slope, maps), tf.reduce_sum(slope * centred, maps)
            total, product = (
                tf.reduce_sum(_float(gate) * one + shift * other, 0)
                for one, other in zip(factor_of_gate, factor_of_shift, strict=True)
            )
            constant, factor, d_gamma = normalization.gradients(total, product)
            dz = sloped * _wide(gate) + slope * _wide(shift)
            dx = dz * normalization.scale + constant + factor * _float(x)
            return tf.cast(dx, x.dtype), d_gamma, total, *d_weights

        return tf.cast(y * _wide(gate), x.dtype), gradient

    return run(x, normalization.gamma, normalization.beta, *weights)


def depthwise_conv(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """SAME depthwise convolution with kernel [k, k, C, 1]: XLA's own is the best known."""
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")


def pointwise_conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """1x1 convolution with kernel [1, 1, C, D]; a batch norm behind it may take its gradients."""
    kernel = tf.convert_to_tensor(kernel)
    y = _pointwise(x, kernel)
    widens = kernel.shape[3] > kernel.shape[2]  # else reading u would cost more than reading x
    if widens and x.shape[0] is not None and x.shape[0] >= LANES:
        setattr(y, _CONVOLUTION, (x, kernel))
    return y
