"""The small network's real TPUStrategy step, compiled by the real TPU compiler for v5e and v3."""

from typing import Any

import pytest
from tpu.children import MISSING, json_lines

pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"no TPU compiler: {MISSING}")
SLICES = {"v5litepod-8": "TPU v5 lite", "v3-8": "TPU v3"}


@pytest.fixture(scope="module")
def results() -> dict[Any, dict[str, Any]]:
    lines = json_lines("child_compile.py", ",".join(SLICES))
    return {(line.get("target"), line["name"]): line for line in lines}


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize(("function", "replicas"), [("train", 8), ("eval", 8), ("serving", 1)])
def test_compiles_for_the_chip(name: str, function: str, replicas: int, results: Any) -> None:
    report = results[name, function]
    assert report["fits"]
    assert report["device_kind"] == SLICES[name]
    assert report["replicas"] == replicas
    assert 0 < report["peak_hbm_bytes"] < 2**25
    assert report["flops"] > 1e7
    assert report["bytes_accessed"] > report["argument_bytes"]


@pytest.mark.parametrize("name", SLICES)
def test_gradients_are_summed_once_over_the_replicas(name: str, results: Any) -> None:
    weights = results[None, "model"]["trainable_weights"]
    # The compiler merges the sums of all gradients into one; float32.
    assert results[name, "train"]["collectives"] == {"all-reduce": [1, 4 * weights]}
    assert results[name, "eval"]["collectives"] == {}


@pytest.mark.parametrize("name", SLICES)
def test_updated_variables_take_the_place_of_the_old(name: str, results: Any) -> None:
    train = results[name, "train"]
    loss_and_padding = 4096
    assert train["output_bytes"] - train["alias_bytes"] < loss_and_padding
    assert results[name, "eval"]["alias_bytes"] == 0


@pytest.mark.parametrize(("name", "usable"), [("v5litepod-8", 15.75), ("v3-8", 15.48)])
def test_too_large_is_a_result(name: str, usable: float, results: Any) -> None:
    refused = results[name, "large"]
    assert not refused["fits"]
    assert refused["needed_bytes"] >= 2**35
    assert refused["available_bytes"] / 2**30 == pytest.approx(usable)
