"""The comparison of first weights: its drawn images, its random weights, its rule, its flags."""

import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from efficientnet_tf import repeats
from efficientnet_tf.data.folder import folder_source
from efficientnet_tf.importers import weights_file

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "compare_transfer.py"))


def test_the_drawn_digits_are_those_of_the_test_split_in_other_colours(tmp_path: Path) -> None:
    for name in ("one", "two"):
        SCRIPT["draw_digits"](tmp_path / name)
    source = folder_source(str(tmp_path / "one"), minival=1)
    assert source.class_names == tuple("0123456789")
    assert source.num_examples["train"] + source.num_examples["minival"] == 100
    assert source.num_examples["test"] == 259  # of 359; none of them was trained on
    paths = sorted(path.relative_to(tmp_path / "one") for path in tmp_path.glob("one/*/*/*.png"))
    assert set(Counter(path.parts[1] for path in paths if path.parts[0] == "train").values()) == {
        10
    }
    pixels = [np.asarray(Image.open(tmp_path / "one" / path)) for path in paths[:20]]
    assert {image.shape for image in pixels} == {(32, 32, 3)}
    assert any(np.ptp(image.mean((0, 1))) > 30 for image in pixels), "they have colours"
    for path in paths[:20]:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


@pytest.mark.parametrize("photo", ["china", "flower"])
def test_no_pixel_of_a_photograph_is_in_two_tiles(tmp_path: Path, photo: str) -> None:
    SCRIPT["_TASKS"][photo].draw(tmp_path / "task")
    source = folder_source(str(tmp_path / "task"))
    assert source.num_classes == 12
    assert source.num_examples == {"train": 120, "minival": 120, "test": 432}
    image = load_sample_image(f"{photo}.jpg")
    used = np.zeros(image.shape[:2], int)
    for path in (tmp_path / "task").glob("*/*/*.png"):
        top, left = map(int, path.stem.split("-"))
        row, column = map(int, path.parent.name.split("-"))
        assert (row, column) == (top // (427 // 3), left // (640 // 4))  # its class is its place
        used[top : top + 20, left : left + 20] += 1
        if path.parts[-3] == "test":
            continue
        drawn = np.asarray(Image.open(path)).astype(float)
        tile = image[top : top + 20, left : left + 20].astype(float)
        found, given = drawn.mean((0, 1)), tile.mean((0, 1))
        assert np.all((found > 0.9 * given - 1) & (found < 1.1 * given + 1))  # 1: rounding
        green, turned = tile[..., 1], drawn[..., 1]
        if green.std() > 10 and turned.max() < 250:
            turns = [np.rot90(green, quarters).ravel() for quarters in range(4)]
            assert max(np.corrcoef(turn, turned.ravel())[0, 1] for turn in turns) > 0.99
    assert used.max() == 1
    assert used.sum() == 672 * 400


def test_all_tiles_of_a_photograph_are_there_to_pretrain(tmp_path: Path) -> None:
    for name in ("one", "two"):
        SCRIPT["draw_tiles"]("china", tmp_path / name, {})
    source = folder_source(str(tmp_path / "one"))
    assert (source.num_classes, sum(source.num_examples.values())) == (12, 672)
    for path in (tmp_path / "one").glob("2-*/*.png"):
        again = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == again.read_bytes()


def test_the_rate_is_the_one_that_is_best_on_minival(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of the two that are right as often, the one of less loss; nothing is tested."""
    results = {0.009: (0.4, 2.0), 0.027: (0.5, 1.5), 0.08: (0.5, 1.4)}

    def train(run: repeats.Run, flags: list[str], folder: str) -> dict[str, Any]:
        assert (flags, folder, run.split) == (["--a=1"], str(tmp_path), "minival")
        assert run.modes == ("train", "eval")
        top1, loss = results[float(run.flags[0].partition("=")[2])]
        return {"top1": top1, "loss": loss}

    monkeypatch.setattr(repeats, "train", train)
    assert SCRIPT["chosen_rate"](tuple(results), ["--a=1"], tmp_path) == 0.08
    assert SCRIPT["chosen_rate"]((0.3,), ["--a=1"], tmp_path / "nothing is trained") == 0.3


@pytest.mark.parametrize(
    ("asked", "rates"),
    [
        ("same", {"scratch": 0.009, "random": 0.009, "flower": 0.009, "digits": 0.009}),
        ("own", {"scratch": 0.009, "random": 0.009, "flower": 0.08, "digits": 0.009}),
    ],
)
def test_the_runs_of_a_task_differ_in_their_first_weights_and_by_request_in_their_rate(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    asked: str,
    rates: dict[str, float],
) -> None:
    """The runs are made up: those from the other photograph are best, from the digits worst."""
    started: dict[str, set[str]] = {}

    def train(run: repeats.Run, flags: list[str], folder: str) -> dict[str, Any]:
        arm = Path(folder).name
        if run.name.startswith("seed"):
            started[arm] = set(flags)
        best = "rate-0.08" if arm.endswith("flower") else "rate-0.009"
        tops = {"pretrained-flower": 0.6, "pretrained-digits": 0.1}
        return {"top1": tops.get(arm.rpartition("-")[0], 0.3) + (run.name == best), "loss": 1.0}

    monkeypatch.setattr(repeats, "train", train)
    flags = ["--task=china", f"--output_dir={tmp_path}", f"--rate={asked}"]
    assert SCRIPT["main"](["compare_transfer.py", *flags]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "random: the worst run is NOT above the best from scratch",
        "pretrained-flower: the worst run is above the best from scratch",
        "pretrained-digits: the worst run is NOT above the best from scratch",
    ]
    rate = "--config.optimizer.base_learning_rate={}"
    scratch = started["scratch-0.009"] - {rate.format(0.009)}
    assert not any("init_from" in flag or "rate=" in flag for flag in scratch)
    for arm, weights in {
        "random": "random.safetensors",
        "flower": "pretrained-flower",
        "digits": "pretrained-digits",
    }.items():
        name = "random" if arm == "random" else f"pretrained-{arm}"
        assert started[f"{name}-{rates[arm]}"] == scratch | {
            rate.format(rates[arm]),
            f"--config.init_from={tmp_path / weights}",
            "--config.transfer.new_head=true",
        }


def test_the_random_weights_are_a_file_of_ours(tmp_path: Path) -> None:
    SCRIPT["random_weights"](tmp_path / "random.safetensors")
    arrays, info = weights_file.load(str(tmp_path / "random.safetensors"))
    assert (info.classes, info.resolution, info.class_names) == (10, 32, None)
    assert not arrays["predictions/bias"].any()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--seed=1"],
            "unknown flag --seed=1; there are --output_dir, --task, --rate, --weights, --seeds",
        ),
        (["--task=chine"], 'one of digits, china, flower, received "chine". Did you mean "china"'),
        (["--rate=best"], '--rate must be one of same, own, received "best"'),
        (["--output_dir=/dev/null/x"], '"/dev/null/x" cannot be made: Not a directory'),
        (["--seeds=1"], 'at least 2, received "1"'),
        (["--seeds"], "unknown flag --seeds"),
    ],
)
def test_wrong_use_is_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert SCRIPT["main"](["compare_transfer.py", *flags]) == 2
    assert message in capsys.readouterr().err
