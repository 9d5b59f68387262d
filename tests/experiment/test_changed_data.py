"""A run whose data set changes: refused before anything is written, or continued when asked."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image
from two_blocks import TWO_BLOCKS_FLAG

from efficientnet_tf.commands.command_line import main

ROOT = Path(__file__).parents[2]
TINY = [
    f"--config={ROOT}/configs/digits.py",
    "--config.model.resolution=16",
    "--config.model.width_coefficient=0.1",
    TWO_BLOCKS_FLAG,
    "--config.optimizer.schedule=cosine",
    "--config.optimizer.warmup_epochs=0",
    "--config.train.global_batch_size=8",
    "--config.train.epochs=2",
    "--config.train.eval_every_epochs=1",
]


def add(root: Path, name: str, numbers: range) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.RandomState(number).randint(0, 256, [16, 16, 3]).astype(np.uint8)
        Image.fromarray(pixels).save(root / name / f"{number}.png")


def run(model_dir: Path, photos: Path, *flags: str, word: str | None = None) -> int:
    argv = ["main.py", f"--model_dir={model_dir}", *TINY, f"--config.data.source=folder:{photos}"]
    argv = [argv[0], *([word] if word else []), *argv[1:], *flags]
    with patch.object(sys, "argv", argv):  # ml_collections reads it, too
        return main(argv)


@pytest.fixture(scope="module", autouse=True)
def no_report() -> Iterator[None]:
    with patch("efficientnet_tf.report.write.try_report", return_value="report: none"):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/ and run/, which was trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    add(folder / "photos", "cat", range(20))
    add(folder / "photos", "dog", range(20))
    assert run(folder / "run", folder / "photos", "--mode=train") == 0
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> tuple[Path, Path]:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run", tmp_path / "photos"


def files(model_dir: Path) -> dict[str, bytes]:
    paths = [path for path in model_dir.rglob("*") if path.is_file() and path.name != "run.lock"]
    return {str(path): path.read_bytes() for path in paths}


def test_more_images_are_refused_or_asked_for(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model_dir, photos = copied
    before = files(model_dir)
    stored = json.loads((model_dir / "data.json").read_text())["splits"]
    add(photos, "cat", range(20, 26))
    add(photos, "dog", range(20, 26))
    longer = ["--mode=train", "--config.train.epochs=3"]
    capsys.readouterr()
    assert run(model_dir, photos, *longer) == 2
    assert "the data set has changed since the run in" in capsys.readouterr().err
    assert run(model_dir, photos, word="evaluate") == 2
    assert files(model_dir) == before

    assert run(model_dir, photos, *longer, "--config.data.accept_changes=True") == 0
    said = capsys.readouterr().out
    assert "data changed since the run began: train: " in said
    assert "warning: an epoch is now " in said
    assert "warning: the run now ends at step " in said
    now = json.loads((model_dir / "data.json").read_text())["splits"]
    for split in ("minival", "test"):
        assert set(stored[split]["listing"]) <= set(now[split]["listing"])
    assert run(model_dir, photos, *longer) == 0  # it was accepted, and is the data set now
    add(photos, "dog", range(26, 28))
    assert run(model_dir, photos, *longer) == 2  # but not whatever comes


def test_a_renamed_class_is_refused(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model_dir, photos = copied
    before = files(model_dir)
    (photos / "dog").rename(photos / "ant")
    for flags, word in ((["--mode=train", "--config.train.epochs=3"], None), ([], "evaluate")):
        assert run(model_dir, photos, *flags, "--config.data.accept_changes=True", word=word) == 2
        assert 'not the same (missing: "dog"; new: "ant")' in capsys.readouterr().err
    assert files(model_dir) == before


def test_one_class_is_nothing_to_tell_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ("--config.data.source=synthetic", "--config.data.num_classes=1")
    assert run(tmp_path / "run", tmp_path, *one) == 2
    assert "synthetic has one class, so there is nothing to tell apart" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
