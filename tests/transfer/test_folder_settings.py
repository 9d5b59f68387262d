"""What is chosen for a folder: counts and sizes as they are, rules at their ends, small sets."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS

from efficientnet_tf.commands.command_line import main
from efficientnet_tf.config import ExperimentConfig, finish
from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.errors import UsageError
from efficientnet_tf.optim.ema import ema_decay
from efficientnet_tf.transfer import folder_settings
from efficientnet_tf.transfer.folder_settings import Survey

ROOT = Path(__file__).parents[2]


def write(root: Path, classes: dict[str, int], height: int = 40, width: int = 50) -> str:
    chance = np.random.RandomState(0)
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = chance.randint(0, 60, (height, width, 3)) + 100 * number
            path = root / name / f"{index}.png"
            path.write_bytes(tf.io.encode_png(pixels.astype(np.uint8)).numpy())
    return str(root)


def chosen(found: Survey) -> dict:
    return {choice.field: choice.value for choice in folder_settings.choose(found)}


def a_survey(train: int = 8000, side: int = 300, **changes: object) -> Survey:
    counts = (train // 2, train - train // 2)
    fields = {"minival": train // 8, "test": train // 8, "class_counts": counts, **changes}
    return Survey("drawn", train, side=side, **fields)


def test_a_folder_is_counted_and_measured(tmp_path: Path) -> None:
    folder = write(tmp_path, {"cat": 20, "dog": 10})
    found = folder_settings.survey(folder_source(folder, minival=3, test=3))
    assert (found.train, found.minival, found.test) == (24, 3, 3)
    assert sum(found.class_counts) == 24
    assert found.side == 40


def test_damaged_images_have_no_size(tmp_path: Path) -> None:
    folder = write(tmp_path, {"cat": 3, "dog": 3})
    for path in tmp_path.glob("*/*.png"):
        path.write_bytes(b"no image")
    assert folder_settings.survey(folder_source(folder)).side == 224


@pytest.mark.parametrize(
    ("side", "resolution"), [(8, 64), (64, 64), (65, 96), (180, 192), (199, 224), (300, None)]
)
def test_images_are_not_enlarged_much(side: int, resolution: int | None) -> None:
    values = chosen(a_survey(side=side))
    assert values["model.resolution"] == resolution
    assert ("data.train_crop" in values) == (side <= 64)


@pytest.mark.parametrize("train", [2, 3, 8, 50, 200, 1000, 10_000, 10**6])
def test_the_rules_hold_from_two_images_to_a_million(train: int) -> None:
    values = chosen(a_survey(train=train))
    batch = values["train.global_batch_size"]
    assert 1 <= batch <= min(train, 64)
    assert batch & (batch - 1) == 0
    updates = values["train.epochs"] * train / batch
    assert updates == pytest.approx(min(max(20 * train / batch, 300), 20_000))
    assert values["optimizer.warmup_epochs"] == pytest.approx(values["train.epochs"] / 20)
    assert values["optimizer.base_learning_rate"] * batch / 256 == pytest.approx(0.01)
    assert 0.9 <= values["transfer.batch_norm_momentum"] < 1
    assert 1 <= values["train.eval_every_epochs"] <= values["train.epochs"]
    # The average at the end has forgotten the first weights: what is left of them is the product
    # of the decays.
    left = np.prod([ema_decay(step) for step in range(1, 300)])
    assert left < 1e-10


def test_what_is_given_decides_the_rest() -> None:
    given = {"train.global_batch_size": 16, "train.epochs": 5.0, "data.balanced_sampling": True}
    found = a_survey(train=1600, class_counts=(400, 1200 + 1))
    values = {choice.field: choice.value for choice in folder_settings.choose(found, given)}
    assert not set(given) & set(values)
    assert values["optimizer.base_learning_rate"] * 16 / 256 == pytest.approx(0.01)
    assert values["optimizer.warmup_epochs"] == pytest.approx(0.25)
    assert values["transfer.batch_norm_momentum"] == pytest.approx(0.9)  # 100 updates in a pass
    assert values["transfer.class_weights"] == "none"  # not twice
    few = {c.field: c.value for c in folder_settings.choose(found, {"train.epochs": 0.5})}
    assert few["train.eval_every_epochs"] == few["train.checkpoint_every_epochs"] == 0.5


def test_patience_needs_enough_images_to_judge_by() -> None:
    assert chosen(a_survey(minival=49))["train.patience"] == 0
    assert chosen(a_survey(minival=50))["train.patience"] == 5


def test_uneven_classes_are_balanced() -> None:
    assert chosen(a_survey(class_counts=(10, 30)))["transfer.class_weights"] == "none"
    assert chosen(a_survey(class_counts=(10, 31)))["transfer.class_weights"] == "balanced"


def test_every_choice_is_a_field_and_is_explained() -> None:
    found = a_survey(side=20)
    config = ExperimentConfig()
    folder_settings.apply(config, folder_settings.choose(found))
    finish(config)
    text = folder_settings.explain(found, folder_settings.choose(found))
    for choice in folder_settings.choose(found):
        assert f"  {choice.field}=" in text
        assert len(choice.reason) > 5


def test_ten_images_of_two_classes_are_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """By the command of the documentation; what the command line says comes before the rules."""
    folder = write(tmp_path / "data", {"dark": 5, "light": 5})
    argv = [
        "main.py",
        f"--config={ROOT}/configs/finetune.py",
        f"--data_dir={folder}",
        f"--model_dir={tmp_path}/run",
        "--config.model.resolution=16",
        "--config.model.width_coefficient=0.1",
        f"--config.model.blocks_args={TWO_BLOCKS!r}",
        "--config.train.steps_per_loop=100",
        # The rules see the eight images that this leaves, and choose the batch for them.
        "--config.data.minival=1",
        "--config.data.test=1",
        # Once, at the end: an epoch has one step.
        "--config.train.eval_every_epochs=300",
        "--config.train.checkpoint_every_epochs=300",
    ]
    monkeypatch.setattr(sys, "argv", argv)
    assert main(argv) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "2 classes, 8 train, 1 minival, 1 test images" in said
    assert "train.global_batch_size=8 " in said
    assert "2 classes, 16x16 pixels" in said
    assert json.loads((tmp_path / "run" / "evaluation-test.json").read_text())["top1"] == 1
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["train.eval_every_epochs"] == 300
    assert stored["train.epochs"] == 300


def test_a_folder_must_be_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    argv = ["main.py", f"--config={ROOT}/configs/finetune.py"]
    monkeypatch.setattr(sys, "argv", argv)
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error == "error: configs/finetune.py needs --data_dir=MY_FOLDER, a folder of classes.\n"


def test_a_folder_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match='"/nowhere" is not a folder'):
        folder_settings.configured_for("/nowhere")
