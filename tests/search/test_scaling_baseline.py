"""The baseline of a configuration: what is counted is what training builds."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from made_up_training import base_config

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.models.compound import Coefficients, Factors, Scaled, scale, solve
from efficientnet_tf.models.networks import configured, trust
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.staged import ScalableNetwork
from efficientnet_tf.search.results import Result
from efficientnet_tf.search.scaling_baseline import Baseline, check_counted, shortened

OWN = """
from efficientnet_tf.models.variants import Variant
NET = Variant("own", 0.5, 2.0, 40, 0.2, ("r1_k3_s22_e1_i32_o16", "r2_k3_s22_e4_i16_o32"))
"""


def config_of(**model: Any) -> config_lib.ExperimentConfig:
    config = config_lib.ExperimentConfig()
    for name, value in model.items():
        setattr(config.model, name, value)
    return config_lib.finish(config)


def built(config: config_lib.ExperimentConfig, changes: dict[str, Any], classes: int) -> int:
    """Multiply-adds of the network that training makes of the changed configuration."""
    fields = dataclasses.asdict(config.model)
    fields.update({name.removeprefix("model."): value for name, value in changes.items()})
    return count(configured(**fields).operations(classes)).multiply_adds


def test_what_is_counted_is_what_is_trained(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(OWN)
    trust(f"{own}:NET")
    factors = Factors(1.4, 1.3, 1.2)
    for config in (
        base_config(),
        base_config(width_coefficient=0.5, depth_coefficient=2.0),
        config_of(name="EfficientNet-B2"),
        config_of(name="mobilenet-v2", width_coefficient=0.5),
        config_of(name=f"{own}:NET"),
        config_of(name=f"{own}:NET", depth_coefficient=1.5, resolution=48),
    ):
        baseline = Baseline(config, 10)
        assert isinstance(baseline, ScalableNetwork)
        assert baseline.candidate(scale(baseline, Factors())).changes == {}
        scaled = scale(baseline, factors)
        candidate = baseline.candidate(scaled)
        assert scaled.counts.multiply_adds == built(config, dict(candidate.changes), 10)
        assert scaled.counts.multiply_adds > 2 * built(config, {}, 10)


def test_a_variants_coefficients_are_multiplied() -> None:
    baseline = Baseline(config_of(name="efficientnet-b2"))
    assert baseline.changes(Factors(2.0, 3.0), 300) == {
        "model.depth_coefficient": pytest.approx(2.4),  # B2: depth 1.2, width 1.1, 260 pixels
        "model.width_coefficient": pytest.approx(3.3),
        "model.resolution": 300,
    }


def test_classes_that_are_counted() -> None:
    assert Baseline(config_of()).classes == 1000
    assert Baseline(base_config()).classes == 10  # digits
    assert Baseline(base_config(), 7).classes == 7
    config = config_lib.ExperimentConfig()
    config.data.num_classes = 37
    assert Baseline(config).classes == 37


def test_a_network_that_is_not_there() -> None:
    with pytest.raises(UsageError, match='unknown model "efficientnet-b9"'):
        Baseline(config_of(name="efficientnet-b9"))


def test_keys_name_the_factors() -> None:
    baseline = Baseline(base_config())
    assert baseline.candidate(scale(baseline, Factors(1.4, 1.0, 1.5))).key == "d1.4-w1-r36"


def test_factors_of_a_solution_are_shortened() -> None:
    baseline = Baseline(base_config())
    budget = 2 * scale(baseline, Factors()).counts.multiply_adds
    for dimension in ("depth", "width"):
        found = solve(baseline, "multiply_adds", budget, Coefficients(), dimension=dimension)
        short = shortened(baseline, found)
        assert short.counts == found.counts
        assert len(f"{getattr(short.factors, dimension):.12g}") <= 5
    # Three layers by 5/3 are five; a little more is six. Nothing has fewer decimals than 1.6.
    exact = scale(baseline, Factors(5 / 3))
    assert shortened(baseline, exact).factors.depth == 1.6


def test_another_network_than_counted_is_an_error() -> None:
    baseline = Baseline(base_config())
    scaled: Scaled = scale(baseline, Factors())
    cost = scaled.counts.multiply_adds
    check_counted(Result("b", "k", {}, 0, multiply_adds=cost), scaled)
    check_counted(Result("b", "k", {}, 0, error="failed"), scaled)
    with pytest.raises(RunError, match='"k" was trained with 5 multiply-adds, but counted with'):
        check_counted(Result("b", "k", {}, 0, multiply_adds=5), scaled)
