"""The project's functions as a TPU would get them: every op has a TPU kernel. Without libtpu."""

from typing import Any

import pytest
from tpu.children import json_lines

MODELS = ("efficientnet-b0", "efficientnet-lite0", "efficientnet-edgetpu-S")


Lines = dict[tuple[str, str, str], dict[str, Any]]


def check(*extent: str) -> Lines:
    lines = json_lines("child_static.py", "v5litepod-4", ",".join(MODELS), *extent)
    return {(line["model"], line["function"], line["image"]): line for line in lines}


@pytest.fixture(scope="module")
def checked() -> Lines:
    """Networks of three blocks."""
    return check()


@pytest.fixture(scope="module")
def tiny() -> dict[tuple[str, str], dict[str, Any]]:
    """Sixteen replicas, so batch norm in groups; updates in two parts, so a loop."""
    lines = json_lines("child_static.py", "v5litepod-16", "tiny")
    return {(line["model"], line["function"]): line for line in lines}


def assert_fit(model: str, checked: Lines) -> None:
    own = {key[1:]: line for key, line in checked.items() if key[0] == model}
    assert {function for function, _ in own} == {"train", "eval", "serving"}
    assert {image for function, image in own if function == "serving"} == {"uint8", "float32"}
    assert [line["problems"] for line in own.values()] == [[]] * len(own)


def assert_all_of_the_step(model: str, trainable: int, all_weights: int, checked: Lines) -> None:
    train = next(line for key, line in checked.items() if key[:2] == (model, "train"))
    assert train["replicas"] == 4
    assert train["sums"] == trainable  # each gradient is summed over the replicas, once
    # Weights and their averages, two slots of each trainable one, the step.
    assert train["variables"] == 2 * all_weights + 2 * trainable + 1
    assert train["bfloat16"] > 2 * trainable  # computes in bfloat16 without being told


@pytest.mark.parametrize("model", MODELS)
def test_train_eval_and_serving_are_fit_for_a_tpu(model: str, checked: Lines) -> None:
    assert_fit(model, checked)


@pytest.mark.parametrize(
    ("model", "trainable", "all_weights"),
    # Stem and head have 3 trainable weights each, the classifier 2, the first block 10, the others
    # 13, each of the 10 batch norms 2 more; lite0 lacks squeeze-and-excitation, 4 in each block.
    [("efficientnet-b0", 44, 64), ("efficientnet-lite0", 32, 52)],
)
def test_the_whole_step_was_checked(
    model: str, trainable: int, all_weights: int, checked: Lines
) -> None:
    assert_all_of_the_step(model, trainable, all_weights, checked)


@pytest.mark.slow
def test_whole_networks_are_fit() -> None:
    checked = check("whole")
    for model in MODELS:
        assert_fit(model, checked)
    # As keras.applications' B0 without its normalisation layer; lite0 has as many blocks.
    assert_all_of_the_step("efficientnet-b0", 213, 311, checked)
    assert_all_of_the_step("efficientnet-lite0", 149, 247, checked)


def test_batch_norm_groups_and_accumulation_are_fit(tiny: Any) -> None:
    for function in ("train", "eval", "serving"):
        assert tiny["tiny", function]["problems"] == []
    assert tiny["tiny", "train"]["replicas"] == 16


def test_bad_ops_are_found_in_the_replicas_and_in_their_loops(tiny: Any) -> None:
    found = " ".join(tiny["bad", "replica_fn"]["problems"])
    assert "PrintV2 (while" in found
    assert "DstT is float64" in found
