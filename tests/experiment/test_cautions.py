"""What is said before training: a sentence where the numbers make no sense, and none elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.data.sources.in_memory import array_source
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.experiment import cautions
from efficientnet_tf.experiment.updates import schedule
from efficientnet_tf.runs import data_record
from efficientnet_tf.runs.checkpoint import claim_model_dir


def images(train: list[int], minival: list[int] | None = None, classes: int = 2) -> Source:
    """Images of these labels."""
    splits = {"train": train, "minival": minival or [0, 1], "test": [0, 1]}
    arrays = {
        name: (np.zeros([len(labels), 2, 2, 3], np.uint8), np.array(labels))
        for name, labels in splits.items()
    }
    return array_source("made", arrays, num_classes=classes, class_names=("a", "b", "c")[:classes])


def experiment(source: Source, model_dir: Path, step: int = 0, **fields: Any) -> Any:
    usual = {"train__global_batch_size": 4, "train__epochs": 10.0}
    named = {name.replace("__", "."): value for name, value in {**usual, **fields}.items()}
    config = config_lib.from_dict(named)
    rates = schedule(config, source.num_examples["train"])
    return SimpleNamespace(
        config=config,
        data=SimpleNamespace(source=source),
        updates=SimpleNamespace(schedule=lambda: rates),
        model=SimpleNamespace(step=step, model_dir=str(model_dir)),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        (
            {"train__global_batch_size": 4096, "optimizer__warmup_epochs": 0.0},
            "the global batch has 4096 images and train 32: one step is 128 passes over them, at a "
            "learning rate of up to 0.256",
        ),
        (
            {"train__epochs": 3.0},
            "the warm-up has 40 steps and the run 24: the learning rate ends at 0.000144 and never "
            "reaches 0.00025",
        ),
        (
            {"data__balanced_sampling": True, "transfer__class_weights": "balanced"},
            "both make up for rare classes: together they do it twice",
        ),
    ],
)
def test_settings(fields: Mapping[str, Any], expected: str | None, tmp_path: Path) -> None:
    found = list(cautions.any_run(experiment(images([0, 1] * 16), tmp_path, **fields)))
    assert len(found) == (expected is not None)
    assert (expected or "") in "".join(found)


def test_splits_without_a_class(tmp_path: Path) -> None:
    source = images([0, 1] * 16, minival=[0, 0], classes=3)
    found = list(cautions.any_run(experiment(source, tmp_path)))
    assert [line.partition(".")[0] for line in found] == [
        'train has no image of 1 of 3 classes ("c")',
        'minival has no image of 2 of 3 classes ("b", "c")',
        'test has no image of 1 of 3 classes ("c")',
    ]


def test_a_resumed_run_says_how_its_steps_have_moved(tmp_path: Path) -> None:
    fields = {"optimizer__schedule": "cosine", "optimizer__warmup_epochs": 0.0}
    before = experiment(images([0, 1] * 16), tmp_path, **fields)
    claim_model_dir(str(tmp_path), before.config)
    data_record.write(str(tmp_path), before.data.source)
    assert list(cautions.resumed_run(before)) == []  # it has not begun
    same = experiment(images([0, 1] * 16), tmp_path, step=79, **fields)
    assert list(cautions.resumed_run(same)) == []

    longer = experiment(images([0, 1] * 16), tmp_path, step=79, **fields, train__epochs=20.0)
    # Of a cosine from 0.016 * 4 / 256 to 0 over 80 or 160 steps, step 79.
    then, now = (0.000125 * (1 + np.cos(np.pi * 79 / total)) for total in (80, 160))
    assert list(cautions.resumed_run(longer)) == [
        f"the run now ends at step 160, before 80: the learning rate of step 79 is {now:.3g}, "
        f"before {then:.3g}."
    ]
    more = experiment(images([0, 1] * 20), tmp_path, step=40, **fields)
    epochs, steps = cautions.resumed_run(more)
    assert epochs == "an epoch is now 10 steps, before 8: step 40 ends epoch 4, before 5."
    assert steps.startswith("the run now ends at step 100, before 80")
