"""The eight data sets of Table 6: sizes, settings, and each trained end to end on a stand-in.

Stand-ins have the true numbers of classes and the features and splits of the source (TFDS's own
code for the sets that are in it), one image a class.
"""

import importlib.util
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from two_blocks import TWO_BLOCKS

from efficientnet_tf.commands.command_line import main
from efficientnet_tf.config import finish
from efficientnet_tf.errors import UsageError

ROOT = Path(__file__).parents[2]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"config_{name}", ROOT / f"configs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


transfer = load("transfer")

# Table 6; for Pets the test size that the set has (the table prints 3,369).
TABLE_6 = {
    "cifar10": (50000, 10000, 10),
    "cifar100": (50000, 10000, 100),
    "birdsnap": (47386, 2443, 500),
    "stanford_cars": (8144, 8041, 196),
    "flowers": (2040, 6149, 102),
    "aircraft": (6667, 3333, 100),
    "pets": (3680, 3669, 37),
    "food101": (75750, 25250, 101),
}


@pytest.mark.parametrize("name", TABLE_6)
def test_sizes_are_those_of_table_6_and_settings_those_that_are_cited(name: str) -> None:
    config = finish(transfer.get_config(name))
    train, test, classes = TABLE_6[name]
    assert config.data.expected_sizes == (train, test)
    assert config.data.num_classes == classes
    steps_per_epoch = train / 256
    assert config.train.global_batch_size == 256
    assert config.train.epochs * steps_per_epoch == pytest.approx(20000)
    momentum = max(1 - 10 / steps_per_epoch, 0.9)
    assert config.transfer.batch_norm_momentum == pytest.approx(momentum)
    assert (config.optimizer.kind, config.optimizer.momentum) == ("sgd", 0.9)
    # eval_crop=padding at 224 is SimCLR's centre crop of 224 after a resize to 256
    assert (config.data.train_crop, config.data.eval_crop) == ("inception", "padding")
    assert config.data.flip
    assert config.data.augment == "none"


def test_the_grid_is_the_cited_one() -> None:
    rates, decays = transfer.LEARNING_RATES, transfer.DECAYS
    assert (len(rates), rates[0], rates[-1]) == (7, pytest.approx(1e-4), pytest.approx(0.1))
    assert (len(decays), decays[0]) == (8, 0)
    assert (decays[1], decays[-1]) == (pytest.approx(1e-6), pytest.approx(1e-3))
    np.testing.assert_allclose(np.diff(np.log10(rates)), 0.5)
    np.testing.assert_allclose(np.diff(np.log10(decays[1:])), 0.5)


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(UsageError, match='received "cifar-10".*"cifar10"'):
        transfer.get_config("cifar-10")


# End to end

TFDS = {  # what the splits of the set are called
    "cifar10": ("train", "test"),
    "cifar100": ("train", "test"),
    "stanford_cars": ("train", "test"),
    "flowers": ("train", "validation", "test"),
    "pets": ("train", "test"),
    "food101": ("train", "validation"),
}


def example(features: Any, number: int, classes: int) -> Any:
    """Values for the features of a set: an image, a label, and nothing of interest else."""
    values = {}
    for key, feature in features.items():
        if isinstance(feature, tfds.features.Image):
            height, width, channels = (side or 24 for side in feature.shape)
            values[key] = np.full((height, width, channels), number % 256, np.uint8)
        elif isinstance(feature, tfds.features.ClassLabel):
            values[key] = number % min(classes, feature.num_classes)
        elif isinstance(feature, tfds.features.Text):
            values[key] = f"image {number}"
        elif isinstance(feature, tfds.features.BBoxFeature):
            values[key] = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
        else:
            values[key] = np.zeros([side or 1 for side in feature.shape], feature.np_dtype)
    return values


def prepare_tfds(name: str, folder: Path) -> list[str]:
    """The set of TFDS's own code, with one drawn image a class and split; its flags."""
    classes = TABLE_6[name][2]

    def generate(self: Any, dl_manager: Any) -> dict[str, Any]:
        features = self.info.features
        rows = [(i, example(features, i, classes)) for i in range(classes)]
        return {split: iter(rows) for split in TFDS[name]}

    set_name = transfer.DATA_SETS[name].source.removeprefix("tfds:")
    builder = tfds.builder(set_name, data_dir=folder)
    assert builder.info.features["label"].num_classes == classes
    with patch.object(type(builder), "_split_generators", generate):
        builder.download_and_prepare()
    return [f"--data_dir={folder}"]


def prepare_folder(name: str, folder: Path) -> list[str]:
    """DIR/train/CLASS, DIR/val/CLASS and DIR/test/CLASS, as docs/transfer.md has it."""
    png = tf.io.encode_png(np.full((24, 24, 3), 9, np.uint8)).numpy()
    for split in ("train", "val", "test"):
        for number in range(TABLE_6[name][2]):
            path = folder / split / f"class {number:03}"
            path.mkdir(parents=True)
            (path / "1.png").write_bytes(png)
    return [f"--data_dir={folder}"]


@pytest.fixture(scope="module", autouse=True)
def no_report() -> Iterator[None]:
    """Half of what a mode takes with a small network is its report, which has tests of its own."""
    with patch("efficientnet_tf.report.write.try_report", return_value="report: none"):
        yield


# Read as cifar10 and birdsnap are, which are always trained.
SLOW = ("cifar100", "aircraft")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in TABLE_6],
)
def test_each_configuration_trains_to_its_end_on_a_stand_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", pytest.fail)
    make = prepare_tfds if name in TFDS else prepare_folder
    flags = make(name, tmp_path / "data")
    classes = TABLE_6[name][2]
    argv = [
        "main.py",
        f"--config={ROOT}/configs/transfer.py:{name}",
        f"--model_dir={tmp_path}/run",
        "--config.model.resolution=16",
        "--config.model.width_coefficient=0.1",
        f"--config.model.blocks_args={TWO_BLOCKS!r}",
        f"--config.train.global_batch_size={classes // 2}",
        "--config.train.epochs=1",
        "--mode=train",
        *flags,
    ]
    monkeypatch.setattr(sys, "argv", argv)
    # As it is, the stand-in is refused: the sizes are not those of Table 6.
    assert main(argv) == 2
    train, test, _ = TABLE_6[name]
    assert f"expects {train} images of train (with minival) and {test} of test" in (
        capsys.readouterr().err
    )
    argv.append("--config.data.expected_sizes=()")
    assert main(argv) == 0, capsys.readouterr().err
    assert f"{classes} classes, 16x16 pixels" in capsys.readouterr().out
    assert tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints")) is not None
