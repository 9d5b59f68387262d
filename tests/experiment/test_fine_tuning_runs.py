"""Fine-tuning by the command line: it begins with a run's weights, stops, goes on, is used."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS_FLAG

from efficientnet_tf.commands.command_line import main
from efficientnet_tf.runs.trained_model import from_run

ROOT = Path(__file__).parents[2]
TINY = [
    f"--config={ROOT}/configs/digits.py",
    "--config.model.resolution=16",
    "--config.model.width_coefficient=0.1",
    TWO_BLOCKS_FLAG,
    "--config.train.global_batch_size=64",
    "--config.train.epochs=0.3",
]
# Everything at once that must come back after a stop.
FINE = [
    "--config.optimizer.kind=sgd",
    "--config.transfer.new_head=true",
    "--config.transfer.freeze_until=block1",
    "--config.transfer.batch_norm_momentum=0.9",
    "--config.transfer.layer_decay=0.7",
    "--config.transfer.class_weights=balanced",
    "--config.data.balanced_sampling=true",
    "--config.data.train_on_minival=true",
]
STEPS = int(0.3 * (1259 + 179) / 64)


def run(model_dir: Path, *flags: str) -> int:
    argv = ["main.py", f"--model_dir={model_dir}", *TINY, *flags]
    with patch.object(sys, "argv", argv):  # ml_collections reads it, too
        return main(argv)


def tensors(model_dir: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(model_dir / "checkpoints")))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("variables/")]
    return {name: reader.get_tensor(name) for name in names}


@pytest.fixture(scope="module", autouse=True)
def no_report() -> Iterator[None]:
    """Half of what a mode takes with a small network is its report, which has tests of its own."""
    with patch("efficientnet_tf.report.write.try_report", return_value="report: none"):
        yield


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model_dir = tmp_path_factory.mktemp("pretrained") / "run"
    assert run(model_dir, "--mode=train") == 0
    return model_dir


def test_a_stopped_run_goes_on_without_its_first_weights(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """To the last bit; and the frozen stages are still those of the run it began with."""
    gone = tmp_path / "gone"
    shutil.copytree(pretrained, gone)
    fine = [*FINE, f"--config.init_from={gone}"]
    assert run(tmp_path / "whole", "--mode=train", *fine) == 0
    said = capsys.readouterr().out
    assert f"first weights: {gone}, with a new head" in said
    assert "M trained, above block1)" in said
    assert "1438 train, 0 minival, 359 test" in said

    assert run(tmp_path / "parts", "--mode=train", *fine, "--config.train.epochs=0.1") == 0
    assert (tmp_path / "parts" / "checkpoints" / "ckpt-2.index").exists()
    shutil.rmtree(gone)
    assert run(tmp_path / "parts", "--mode=train", *fine) == 0
    assert (tmp_path / "parts" / "checkpoints" / f"ckpt-{STEPS}.index").exists()
    whole, parts, before = (
        tensors(path) for path in (tmp_path / "whole", tmp_path / "parts", pretrained)
    )
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)
    for name, value in whole.items():
        if ".Sblock1" in name or ".Sstem_" in name:  # its averages: that is what was taken
            taken = name.replace("variables/weights.", "variables/average.")
            np.testing.assert_array_equal(value, before[taken], err_msg=name)
    assert not any("mean_square" in name for name in whole)


def test_a_fine_tuned_run_is_evaluated_exported_and_used(pretrained: Path, tmp_path: Path) -> None:
    """With another input normalisation than the network's own, which no checkpoint holds."""
    record = {"source": "x", "checksum": "0", "new_head": True}
    normalisation = {"mean": [1.5, 2.5, 3.5], "std": [50.0, 60.0, 70.0]}
    shutil.copytree(pretrained, tmp_path / "run")
    (tmp_path / "run" / "init_from.json").write_text(json.dumps({**record, **normalisation}))
    fine = [*FINE, f"--config.init_from={tmp_path / 'run'}"]
    assert run(tmp_path / "fine", *fine) == 0  # the export is proved equal to the model in memory
    written = json.loads((tmp_path / "fine" / "init_from.json").read_text())
    assert {key: written[key] for key in normalisation} == normalisation
    assert run(tmp_path / "fine", "--mode=eval", *fine) == 0
    trained = from_run(str(tmp_path / "fine"))
    layer = trained.model.get_layer("normalization")
    assert (list(layer.mean), list(layer.std)) == tuple(normalisation.values())
    stored = tensors(tmp_path / "fine")
    for weight in trained.model.weights:
        name = f"variables/average.S{weight.path.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE"
        np.testing.assert_array_equal(weight, stored[name], err_msg=name)


def test_other_first_weights_are_another_run(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(pretrained, tmp_path / "run")
    assert run(tmp_path / "run", f"--config.init_from={pretrained}") == 2
    assert f"init_from: '' -> '{pretrained}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.init_from=nowhere", 'there is no folder "nowhere"'),
        ("--config.transfer.freeze_until=block9", 'received "block9"'),
        ("--config.transfer.class_weights=1,2", "each of the 10 classes"),
        ("--config.data.num_classes=11", "expects 11 classes"),
        ("--config.data.expected_sizes=(50000,10000)", "expects 50000 images"),
    ],
)
def test_mistakes_are_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture, flag: str, message: str
) -> None:
    assert run(tmp_path / "run", flag) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
