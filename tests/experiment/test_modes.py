"""The true entry, as a user runs it: train, kill, resume, stop, evaluate, export, fail."""

import errno
import json
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS_FLAG

from efficientnet_tf.commands import command_line, experiment_flags, train
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluation import scores, target
from efficientnet_tf.experiment import assembly, modes
from efficientnet_tf.runs import predictions
from efficientnet_tf.storage import files, lock
from efficientnet_tf.training.metrics import Metrics
from efficientnet_tf.training.reporting import Reporter

ROOT = Path(__file__).parents[2]
# The smallest network, with everything that is random switched on.
TINY = [
    f"--config={ROOT}/configs/digits.py",
    "--config.model.resolution=16",
    "--config.model.width_coefficient=0.1",
    TWO_BLOCKS_FLAG,
    "--config.model.survival_prob=0.5",
    "--config.data.train_crop=inception",
    "--config.data.flip=true",
    "--config.data.augment=randaugment+mixup(alpha=0.2)",
    "--config.train.global_batch_size=32",
    "--config.train.epochs=6",
    "--config.train.steps_per_loop=3",
    "--config.train.checkpoint_every_epochs=0.3",
    "--config.train.eval_every_epochs=1",
]
TOTAL_STEPS = int(6 * 1259 / 32)


def start(model_dir: Path, *flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), f"--model_dir={model_dir}", *TINY, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=model_dir.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # also where the package is not installed
    )


def here(model_dir: Path, *flags: str) -> int:
    """The same command in this process, which has TensorFlow already; its exit code."""
    argv = ["main.py", f"--model_dir={model_dir}", *TINY, *flags]
    with patch.object(sys, "argv", argv):  # ml_collections reads it, too
        return command_line.main(argv)


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=300)
    return output


def last_step(model_dir: Path) -> int:
    """The last step written to the history; the process may be writing at this moment."""
    path = model_dir / "history.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    return json.loads(whole[-1])["step"] if whole else 0


def wait_for_step(process: subprocess.Popen, model_dir: Path, step: int) -> None:
    while last_step(model_dir) < step:
        assert process.poll() is None, finish(process)
        time.sleep(0.002)


def newest_step(model_dir: Path, folder: str) -> int:
    """Of the checkpoints in a folder of a run."""
    return int(tf.train.latest_checkpoint(str(model_dir / folder)).rpartition("-")[2])


def tensors(prefix: str) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(prefix)
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("variables/")]
    return {name: reader.get_tensor(name) for name in names}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    model_dir = tmp_path_factory.mktemp("whole") / "run"
    process = start(model_dir)
    output = finish(process)
    assert process.returncode == 0, output
    return model_dir, output


def test_a_run_says_what_it_did_and_where_it_lies(uninterrupted: tuple[Path, str]) -> None:
    model_dir, output = uninterrupted
    assert "10 classes, 16x16 pixels" in output
    assert "1259 train, 179 minival, 359 test images" in output
    assert f"step {TOTAL_STEPS}: minival top-1" in output
    assert f"\n{model_dir}/export (" in output
    assert "reloaded, on 32 images the same best class" in output
    evaluation = json.loads((model_dir / "evaluation-test.json").read_text())
    assert evaluation["examples"] == 359
    assert f"top-1 {100 * evaluation['top1']:.2f} %" in output
    answers = predictions.load(str(model_dir / "predictions-test.npz"))
    counted = scores.scores(answers, tuple("0123456789"))
    for name in ("loss", "top1", "top5"):
        assert counted[name] == pytest.approx(evaluation[name], rel=1e-5)
    for name in ("mean_per_class_accuracy", "per_class", "calibration", "most_confused"):
        assert counted[name] == evaluation[name]
    assert "0000 00:" not in output, "TensorFlow's start-up noise"
    assert f"report: {model_dir}/report.html" in output
    report = (model_dir / "report.html").read_text()
    assert f"<b>{100 * evaluation['top1']:.2f} %</b>" in report
    assert 'id="inputs"' in report
    assert "cannot be read" not in report
    command = json.loads((model_dir / "command.json").read_text())
    assert f"main.py --model_dir={model_dir}" in command["command"]
    assert command["machine"]["devices"].startswith("CPU")
    lines = [json.loads(line) for line in (model_dir / "timing.jsonl").read_text().splitlines()]
    fields = ("seconds/steps", "seconds/input", "seconds/evaluation", "seconds/checkpoint")
    assert all(any(line.get(field, 0) > 0 for line in lines) for field in fields)
    versions = json.loads((model_dir / "versions.json").read_text())
    assert versions["tensorflow"] == tf.__version__
    assert (model_dir / "export" / "saved_model.pb").exists()


def test_the_demo_reads_png_files_with_the_export(
    uninterrupted: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `make demo` ends with."""
    script = runpy.run_path(str(ROOT / "scripts" / "demo_predict.py"))
    script["predict_digits"](str(uninterrupted[0] / "export"), str(tmp_path))
    *lines, last = capsys.readouterr().out.splitlines()
    names = [f"{tmp_path}/digit-{digit}.png shows a {digit}: " for digit in range(10)]
    assert [line[: len(name)] for line, name in zip(lines, names, strict=True)] == names
    assert re.fullmatch(r"\d+ of 10 held-out digits right, read from PNG files .*", last)


def test_a_run_killed_stopped_and_resumed_equals_an_uninterrupted_one(
    uninterrupted: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL leaves what was saved before, SIGTERM saves; eval and export use what is there."""
    model_dir = tmp_path / "run"
    chance = random.Random(0)
    # After the first evaluation, at step 39, which keeps a best checkpoint, and so far from the end
    # that a fast machine has not finished when the signal arrives.
    killed, stopped = sorted(chance.sample(range(40, TOTAL_STEPS // 2), 2))
    process = start(model_dir)
    wait_for_step(process, model_dir, killed)
    time.sleep(chance.random() * 0.2)  # into whatever it does then: a step, a save, a check
    process.kill()
    finish(process)
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"

    process = start(model_dir)
    # The history of the killed process is there until this one goes on from its checkpoint.
    wait_for_step(process, model_dir, max(stopped, last_step(model_dir) + 1))
    process.terminate()
    output = finish(process)
    assert process.returncode == 130, output
    assert "resumed at step" in output
    step = last_step(model_dir)
    assert f"stopped by SIGTERM at step {step}; the same command goes on from there" in output
    assert f"report: {model_dir}/report.html" in output
    assert "made without" in (model_dir / "report.html").read_text()
    assert newest_step(model_dir, "checkpoints") == step

    with lock.held(str(model_dir)):  # as while it trains
        assert here(model_dir) == 2
        said = capsys.readouterr().err
        assert re.search(r"another process trains in .*\nWait for it or stop it", said)
        assert here(model_dir, "--mode=eval", "--config.train.eval_raw_weights=true") == 0
    output = capsys.readouterr().out
    best = newest_step(model_dir, "best")
    assert f"test, weights of step {best}: top-1" in output
    assert f"minival, raw weights of step {best}: top-1" in output
    assert f"report: {model_dir}/report.html" in output
    assert here(model_dir, "--mode=export", f"--export_dir={tmp_path}/elsewhere") == 0
    assert (tmp_path / "elsewhere" / "saved_model.pb").exists()

    assert here(model_dir) == 0
    assert f"resumed at step {step} of {TOTAL_STEPS}" in capsys.readouterr().out
    assert_same_run(model_dir, uninterrupted[0])


def assert_same_run(model_dir: Path, whole_dir: Path) -> None:
    """Checkpoints, history and evaluation are equal to the last bit."""
    for folder in ("checkpoints", "best"):
        newest = tf.train.latest_checkpoint(str(model_dir / folder))
        expected = tf.train.latest_checkpoint(str(whole_dir / folder))
        assert os.path.basename(newest) == os.path.basename(expected)
        whole, resumed = tensors(expected), tensors(newest)
        assert len(whole) > 100
        assert whole.keys() == resumed.keys()
        for name, value in whole.items():
            np.testing.assert_array_equal(value, resumed[name], err_msg=name)
    history = (model_dir / "history.jsonl").read_text()
    assert history == (whole_dir / "history.jsonl").read_text()
    for evaluation in whole_dir.glob("evaluation-*.json"):
        assert (model_dir / evaluation.name).read_text() == evaluation.read_text()


class Died(Exception):
    """The end of a process, without the process."""


def test_two_replicas_resume_to_the_last_bit(
    replicas: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """MirroredStrategy: each replica has masks, inputs and batch-norm statistics of its own."""
    monkeypatch.setattr(assembly, "connect", lambda *_: replicas(2))
    monkeypatch.setattr(sys, "argv", ["main.py", *TINY, "--config.train.epochs=1"])
    take = FlagGroups()
    train.take_flags(take)
    config, _ = experiment_flags.parse_experiment(take, sys.argv)
    whole, died = (modes.Where(str(tmp_path / name)) for name in ("whole", "died"))
    metrics = modes.train_and_score(config, whole)

    progress = Reporter.progress

    def die(self: Reporter, step: int, *values: Any) -> None:
        progress(self, step, *values)
        if step >= 25:
            raise Died

    with patch.object(Reporter, "progress", die), pytest.raises(Died):
        modes.train_and_score(config, died)
    # The newest checkpoint is damaged, the file that names them is lost: an older one is taken.
    folder = tmp_path / "died" / "checkpoints"
    saved, damaged = sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob("*.index"))
    assert 0 < saved < damaged < last_step(tmp_path / "died")
    os.truncate(folder / f"ckpt-{damaged}.data-00000-of-00001", 1000)
    (folder / "checkpoint").unlink()
    assert modes.train_and_score(config, died) == metrics
    said = capsys.readouterr().out
    assert f'the checkpoint "{folder}/ckpt-{damaged}" cannot be read: ' in said
    assert f"Taken in its place: {folder}/ckpt-{saved}\n" in said
    assert f"resumed at step {saved} of 39" in said
    assert_same_run(tmp_path / "died", tmp_path / "whole")


def test_a_finished_run_says_so(
    uninterrupted: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model_dir, first = uninterrupted
    assert here(model_dir) == 0
    output = capsys.readouterr().out
    assert f"already trained: step {TOTAL_STEPS} of {TOTAL_STEPS}" in output
    result = next(line for line in first.splitlines() if line.startswith("test, "))
    assert result in output


@pytest.fixture
def finished(uninterrupted: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return shutil.copytree(uninterrupted[0], tmp_path / "run")


def test_a_run_whose_checkpoints_are_gone_begins_again_only_if_asked(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = (finished / "history.jsonl").read_bytes()
    for folder in ("checkpoints", "best"):
        shutil.rmtree(finished / folder)
    assert here(finished, "--mode=train") == 2
    assert re.search(r"its checkpoints are gone.*\n.*--start_anew", capsys.readouterr().err)
    assert (finished / "history.jsonl").read_bytes() == history
    few = ["--mode=train", "--config.train.epochs=0.1", "--start_anew"]
    assert here(finished, *few) == 0
    assert f"what was there is in {finished}/earlier-1" in capsys.readouterr().out
    assert (finished / "earlier-1" / "history.jsonl").read_bytes() == history
    assert last_step(finished) == newest_step(finished, "checkpoints") == 3
    (finished / "config.json").unlink()
    assert here(finished, *few[:2], "--config.optimizer.base_learning_rate=0.5") == 2
    assert re.search(r"holds checkpoints but no config.json.*\nPut", capsys.readouterr().err)


def test_scores_are_said_before_they_are_written(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("evaluation-test.json", "predictions-test.npz"):
        (finished / name).unlink()
    (finished / "evaluation-test.json").mkdir()
    assert here(finished, "--mode=eval") == 1
    said = capsys.readouterr()
    assert "\ntest, weights of step " in said.out
    assert "most confused" in said.out.splitlines()[-1]
    assert re.search(r'evaluation-test.json" cannot be written: .*\nFree space', said.err)


def test_a_place_that_cannot_be_written_is_said_before_the_work(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, mode: str, *others: int) -> Any:
        if mode == "rb":
            return open(path, mode, *others)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "open", full, raising=False)
    for mode in ("eval", "export"):
        assert here(finished, f"--mode={mode}") == 2
        said = capsys.readouterr()
        assert "cannot be written: No space left on device" in said.err
        assert "test, weights" not in said.out


def test_an_export_does_not_need_the_data_of_its_run(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise UsageError('"/data/gone" is not a folder.')

    for module in (modes, target):
        monkeypatch.setattr(module, "configured_source", gone)
    assert here(finished, "--mode=export", "--export_images=2") == 0
    said = capsys.readouterr()
    assert "on 2 images the same best class for 100.0 %" in said.out
    assert "the run's data is not there (" in said.err
    assert here(finished, "--mode=export", "--export_formats=tflite-int8") == 2
    assert re.search(r"is not a folder.*\nint8 is calibrated", capsys.readouterr().err)


def test_an_evaluation_that_is_not_finite_is_not_written(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished / "evaluation-test.json").read_bytes()
    metrics = Metrics(359, float("nan"), 0.1, 0.5)
    monkeypatch.setattr(Metrics, "from_sums", lambda sums: metrics)
    assert here(finished, "--mode=eval", "--split=test") == 1
    assert "the loss is not finite at step " in capsys.readouterr().err
    assert (finished / "evaluation-test.json").read_bytes() == before


def test_a_loss_that_is_not_finite_names_its_step_and_keeps_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_dir = tmp_path / "run"
    flags = [
        "--config.optimizer.base_learning_rate=1e30",
        "--config.optimizer.warmup_epochs=0",
        "--config.train.steps_per_loop=5",
    ]
    assert here(model_dir, *flags) == 1
    said = capsys.readouterr()
    assert "the loss is not finite at step " in said.err
    assert "Traceback" not in said.out + said.err
    assert tf.train.latest_checkpoint(str(model_dir / "checkpoints")) is None


@pytest.mark.slow
def test_digits_reach_their_declared_accuracy_in_five_minutes(tmp_path: Path) -> None:
    started = time.monotonic()
    command = [
        sys.executable,
        str(ROOT / "main.py"),
        f"--config={ROOT}/configs/digits.py",
        "--model=efficientnet-b0",
        f"--model_dir={tmp_path}/run",
    ]
    subprocess.run(command, check=True, timeout=900)
    evaluation = json.loads((tmp_path / "run" / "evaluation-test.json").read_text())
    assert evaluation["top1"] >= 0.98
    assert time.monotonic() - started <= 300
