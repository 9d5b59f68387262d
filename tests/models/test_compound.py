"""Compound scaling: the paper's formula, budgets that are met, and what is out of range."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.compound import (
    DIMENSIONS,
    TARGETS,
    Coefficients,
    Factors,
    compound,
    cost,
    model_fields,
    nearest_phi,
    scale,
    solve,
)
from efficientnet_tf.models.networks import configured, find_network
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.scale_table import factors_of, nearest_published
from efficientnet_tf.models.variants import VARIANTS

PAPER = Coefficients()
B0 = find_network("efficientnet-b0")
PARAMS = json.loads((Path(__file__).parents[1] / "golden" / "params.json").read_text())


def test_the_papers_coefficients_double_the_work() -> None:
    """Section 3.3: 1.2, 1.1, 1.15 under alpha * beta^2 * gamma^2 ~ 2."""
    assert (PAPER.alpha, PAPER.beta, PAPER.gamma) == (1.2, 1.1, 1.15)
    assert PAPER.growth == pytest.approx(1.2 * 1.21 * 1.3225)
    factors = compound(2, PAPER)
    assert (factors.depth, factors.width, factors.resolution) == pytest.approx(
        (1.44, 1.21, 1.3225), rel=1e-12
    )
    assert compound(0, PAPER) == Factors(1.0, 1.0, 1.0)
    assert compound(-1, PAPER).depth == pytest.approx(1 / 1.2)


@pytest.mark.parametrize("number", range(8))
def test_the_published_factors_make_the_recorded_networks(number: int) -> None:
    name = f"efficientnet-b{number}"
    scaled = scale(B0, factors_of(VARIANTS[name]))
    assert scaled.counts.trainable_params == PARAMS[name]["trainable_params"]
    assert scaled.counts.multiply_adds == PARAMS[name]["multiply_adds"]
    assert scaled.network.resolution == PARAMS[name]["image_size"]
    assert scaled.network.num_blocks == len(PARAMS[name]["blocks"])


def test_each_published_variant_is_nearest_to_its_own_phi() -> None:
    phis = [nearest_phi(factors_of(VARIANTS[f"efficientnet-b{n}"]), PAPER) for n in range(1, 8)]
    assert phis == sorted(phis)
    assert phis[0] == pytest.approx(0.5, abs=0.1)
    assert phis[1] == pytest.approx(1.0, abs=0.1)
    assert phis[2] == pytest.approx(2.0, abs=0.1)
    for number, phi in enumerate(phis, start=1):
        assert nearest_published(phi, PAPER).name == f"efficientnet-b{number}"


BUDGETS = list(itertools.product(TARGETS, (None, *DIMENSIONS)))
BUDGETS.remove(("params", "resolution"))  # which is refused, see below


@pytest.mark.parametrize("name", ["efficientnet-b0", "mobilenet-v1", "resnet-50"])
@pytest.mark.parametrize(("target", "dimension"), BUDGETS)
def test_a_budget_is_met(name: str, target: str, dimension: str | None) -> None:
    baseline = find_network(name)
    budget = 3 * cost(scale(baseline, Factors()).counts, target)
    found = solve(baseline, target, budget, PAPER, dimension=dimension)
    # Steps of depth are whole layers of several stages at once.
    tolerance = 0.2 if dimension == "depth" else 0.1
    assert cost(found.counts, target) == pytest.approx(budget, rel=tolerance)
    assert (found.phi is None) == (dimension is not None)
    others = [other for other in DIMENSIONS if other != dimension]
    if dimension is not None:
        assert all(getattr(found.factors, other) == 1.0 for other in others)


def test_nothing_nearer_to_the_budget_lies_beside_the_answer() -> None:
    budget = 1.8e9
    found = solve(B0, "multiply_adds", budget, PAPER)
    distance = abs(found.counts.multiply_adds - budget)
    assert found.phi is not None
    for step in range(-200, 201):
        beside = scale(B0, compound(found.phi + step / 1000, PAPER))
        assert abs(beside.counts.multiply_adds - budget) >= distance


def test_the_fields_of_the_configuration_make_the_same_network() -> None:
    for name in ("efficientnet-b2", "mobilenet-v2", "efficientnet-lite0"):
        baseline = find_network(name)
        scaled = scale(baseline, compound(1.5, PAPER))
        again = configured(name, **model_fields(baseline, scaled))
        assert count(again.operations(baseline.classes)) == scaled.counts


def test_they_do_so_for_a_variant_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "from efficientnet_tf.models.variants import Variant\n"
        'OWN = Variant("own", 0.5, 1.5, 64, 0.2, ("r2_k3_s22_e4_i32_o24_se0.25",))\n'
    )
    baseline = find_network(f"{path}:OWN")
    scaled = scale(baseline, Factors(2.0, 1.5, 1.25))
    again = configured(f"{path}:OWN", **model_fields(baseline, scaled))
    assert count(again.operations(baseline.classes)) == scaled.counts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.5, 1.1, 1.15), r"alpha \* beta\^2 \* gamma\^2 must be 2.*= 2.400 is further off"),
        ((0.9, 1.1, 1.15), r"alpha must be a number of at least 1, received 0.9"),
        ((1.2, math.nan, 1.15), r"beta must be a number of at least 1, received nan"),
    ],
)
def test_coefficients_off_the_constraint_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Coefficients(*arguments)


def test_a_wider_tolerance_allows_them() -> None:
    assert Coefficients(1.5, 1.1, 1.15, tolerance=0.5).growth == pytest.approx(2.4, abs=0.01)


@pytest.mark.parametrize("phi", [-40, 40, 1e6, -1e6])
def test_a_phi_that_leaves_no_layer_or_no_memory_is_refused(phi: float) -> None:
    with pytest.raises(UsageError, match=r"out of range: .* leave no layer of a stage"):
        compound(phi, PAPER)


@pytest.mark.parametrize("phi", [math.nan, math.inf, "1", True, None])
def test_phi_must_be_a_number(phi: Any) -> None:
    with pytest.raises(UsageError, match="phi must be a finite number"):
        compound(phi, PAPER)


def test_a_phi_too_small_for_the_strides_is_refused() -> None:
    with pytest.raises(UsageError, match=r"resolution 31 is too small for efficientnet-b0.* 32x32"):
        scale(B0, Factors(resolution=31 / 224))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("flops", 1e9, None), r"target must be one of multiply_adds, params, memory"),
        (("multiply_adds", 0, None), r"budget of multiply_adds must be a positive number"),
        (("multiply_adds", 1e9, "hight"), r"dimension must be one of depth, width, resolution"),
        (("params", 1e7, "resolution"), r"parameters do not depend on the resolution"),
        (("multiply_adds", 10, None), r"the nearest that can be made has"),
        (("multiply_adds", 1e30, None), r"the nearest that can be made has"),
    ],
)
def test_budgets_that_cannot_be_met_are_refused(arguments: tuple, message: str) -> None:
    target, budget, dimension = arguments
    with pytest.raises(UsageError, match=message):
        solve(B0, target, budget, PAPER, dimension=dimension)
