"""A run as main.py leaves it behind: a tiny network on digits, its files written by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.runs.checkpoint import Checkpointer
from efficientnet_tf.runs.predictions import Predictions, save
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.zoo import create_model

NAMES = ("<b>zero</b>", "one & only", '"two"', "drei…ß", *"456789")
MODEL = {"width_coefficient": 0.1, "depth_coefficient": 0.3, "resolution": 32}


def answers(classes: int = 10, examples: int = 359) -> Predictions:
    """Of the test split of digits: mostly right; confident in one class of all examples."""
    labels = np.asarray(digits_source().arrays["test"][1])[:examples].astype(np.int32)
    random = np.random.default_rng(0)
    logits = random.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += 2.0
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(np.arange(len(labels)), labels, shares.astype(np.float32))


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """Writes config, history, timing, evaluation, versions and command; no checkpoint."""

    def make(folder: Path, **fields: Any) -> Path:
        from efficientnet_tf.evaluation.scores import scores

        folder.mkdir(parents=True)
        changes = {f"model.{name}": value for name, value in MODEL.items()}
        changes |= {"data.source": "digits", "data.augment": "autoaugment+mixup(alpha=0.2)"}
        changes |= {"train.epochs": 2.0, "train.global_batch_size": 32, **fields}
        config = config_lib.to_dict(config_lib.from_dict(changes))
        (folder / "config.json").write_text(json.dumps(config))
        history: list[dict[str, Any]] = []
        timing: list[dict[str, Any]] = []
        for step in range(10, 80, 10):
            history.append({"step": step, "loss": 3.0 - step / 50, "learning_rate": step * 1e-4})
            line = {"step": step, "seconds/input": 0.5, "seconds/steps": 1.5}
            timing.append(
                {**line, "images_per_second": 160.0, **({"first": True} if step == 10 else {})}
            )
        for step, top1 in ((35, 0.5), (70, 0.75)):
            for weights in ("average", "raw"):
                loss = 80.0 if weights == "raw" else 1.0
                values = {"examples": 179, "loss": loss, "top1": top1, "top5": 0.9}
                prefix = f"minival/{weights}/"
                history.append({"step": step, **{prefix + name: v for name, v in values.items()}})
            timing.append({"step": step, "seconds/evaluation": 3.0})
        timing.append({"step": 70, "seconds/checkpoint": 1.0})
        write_lines(folder / "history.jsonl", history)
        write_lines(folder / "timing.jsonl", timing)
        found = answers()
        save(str(folder / "predictions-test.npz"), found)
        evaluation = {"split": "test", "weights": "average", "step": 70, "skipped": 0}
        evaluation |= scores(found, NAMES)
        (folder / "evaluation-test.json").write_text(json.dumps(evaluation))
        (folder / "versions.json").write_text(json.dumps({"tensorflow": "2.21.0"}))
        command = {
            "command": "python main.py --model_dir='a <&> b'",
            "directory": "/home/ü",
            "started": "2026-11-21 12:00:00 +0000",
            "from_step": 0,
            "machine": {"host": "vm", "processor": "AMD EPYC", "devices": "CPU (2 cores)"},
        }
        (folder / "command.json").write_text(json.dumps(command))
        return folder

    return make


@pytest.fixture(scope="session")
def whole_run(make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a checkpoint, too, in a folder with a difficult name; tests do not change it."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "run <i>&amp; ü")
    model = create_model("efficientnet-b0", classes=10, classifier_activation=None, **MODEL)
    Checkpointer(str(folder), TrainState(model, with_average=True), keep=1).save_best(70)
    return folder
