"""Epochs to steps, against the numbers of the official run."""

import pytest

from efficientnet_tf.experiment.durations import epochs_to_steps, steps_per_epoch

IMAGENET = 1_281_167


def test_steps_per_epoch_is_not_rounded() -> None:
    assert steps_per_epoch(IMAGENET, 2048) == pytest.approx(625.5698, abs=1e-4)
    assert steps_per_epoch(3, 2) == 1.5


@pytest.mark.parametrize(
    ("epochs", "examples", "batch", "steps"),
    [
        (350, IMAGENET, 2048, 218_949),  # the official train_steps
        (350, IMAGENET, 4096, 109_474),
        (5, IMAGENET, 2048, 3127),  # the official warm-up
        (1, 1259, 64, 19),
        (0.3, 1259, 64, 5),
        (1e-9, 1259, 64, 1),  # a positive duration is at least a step
        (0, 1259, 64, 0),
        (1, 10, 4096, 1),
    ],
)
def test_epochs_become_whole_steps(epochs: float, examples: int, batch: int, steps: int) -> None:
    assert epochs_to_steps(epochs, examples, batch) == steps
