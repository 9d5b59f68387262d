"""The word scale: scaling as people ask for it, a table of what it did, and B1-B7 explained."""

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.compound import (
    TARGETS,
    Coefficients,
    Factors,
    Scaled,
    compound,
    nearest_phi,
    scale,
    solve,
)
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.operations import Counts
from efficientnet_tf.models.staged import Network, ScalableNetwork
from efficientnet_tf.models.variants import VARIANTS, Variant
from efficientnet_tf.terminal.table import aligned

_BASELINE = "efficientnet-b0"
_PUBLISHED = tuple(f"efficientnet-b{number}" for number in range(1, 8))
_HEADER = ("", "baseline", "formula", "built", "ratio")


def scaled_by(
    baseline: ScalableNetwork,
    way: str,
    value: float,
    coefficients: Coefficients,
    dimension: str | None = None,
    classes: int | None = None,
) -> Scaled:
    """The baseline scaled by a phi, a factor or a budget.

    Args:
        way: what `value` is: "phi", "factor" (of `dimension`), or one of TARGETS.
        dimension: to scale it alone; needed by a factor, not taken by phi.

    Raises:
        UsageError: as `scale`, `compound` and `solve`, and if the dimension does not fit.
    """
    if way in TARGETS:
        return solve(baseline, way, value, coefficients, dimension=dimension, classes=classes)
    if way == "phi":
        if dimension is not None:
            raise UsageError("--dimension goes with --factor or a target; --phi scales all three.")
        return scale(baseline, compound(value, coefficients), classes, value)
    if dimension is None:
        raise UsageError("--factor needs --dimension=depth, width or resolution, received none.")
    return scale(baseline, Factors(**{dimension: value}), classes)


def comparison_lines(
    network: ScalableNetwork, scaled: Scaled, coefficients: Coefficients, classes: int
) -> list[str]:
    """What scaling did to `network`; for EfficientNets the published neighbour, too."""
    factors = scaled.factors
    phi = "" if scaled.phi is None else f", phi {scaled.phi:.4g}"
    baseline = scale(network, Factors(), classes)
    lines = [
        f"{network.name}{phi}: depth x {factors.depth:.4g}, width x {factors.width:.4g}, "
        f"resolution x {factors.resolution:.4g}, {classes} classes",
        *scale_lines(baseline, scaled, classes),
    ]
    if network.name == _BASELINE and scaled.phi is not None and scaled.phi > 0:
        variant = nearest_published(scaled.phi, coefficients)
        published = scale(network, factors_of(variant), classes)
        lines += ["", f"The nearest published one, {variant.name}, hand-rounded:"]
        lines += scale_lines(baseline, published, classes)
    return lines


def scale_lines(baseline: Scaled, scaled: Scaled, classes: int) -> list[str]:
    """Depth, width, resolution before and after rounding, and the costs, beside the baseline.

    Args:
        baseline: the network with factors of 1.
    """
    factors, one, other = scaled.factors, baseline.network, scaled.network
    filters = [_widest(network, classes) for network in (one, other)]
    rows = [
        _HEADER,
        _row("depth, blocks", one.num_blocks, factors.depth, other.num_blocks, ".1f"),
        _row("width, widest map's filters", filters[0], factors.width, filters[1], ".1f"),
        _row("resolution, pixels", one.resolution, factors.resolution, other.resolution, ".1f"),
        *_cost_rows(baseline.counts, scaled),
    ]
    return aligned(rows)


def _row(name: str, before: int, factor: float, after: int, digits: str) -> tuple[str, ...]:
    formula = f"{before:,} x {factor:.3f} = {before * factor:,{digits}}"
    return name, f"{before:,}", formula, f"{after:,}", f"{after / before:.3f}"


def _cost_rows(before: Counts, scaled: Scaled) -> list[tuple[str, ...]]:
    after, factors = scaled.counts, scaled.factors
    growth = factors.depth * factors.width**2 * factors.resolution**2
    doubled = f"2^phi = {2.0**scaled.phi:.3f}, " if scaled.phi is not None else ""
    rows: list[tuple[str, ...]] = []
    for name, unit, scale_of_unit, values, rule in (
        (
            "params",
            "M",
            1e6,
            (before.trainable_params, after.trainable_params),
            f"d w^2 = {factors.depth * factors.width**2:.3f}",
        ),
        (
            "multiply-adds",
            "M",
            1e6,
            (before.multiply_adds, after.multiply_adds),
            f"{doubled}d w^2 r^2 = {growth:.3f}",
        ),
        (
            "activations of an image",
            "MB",
            1e6,
            (before.activation_bytes, after.activation_bytes),
            f"d w r^2 = {factors.depth * factors.width * factors.resolution**2:.3f}",
        ),
    ):
        numbers = [f"{value / scale_of_unit:,.2f} {unit}" for value in values]
        rows.append((name, numbers[0], rule, numbers[1], f"{values[1] / values[0]:.3f}"))
    return rows


def _widest(network: Network, classes: int) -> int:
    """Filters of the last map before the classifier: what the width factor is best seen by."""
    maps = [one for one in network.operations(classes) if len(one.output_shape) == 3]
    return maps[-1].filters


def save(network: Network, classes: int, path: str) -> None:
    """Writes the untrained model to a .keras file and says how to read it; raises UsageError."""
    try:
        network.build(classes=classes).save(path)
    except OSError as error:
        raise UsageError(f"--save_model: {path} cannot be written: {error}.") from error
    print(f"saved: {path} (before keras.saving.load_model: import efficientnet_tf)")


def factors_of(variant: Variant) -> Factors:
    """By what a published variant of B0 is deeper, wider and finer than B0."""
    base = VARIANTS[_BASELINE]
    return Factors(
        variant.depth_coefficient / base.depth_coefficient,
        variant.width_coefficient / base.width_coefficient,
        variant.resolution / base.resolution,
    )


def nearest_published(phi: float, coefficients: Coefficients) -> Variant:
    """The one of B1 to B7 whose phi is nearest."""
    return min(
        (VARIANTS[name] for name in _PUBLISHED),
        key=lambda variant: abs(nearest_phi(factors_of(variant), coefficients) - phi),
    )


def published_lines(coefficients: Coefficients) -> list[str]:
    """B1 to B7: what the release has, what the formula gives at the nearest phi, and why."""
    rows: list[tuple[str, ...]] = [
        ("", "phi", "depth", "width", "resolution", "blocks", "params, M", "multiply-adds, M")
    ]
    reasons = []
    baseline = find_network(_BASELINE)
    for name in _PUBLISHED:
        variant = VARIANTS[name]
        own = factors_of(variant)
        # To a half, for the release has phi of half steps (B1: 0.5); the rest is hand-rounding.
        phi = round(2 * nearest_phi(own, coefficients)) / 2
        published = scale(baseline, own)
        formula = scale(baseline, compound(phi, coefficients), phi=phi)
        rows.append(_published_row(f"{name} published", f"{phi:g}", published))
        rows.append(_published_row("  by formula", f"{phi:g}", formula))
        reasons.append(_reason(name, published, formula))
    return [*aligned(rows), "", *reasons]


def _published_row(name: str, phi: str, scaled: Scaled) -> tuple[str, ...]:
    factors, counts = scaled.factors, scaled.counts
    return (
        name,
        phi,
        f"{factors.depth:.3f}",
        f"{factors.width:.3f}",
        f"{scaled.network.resolution}",
        f"{scaled.network.num_blocks}",
        f"{counts.trainable_params / 1e6:.2f}",
        f"{counts.multiply_adds / 1e6:,.0f}",
    )


def _reason(name: str, published: Scaled, formula: Scaled) -> str:
    """Which of the three dimensions makes up the difference in multiply-adds."""
    parts = []
    for dimension, power in (("depth", 1), ("width", 2), ("resolution", 2)):
        ratio = getattr(published.factors, dimension) / getattr(formula.factors, dimension)
        parts.append(f"{dimension} {100 * (ratio**power - 1):+.0f} %")
    total = published.counts.multiply_adds / formula.counts.multiply_adds
    return (
        f"{name}: {100 * (total - 1):+.0f} % multiply-adds against the formula; its hand-rounded "
        f"{', '.join(parts)}; the rest is rounding of layers and filters."
    )
