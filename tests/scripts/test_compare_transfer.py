"""The comparison of first weights: its images, its random features, its rule, its flags."""

import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.runs import repeats
from efficientnet_tf.runs.trained_model import from_weights

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "compare_transfer.py"))


def test_the_drawn_digits_are_those_of_the_test_split_in_other_colours(tmp_path: Path) -> None:
    for name in ("one", "two"):
        SCRIPT["draw_digits"](tmp_path / name)
    source = folder_source(str(tmp_path / "one"))
    assert source.class_names == tuple("0123456789")
    # 359 in all; none of them was trained on.
    assert source.num_examples == {"train": 100, "minival": 100, "test": 159}
    paths = sorted(path.relative_to(tmp_path / "one") for path in tmp_path.glob("one/*/*/*.png"))
    counts = Counter(path.parts[:2] for path in paths if path.parts[0] != "test")
    assert set(counts.values()) == {10}
    pixels = [np.asarray(Image.open(tmp_path / "one" / path)) for path in paths[:20]]
    assert {image.shape for image in pixels} == {(32, 32, 3)}
    assert any(np.ptp(image.mean((0, 1))) > 30 for image in pixels), "they have colours"
    for path in paths[:20]:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


@pytest.mark.parametrize("photo", ["china", "flower"])
def test_no_pixel_of_a_photograph_is_in_two_tiles(tmp_path: Path, photo: str) -> None:
    SCRIPT["_TASKS"][photo](tmp_path / "task")
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


def test_random_features_are_an_import_that_a_classifier_can_use(tmp_path: Path) -> None:
    """As drawn their deviation is below 1e-3; the last norm makes it 1, before its activation."""
    path = tmp_path / "random.safetensors"
    SCRIPT["random_features"](path)
    model = from_weights(str(path), resolution=64).model
    layer = model.get_layer("top_bn")
    preprocessing = Preprocessing(64, eval_crop="none")
    images = digits_source().arrays["test"][0][:64]
    batch = np.stack([preprocessing.for_eval(image).numpy() for image in images])
    around = keras.Model(model.input, [layer.input, layer.output])
    below, features = around.predict(batch, verbose=0)
    assert below.std((0, 1, 2)).max() < 1e-3
    normal = np.random.default_rng(0).normal(size=100_000)
    activated = normal / (1 + np.exp(-normal))  # swish, which our layer computes, too
    assert np.median(features.std((0, 1, 2))) == pytest.approx(activated.std(), rel=0.05)
    assert np.median(features.mean((0, 1, 2))) == pytest.approx(activated.mean(), abs=0.05)


def test_the_rate_is_the_one_that_is_best_on_minival(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of the two that are right as often, the one of less loss; nothing is tested."""
    results = {
        0.01: (0.4, 2.0),
        0.03: (0.5, 1.5),
        0.1: (0.5, 1.4),
        0.3: (0.1, 1.0),
        1.0: (0.0, 9.0),
    }

    def train(run: repeats.Repeat, flags: list[str], folder: str) -> dict[str, Any]:
        assert (flags, folder, run.split) == (["--a=1"], str(tmp_path), "minival")
        assert run.modes == ("train", "eval")
        top1, loss = results[float(run.flags[0].partition("=")[2])]
        return {"top1": top1, "loss": loss}

    monkeypatch.setattr(repeats, "train", train)
    assert SCRIPT["chosen_rate"](["--a=1"], tmp_path) == 0.1


def test_the_runs_of_a_task_differ_in_their_first_weights_and_rate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The runs are made up: the pretrained ones are best, and the random features no better."""
    started: dict[str, set[str]] = {}
    best = {"scratch": "rate-0.01", "random features": "rate-0.3", "pretrained": "rate-0.1"}

    def train(run: repeats.Repeat, flags: list[str], folder: str) -> dict[str, Any]:
        arm = Path(folder).name
        if run.name.startswith("seed"):
            started[arm] = set(flags)
            assert run.split == "test"
        top1 = 0.6 if arm == "pretrained" else 0.3
        return {"top1": top1 + 0.1 * (run.name == best.get(arm)), "loss": 1.0}

    monkeypatch.setattr(repeats, "train", train)
    (tmp_path / "random.safetensors").touch()
    flags = ["--task=china", f"--output_dir={tmp_path}", "--epochs=7"]
    assert SCRIPT["main"](["compare_transfer.py", *flags]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "random features: the worst run is NOT above the best from scratch",
        "pretrained: the worst run is above the best from scratch",
    ]
    rate = "--config.optimizer.base_learning_rate={}"
    common = started["scratch"] - {rate.format(0.01)}
    assert "--config.train.epochs=7" in common
    assert not any("init_from" in flag or "rate=" in flag for flag in common)
    new_head = "--config.transfer.new_head=true"
    assert started["random features"] == common | {
        rate.format(0.3),
        f"--config.init_from={tmp_path / 'random.safetensors'}",
        new_head,
        "--config.transfer.freeze_until=head",
    }
    assert started["pretrained"] == common | {
        rate.format(0.1),
        f"--config.init_from={tmp_path / 'pretrained-digits'}",
        new_head,
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--seed=1"],
            "unknown flag --seed=1; there are --task, --output_dir, --epochs, --seeds, --weights",
        ),
        (["--task=chine"], 'one of digits, china, flower, received "chine". Did you mean "china"'),
        (["--output_dir=/dev/null/x"], '"/dev/null/x" cannot be made: Not a directory'),
        (["--seeds=1"], 'at least 2, received "1"'),
        (["--epochs=0"], 'at least 1, received "0"'),
        (["--epochs=0.5"], 'at least 1, received "0.5"'),
        (["--seeds"], "unknown flag --seeds"),
    ],
)
def test_wrong_use_is_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert SCRIPT["main"](["compare_transfer.py", *flags]) == 2
    assert message in capsys.readouterr().err
