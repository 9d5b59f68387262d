"""The grid of step 1 (paper, section 4): every (alpha, beta, gamma) that doubles the multiply-adds.

Equation 2 asks for alpha * beta^2 * gamma^2 of about 2. What a network then has is another matter:
layers are rounded up, filters to multiples of 8, pixels to whole ones. So each network is built
from arithmetic and counted; those too far from 2^phi are refused, and so are those beyond the
limits of equation 1 and those that rounding makes the same as another. No TensorFlow.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.compound import Coefficients, Factors, Scaled, compound, scale
from efficientnet_tf.models.staged import ScalableNetwork
from efficientnet_tf.terminal.table import aligned

# Around the paper's 1.2, 1.1, 1.15, from "this dimension is not scaled" on.
ALPHAS = (1.0, 1.1, 1.2, 1.3, 1.4)
BETAS = (1.0, 1.05, 1.1, 1.15, 1.2)
GAMMAS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.25)
TOLERANCE = 0.1  # of alpha * beta^2 * gamma^2; the paper's make 1.92
RATIO_TOLERANCE = 0.3  # of the true ratio: at phi 1 the paper's triple costs B0 2.57 times, not 2
_DIGITS = 9  # decimals that a sum of decimal fractions is wrong by, at most


@dataclass(frozen=True)
class Limits:
    """The constraints of equation 1, for one image; None: no limit.

    Attributes:
        multiply_adds: at most so many.
        memory: at most so many bytes of float32 activations, see `Counts`.
    """

    multiply_adds: float | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        for name in ("multiply_adds", "memory"):
            value = getattr(self, name)
            if value is not None and (not math.isfinite(value) or value <= 0):
                raise UsageError(f"the limit of {name} must be above 0, received {value!r}.")


@dataclass(frozen=True)
class GridPoint:
    """A triple of the grid, its network and whether it is to be trained.

    Attributes:
        coefficients: the triple.
        scaled: its network at phi.
        ratio: of its multiply-adds to the baseline's.
        refused: why it is not trained; "" if it is.
    """

    coefficients: Coefficients
    scaled: Scaled
    ratio: float
    refused: str = ""

    @property
    def triple(self) -> str:
        each = self.coefficients
        return f"({each.alpha:g}, {each.beta:g}, {each.gamma:g})"


def triples(
    alphas: Sequence[float], betas: Sequence[float], gammas: Sequence[float], tolerance: float
) -> list[Coefficients]:
    """Those whose alpha * beta^2 * gamma^2 is within `tolerance` of 2, in the order of the lists.

    Raises:
        UsageError: a value below 1, a list without values, or no triple.
    """
    for name, values in (("alphas", alphas), ("betas", betas), ("gammas", gammas)):
        wrong = [value for value in values if not math.isfinite(value) or value < 1]
        if wrong or not values:
            received = f"{wrong[0]:g}" if wrong else "none"
            raise UsageError(f"{name} must be numbers of at least 1, received {received}.")
    if not math.isfinite(tolerance) or tolerance < 0:
        raise UsageError(f"tolerance must be a number of at least 0, received {tolerance!r}.")
    every = list(itertools.product(*(dict.fromkeys(each) for each in (alphas, betas, gammas))))
    far = [round(abs(_growth(each) - 2), _DIGITS) for each in every]
    found = [each for each, off in zip(every, far, strict=True) if off <= tolerance]
    if not found:
        nearest = every[far.index(min(far))]
        raise UsageError(
            f"none of the {len(every)} triples has alpha * beta^2 * gamma^2 within {tolerance:g} "
            f"of 2; the nearest is {nearest} with {_growth(nearest):.3f}. Give other values, or a "
            "larger tolerance."
        )
    # Of Coefficients' own check only the lower bounds are left.
    return [Coefficients(alpha, beta, gamma, math.inf) for alpha, beta, gamma in found]


def _growth(triple: tuple[float, ...]) -> float:
    alpha, beta, gamma = triple
    return alpha * beta**2 * gamma**2


def grid(
    baseline: ScalableNetwork,
    coefficients: Sequence[Coefficients],
    *,
    phi: float = 1.0,
    ratio_tolerance: float = RATIO_TOLERANCE,
    limits: Limits | None = None,
) -> list[GridPoint]:
    """The networks of these triples, in their order.

    Args:
        phi: 1 in the paper: twice the multiply-adds.
        ratio_tolerance: how far the true ratio may be from 2^phi, relative to it.
        limits: what no network may exceed.

    Raises:
        UsageError: phi or a tolerance is out of range; or as `compound.scale`.
    """
    if not math.isfinite(ratio_tolerance) or ratio_tolerance < 0:
        raise UsageError(
            f"ratio_tolerance must be a number of at least 0, received {ratio_tolerance!r}."
        )
    if phi == 0:
        raise UsageError("phi must not be 0: then nothing is scaled and all triples are the same.")
    before = scale(baseline, Factors()).counts.multiply_adds
    points: list[GridPoint] = []
    made: dict[tuple[Any, ...], str] = {}  # network: the first triple that makes it
    for each in coefficients:
        scaled = scale(baseline, compound(phi, each), phi=phi)
        point = GridPoint(each, scaled, scaled.counts.multiply_adds / before)
        # Strides round up, so images of 37 and 38 pixels may have the same maps.
        network = (scaled.network.resolution, *scaled.network.operations(baseline.classes))
        refused = _too_far(point, 2.0**phi, ratio_tolerance) or _beyond(point, limits or Limits())
        if not refused and network in made:
            refused = f"the same network as {made[network]}"
        if not refused:
            made[network] = point.triple
        points.append(GridPoint(each, scaled, point.ratio, refused))
    return points


def _too_far(point: GridPoint, wanted: float, tolerance: float) -> str:
    off = point.ratio / wanted - 1
    if abs(off) <= tolerance:
        return ""
    return f"{100 * off:+.0f} % from {wanted:g} times the multiply-adds"


def _beyond(point: GridPoint, limits: Limits) -> str:
    counts = point.scaled.counts
    if limits.multiply_adds is not None and counts.multiply_adds > limits.multiply_adds:
        return f"more than {limits.multiply_adds:,.0f} multiply-adds"
    if limits.memory is not None and counts.activation_bytes > limits.memory:
        return f"more than {limits.memory:,.0f} bytes of activations"
    return ""


_HEADER = ("alpha", "beta", "gamma", "a b^2 g^2", "blocks", "pixels", "multiply-adds", "ratio")
_HEADER_END = ("activations", "params", "")


def table(points: Sequence[GridPoint]) -> str:
    """Lines for people: what is trained, then what is refused and why."""
    cells: list[tuple[str, ...]] = [(*_HEADER, *_HEADER_END)]
    for point in sorted(points, key=lambda each: bool(each.refused)):
        triple, network, counts = point.coefficients, point.scaled.network, point.scaled.counts
        cells.append(
            (
                *(f"{value:g}" for value in (triple.alpha, triple.beta, triple.gamma)),
                f"{triple.growth:.3f}",
                f"{network.num_blocks}",
                f"{network.resolution}",
                f"{counts.multiply_adds / 1e6:,.2f} M",
                f"{point.ratio:.3f}",
                f"{counts.activation_bytes / 1e6:,.2f} MB",
                f"{counts.trainable_params / 1e6:,.3f} M",
                f"refused: {point.refused}" if point.refused else "accepted",
            )
        )
    return "\n".join(aligned(cells, ">" * (len(cells[0]) - 1) + "<"))
