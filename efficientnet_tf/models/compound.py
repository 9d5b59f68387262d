"""Compound scaling: from phi to depth, width and resolution, and from a budget to phi.

Paper, section 3.3: depth alpha^phi, width beta^phi, resolution gamma^phi with
alpha * beta^2 * gamma^2 = 2, so that multiply-adds grow like 2^phi. What a network really costs
differs, because layers, filters and pixels are rounded; `measure` says by how much.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.models.operations import Counts, count
from efficientnet_tf.models.staged import Network, ScalableNetwork
from efficientnet_tf.models.variants import VARIANTS

TARGETS = ("multiply_adds", "params", "memory")
DIMENSIONS = ("depth", "width", "resolution")
_TOLERANCE = 0.1  # of the constraint: the paper's own 1.2, 1.1, 1.15 make 1.92
_LARGEST = 2.0**10  # factor of one dimension
_STEPS = 60  # halvings of the interval: more than a float has digits


@dataclass(frozen=True)
class Coefficients:
    """How much deeper, wider and finer a network becomes for each step of phi.

    Raises:
        UsageError: one is below 1, or alpha * beta^2 * gamma^2 is further than `tolerance` from 2.
    """

    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15
    tolerance: float = _TOLERANCE

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 1:
                raise UsageError(f"{name} must be a number of at least 1, received {value!r}.")
        if abs(self.growth - 2.0) > self.tolerance:
            raise UsageError(
                "alpha * beta^2 * gamma^2 must be 2, so that each step of phi doubles the "
                f"multiply-adds; {self.alpha:g} * {self.beta:g}^2 * {self.gamma:g}^2 = "
                f"{self.growth:.3f} is further off than {self.tolerance:g}. Change one of them, or "
                "allow it with a larger tolerance."
            )

    @property
    def growth(self) -> float:
        """Of multiply-adds for one step of phi, before rounding."""
        return self.alpha * self.beta**2 * self.gamma**2


@dataclass(frozen=True)
class Factors:
    """What the three dimensions of a baseline are multiplied by, before rounding."""

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0


@dataclass(frozen=True)
class Scaled:
    """A network with the factors that made it and what it costs.

    Attributes:
        phi: None if the factors follow from no phi.
    """

    network: Network
    factors: Factors
    counts: Counts
    phi: float | None = None


def compound(phi: float, coefficients: Coefficients) -> Factors:
    """alpha^phi, beta^phi, gamma^phi; phi may be negative.

    Raises:
        UsageError: phi is no number, or so far from 0 that a factor is out of range.
    """
    if isinstance(phi, bool) or not isinstance(phi, (int, float)) or not math.isfinite(phi):
        raise UsageError(f"phi must be a finite number, received {phi!r}.")
    try:
        values = [base**phi for base in (coefficients.alpha, coefficients.beta, coefficients.gamma)]
    except OverflowError:
        values = [math.inf]
    if max(values) > _LARGEST or min(values) < 1 / _LARGEST:
        raise UsageError(
            f"phi={phi:g} is out of range: it would scale a dimension by more than "
            f"{_LARGEST:g} or leave no layer of a stage. Give a phi nearer to 0."
        )
    return Factors(*values)


def scale(
    baseline: ScalableNetwork,
    factors: Factors,
    classes: int | None = None,
    phi: float | None = None,
) -> Scaled:
    """The baseline with these factors, and its cost.

    The resolution is rounded to the nearest pixel, as the paper's formula has no other rule.

    Raises:
        UsageError: as `ScalableNetwork.scaled`.
    """
    resolution = max(1, math.floor(baseline.resolution * factors.resolution + 0.5))
    network = baseline.scaled(depth=factors.depth, width=factors.width, resolution=resolution)
    operations = network.operations(baseline.classes if classes is None else classes)
    return Scaled(network, factors, count(operations), phi)


def cost(counts: Counts, target: str) -> int:
    """The number that a budget of this kind limits."""
    if target not in TARGETS:
        raise UsageError(
            f'target must be one of {", ".join(TARGETS)}, received "{target}".'
            f"{nearest(target, TARGETS)}"
        )
    names = {
        "multiply_adds": "multiply_adds",
        "params": "trainable_params",
        "memory": "activation_bytes",
    }
    return getattr(counts, names[target])


def solve(
    baseline: ScalableNetwork,
    target: str,
    budget: float,
    coefficients: Coefficients,
    *,
    dimension: str | None = None,
    classes: int | None = None,
) -> Scaled:
    """The network whose cost is nearest to a budget, along phi or along one dimension.

    Args:
        target: "multiply_adds", "params" or "memory" (bytes of activations of one image).
        budget: in that unit.
        dimension: "depth", "width" or "resolution" to scale that one alone; None for phi.

    Raises:
        UsageError: the budget cannot be met: it is out of range, or nothing that is scaled
            changes the cost (parameters do not depend on the resolution).
    """
    if not math.isfinite(budget) or budget <= 0:
        raise UsageError(f"the budget of {target} must be a positive number, received {budget!r}.")
    if dimension is not None and dimension not in DIMENSIONS:
        raise UsageError(
            f'dimension must be one of {", ".join(DIMENSIONS)}, received "{dimension}".'
            f"{nearest(dimension, DIMENSIONS)}"
        )
    if dimension == "resolution" and target == "params":
        raise UsageError("parameters do not depend on the resolution: choose another dimension.")
    at = _along(baseline, coefficients, dimension, classes)
    # Of the exponent: phi, or the logarithm to the base 2 of the single dimension's factor.
    low, high = _bracket(at, target, budget)
    below, above = at(low), at(high)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = at(middle)
        if cost(found.counts, target) <= budget:
            low, below = middle, found
        else:
            high, above = middle, found
    return min((below, above), key=lambda each: abs(cost(each.counts, target) - budget))


def _along(
    baseline: ScalableNetwork,
    coefficients: Coefficients,
    dimension: str | None,
    classes: int | None,
) -> Callable[[float], Scaled]:
    def at(exponent: float) -> Scaled:
        if dimension is None:
            return scale(baseline, compound(exponent, coefficients), classes, exponent)
        return scale(baseline, Factors(**{dimension: 2.0**exponent}), classes)

    return at


def _bracket(at: Callable[[float], Scaled], target: str, budget: float) -> tuple[float, float]:
    """Exponents whose costs enclose the budget."""
    low = high = 0.0
    step = 1.0
    try:
        while cost(at(high).counts, target) <= budget:
            high += step
        while cost(at(low).counts, target) > budget:
            low -= step
    except UsageError as error:
        reached = cost(at(high - step if high else low + step).counts, target)
        raise UsageError(
            f"no network scaled so has {target} of {budget:g}; the nearest that can be made has "
            f"{reached:g}. {error}"
        ) from error
    return low, high


def nearest_phi(found: Factors, coefficients: Coefficients) -> float:
    """The phi whose three factors are nearest to the given ones, by the logarithms' squares."""
    logs = [math.log(base) for base in (coefficients.alpha, coefficients.beta, coefficients.gamma)]
    wanted = [math.log(value) for value in (found.depth, found.width, found.resolution)]
    return sum(one * other for one, other in zip(logs, wanted, strict=True)) / sum(
        one * one for one in logs
    )


def model_fields(baseline: ScalableNetwork, scaled: Scaled) -> dict[str, float | int]:
    """The fields of config.ModelConfig that make main.py train the scaled network.

    The own coefficients of a published variant are replaced there, so they are in the numbers here;
    those of a variant in a user's file are multiplied.
    """
    own = (1.0, 1.0)
    variant = VARIANTS.get(baseline.name)
    if variant is not None and variant == baseline:
        own = (variant.depth_coefficient, variant.width_coefficient)
    return {
        "depth_coefficient": own[0] * scaled.factors.depth,
        "width_coefficient": own[1] * scaled.factors.width,
        "resolution": scaled.network.resolution,
    }
