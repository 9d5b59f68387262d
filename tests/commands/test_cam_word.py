"""The word cam as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from two_blocks import TWO_BLOCKS

from efficientnet_tf import config as config_lib
from efficientnet_tf.runs.checkpoint import Checkpointer, claim_model_dir
from efficientnet_tf.zoo import create_model

ROOT = Path(__file__).parents[2]
IMAGES = Path(__file__).parents[1] / "golden" / "images"
PHOTOS = sorted(IMAGES.glob("*.jpg"))


def cam(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "cam", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=200,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_state: Any) -> Path:
    """Two runs of one name in two folders, and weights of a MobileNet."""
    folder = tmp_path_factory.mktemp("cam")
    for place, resolution in (("a", 32), ("b", 64)):
        state = tiny_state(classifier_activation="softmax", resolution=resolution)
        config = config_lib.ExperimentConfig()
        config.model.width_coefficient = 0.1
        config.model.blocks_args = TWO_BLOCKS
        config.model.resolution = resolution
        config.data.source = "digits"
        model_dir = str(folder / place / "run")
        claim_model_dir(model_dir, config)
        Checkpointer(model_dir, state, keep=1).save_best(1)
    keras.utils.set_random_seed(0)
    model = create_model("efficientnet-lite0", classes=3, resolution=32)
    model.save_weights(str(folder / "lite.weights.h5"))
    (folder / "broken.jpg").write_bytes(PHOTOS[0].read_bytes()[:3000])
    return folder


def test_two_runs_side_by_side(folder: Path) -> None:
    done = cam(
        folder, "--model_dir=a/run,b/run", "--class=3", "--output_dir=out", "broken.jpg", *PHOTOS
    )
    assert done.returncode == 1, done.stderr
    assert "unusable: broken.jpg: " in done.stderr
    facts = json.loads((folder / "out" / "maps.json").read_text())
    assert [each["model"] for each in facts] == ["run-1"] * 3 + ["run-2"] * 3
    assert {(each["class"], each["name"]) for each in facts} == {(3, "3")}
    for each, side in zip(facts, [8] * 3 + [16] * 3, strict=True):
        stored = np.load(folder / "out" / each["map"])
        assert stored.dtype == np.float32
        assert list(stored.shape) == each["shape"] == [side, side]
        # The classifier's bias is still 0.
        assert stored.mean() == pytest.approx(each["logit"], abs=1e-4)
    # The centre crop of a 451 x 300 photo at 32 px: 32 / 64 of the shorter side.
    cat = next(each for each in facts if "cat" in each["image"])
    assert cat["box"] == [75, 151, 150, 150]
    overlay = np.asarray(Image.open(folder / "out" / cat["overlay"]))
    assert overlay.shape == (213, 320, 3)
    sheet = np.asarray(Image.open(folder / "out" / "sheet.png"))
    assert sheet.shape[1] == 3 * 328 + 8
    names = sorted(path.name for path in (folder / "out").iterdir())
    assert len(names) == 6 * 2 + 2


def test_grad_cam_of_a_file_of_weights(folder: Path) -> None:
    done = cam(
        folder,
        *("--weights=lite.weights.h5", "--model=efficientnet-lite0", "--classes=3"),
        *("--resolution=64", "--method=grad-cam", "--layer=reduction_3", "--output_dir=grad"),
        PHOTOS[0],
    )
    assert done.returncode == 0, done.stderr
    (facts,) = json.loads((folder / "grad" / "maps.json").read_text())
    assert facts["shape"] == [8, 8]
    assert (facts["method"], facts["layer"]) == ("grad-cam", "reduction_3")
    assert np.load(folder / "grad" / facts["map"]).min() >= 0
    assert f"{facts['name']} {100 * facts['probability']:.1f} %" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model_dir=a/run", "--layer=top_bn"], "--layer goes with --method=grad-cam"),
        (["--output_dir=x"], "expected --model_dir or --weights"),
        (["--model_dir=a/run", "--output_dir=broken.jpg/x"], "--output_dir: "),
        (["--model_dir=a/run", "--no_such=1"], "See --help"),
        (["--model_dir=a/run", "--method=gradcam"], "should be one of <cam|grad-cam>"),
    ],
)
def test_wrong_use(folder: Path, arguments: list[str], message: str) -> None:
    done = cam(folder, *arguments, PHOTOS[0])
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
