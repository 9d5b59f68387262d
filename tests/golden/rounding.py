"""How far float32 may be from exact arithmetic: a bound that a network gives itself (our code).

In which order a processor adds is its own affair, so float32 results differ between processors, and
the recorded ones are those of one. What must not differ is the network in exact arithmetic: float64
here, whose own rounding is 2**29 times smaller.

A float32 sum of K products is, in whatever order, the exact sum of products whose factors were
changed by a relative d each: |d| <= K u at the worst, with u = 2**-24, and about sqrt(K) u since
roundings go up and down (Higham and Mary, "A new approach to probabilistic rounding error
analysis", SIAM J. Sci. Comput. 41, 2019, theorem 2.4). So float32 computes what the exact network
with slightly other weights would, and how far that is from the exact result the network itself
tells, for each output apart: it grows with depth, and by as much as this network magnifies. The
root mean square of that change, over draws of such weights, is called spread here.

Random roundings of a plain loop over K terms have a root mean square of sqrt(K / 6) u, so 0.4 spreads
are expected. Measured on the records, with and without oneDNN, at AVX2 and AVX-512, on one and two
threads: 0.1 to 0.8. Twice the spread is the limit for whole arrays, and for one number out of
thousands six times, relative to its own size if it is an outlier.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from efficientnet_tf.models.layers import BatchNormalization, SqueezeExcitation

UNIT = 2.0**-24  # of float32: half the distance between 1 and the next number
LIMIT, LIMIT_OF_ONE = 2.0, 6.0
_DRAWS = 2


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(values, np.float64)))))


def is_rounding(difference: Any, spread: float) -> bool:
    """Whether the differences of a whole array from the exact one are those of roundings."""
    return rms(difference) <= LIMIT * spread


def is_rounding_of_one(difference: Any, values: Any, all_values: Any, spread: float) -> bool:
    """Whether that holds for each of some `values` picked out of `all_values`."""
    outlier = np.maximum(1.0, np.abs(values) / (rms(all_values) or 1.0))
    return bool(np.all(np.abs(difference) <= LIMIT_OF_ONE * spread * outlier))


def _positions(layer: Any) -> int:
    return math.prod(layer.input.shape[1:3])


def _terms(layer: Any, weight: Any, batch: int | None) -> int:
    """How many terms the sums have that this weight takes part in, or that scale as it does."""
    if isinstance(layer, BatchNormalization):
        # Batch moments are sums over all positions; stored ones are added and multiplied once.
        return batch * _positions(layer) if batch else 4
    if isinstance(layer, SqueezeExcitation):
        return _positions(layer) + math.prod(weight.shape[:-1])
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return math.prod(weight.shape[:2])
    return math.prod(weight.shape[:-1])


def _changed(layer: Any, weight: Any, batch: int | None, draw: np.random.Generator) -> np.ndarray:
    value = np.asarray(weight, np.float64)
    noise = UNIT * math.sqrt(_terms(layer, weight, batch)) * draw.standard_normal(value.shape)
    # An error of a batch's mean is one of the shift, in units of the batch's standard deviation.
    is_batch_mean = batch is not None and weight.name == "beta"
    return value + noise * (1.0 if is_batch_mean else np.abs(value))


def with_spread(
    run: Callable[[], Mapping[str, Any]], model: keras.Model, batch: int | None = None
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """({name: exact result}, {name: its spread}).

    Args:
        run: computes named arrays from the weights of `model`, in float64; may change them.
        model: in float64; it ends with the weights that it came with.
        batch: examples over which batch norm takes its moments; None where it uses stored ones.
    """
    kept = model.get_weights()
    exact = {name: np.asarray(value) for name, value in run().items()}
    assert {value.dtype.name for value in exact.values()} == {"float64"}
    squares = dict.fromkeys(exact, 0.0)
    for seed in range(_DRAWS):
        draw = np.random.default_rng(seed)
        model.set_weights(kept)
        for layer in model.layers:
            for weight in layer.weights:
                weight.assign(_changed(layer, weight, batch, draw))
        for name, value in run().items():
            squares[name] += rms(np.asarray(value) - exact[name]) ** 2
    model.set_weights(kept)
    return exact, {name: math.sqrt(square / _DRAWS) for name, square in squares.items()}


def of_moments(
    layer: BatchNormalization, mean: np.ndarray, variance: np.ndarray, batch: int
) -> dict[str, float]:
    """{"moving_mean": ..., "moving_variance": ...}: what rounding leaves in a batch's own moments."""
    squares = variance + np.square(mean)  # both are made of sums of x and of its square
    relative = UNIT * math.sqrt(batch * _positions(layer))
    return {
        "moving_mean": relative * rms(np.sqrt(squares)),
        "moving_variance": relative * rms(squares),
    }


def of_scale_and_shift(layer: BatchNormalization, gamma_gradient: np.ndarray, batch: int) -> float:
    """What rounding leaves in the gradients of gamma and beta: sums over positions, of like terms.

    Where another batch norm follows, the gradient of beta is zero in exact arithmetic and nothing
    but this is left of it. Each term is itself a sum, over the channels of the next convolution,
    which are at most six times as many.
    """
    terms = batch * _positions(layer) + 6 * layer.gamma.shape[0]
    return UNIT * math.sqrt(terms) * rms(gamma_gradient)
