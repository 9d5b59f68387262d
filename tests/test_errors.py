"""The end of a message that offers the nearest names."""

import pytest

from efficientnet_tf.errors import RunError, UsageError, first_line, nearest

MODELS = ("efficientnet-b0", "efficientnet-b1", "efficientnet-edgetpu-S")


@pytest.mark.parametrize(
    ("name", "count", "answer"),
    [
        ("efficientnet-b00", 1, ' Did you mean "efficientnet-b0"?'),
        ("EFFICIENTNET-EDGETPU-s", 1, ' Did you mean "efficientnet-edgetpu-S"?'),
        ("efficientnet-b00", 2, ' Did you mean "efficientnet-b0" or "efficientnet-b1"?'),
        ("zzz", 3, ""),
        ("", 3, ""),
    ],
)
def test_nearest_names_what_is_close(name: str, count: int, answer: str) -> None:
    assert nearest(name, MODELS, count) == answer


def test_nearest_offers_the_closest_first() -> None:
    offered = nearest("weight_decy", ["ema_decay", "weight_decay", "decay_epochs"])
    assert offered.startswith(' Did you mean "weight_decay"')
    assert offered.endswith("?")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("no space left\nand more", "no space left"),
        ("{{function_node __wrapped__SaveV2}} no space left [Op:SaveV2]", "no space left"),
        ("", "ValueError"),
    ],
)
def test_the_first_line_is_without_names_of_tensorflow(said: str, line: str) -> None:
    assert first_line(ValueError(said)) == line


def test_wrong_use_and_failed_runs_are_told_apart() -> None:
    assert issubclass(UsageError, ValueError)
    assert issubclass(RunError, RuntimeError)
    assert not issubclass(UsageError, RunError)
    assert not issubclass(RunError, UsageError)
