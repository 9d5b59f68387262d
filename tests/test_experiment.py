"""The true entry, as a user runs it: train, kill, resume, stop, evaluate, export, fail."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf import predictions, scores

ROOT = Path(__file__).parents[1]
# A network of 50 thousand weights with everything that is random switched on.
TINY = [
    f"--config={ROOT}/configs/digits.py",
    "--config.model.resolution=32",
    "--config.model.width_coefficient=0.1",
    "--config.model.depth_coefficient=0.3",
    "--config.model.survival_prob=0.5",
    "--config.data.train_crop=inception",
    "--config.data.flip=true",
    "--config.data.augment=autoaugment+mixup(alpha=0.2)",
    "--config.train.global_batch_size=32",
    "--config.train.epochs=6",
    "--config.train.steps_per_loop=3",
    "--config.train.checkpoint_every_epochs=0.3",
    "--config.train.eval_every_epochs=2",
]
TOTAL_STEPS = int(6 * 1259 / 32)


def start(model_dir: Path, *flags: str, program: str = "main.py") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / program), f"--model_dir={model_dir}", *TINY, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=model_dir.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # also where the package is not installed
    )


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
    assert "10 classes, 32x32 pixels" in output
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


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    uninterrupted: tuple[Path, str], tmp_path: Path
) -> None:
    model_dir = tmp_path / "run"
    chance = random.Random(0)
    # Far enough from the end that a fast machine has not finished when the signal arrives.
    thresholds = sorted(chance.sample(range(5, TOTAL_STEPS - 60), 3))
    for threshold in thresholds:
        process = start(model_dir)
        wait_for_step(process, model_dir, threshold)
        time.sleep(chance.random() * 0.2)  # into whatever it does then: a step, a save, a check
        process.send_signal(signal.SIGKILL)
        finish(process)
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    process = start(model_dir)
    output = finish(process)
    assert process.returncode == 0, output
    assert "resumed at step" in output
    assert_same_run(model_dir, uninterrupted[0])


def assert_same_run(model_dir: Path, whole_dir: Path) -> None:
    """Checkpoints, history and evaluation are equal to the last bit."""
    for folder in ("checkpoints", "best"):
        newest = tf.train.latest_checkpoint(str(model_dir / folder))
        expected = tf.train.latest_checkpoint(str(whole_dir / folder))
        assert os.path.basename(newest) == os.path.basename(expected)
        whole, resumed = tensors(expected), tensors(newest)
        assert len(whole) > 400
        assert whole.keys() == resumed.keys()
        for name, value in whole.items():
            np.testing.assert_array_equal(value, resumed[name], err_msg=name)
    history = (model_dir / "history.jsonl").read_text()
    assert history == (whole_dir / "history.jsonl").read_text()
    evaluation = (model_dir / "evaluation-test.json").read_text()
    assert evaluation == (whole_dir / "evaluation-test.json").read_text()


def test_two_replicas_resume_to_the_last_bit(tmp_path: Path) -> None:
    """MirroredStrategy: each replica has masks, inputs and batch-norm statistics of its own."""
    program = "tests/child_two_replicas.py"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(whole, "--config.train.epochs=2", program=program)
    output = finish(process)
    assert process.returncode == 0, output
    assert "on 2 replicas on CPU" in output
    process = start(killed, "--config.train.epochs=2", program=program)
    wait_for_step(process, killed, 25)
    process.send_signal(signal.SIGKILL)
    finish(process)
    process = start(killed, "--config.train.epochs=2", program=program)
    output = finish(process)
    assert process.returncode == 0, output
    assert "resumed at step" in output
    assert_same_run(killed, whole)


def test_a_finished_run_says_so(uninterrupted: tuple[Path, str]) -> None:
    model_dir, first = uninterrupted
    process = start(model_dir)
    output = finish(process)
    assert process.returncode == 0, output
    assert f"already trained: step {TOTAL_STEPS} of {TOTAL_STEPS}" in output
    result = next(line for line in first.splitlines() if line.startswith("test, "))
    assert result in output


def test_sigterm_saves_and_ends_cleanly_and_eval_and_export_use_what_is_there(
    tmp_path: Path,
) -> None:
    model_dir = tmp_path / "run"
    process = start(model_dir, "--mode=train")
    wait_for_step(process, model_dir, 20)
    process.terminate()
    output = finish(process)
    assert process.returncode == 0, output
    step = last_step(model_dir)
    assert f"stopped by SIGTERM at step {step}; the same command goes on from there" in output
    assert f"report: {model_dir}/report.html" in output
    assert "made without" in (model_dir / "report.html").read_text()
    newest = tf.train.latest_checkpoint(str(model_dir / "checkpoints"))
    assert newest.endswith(f"ckpt-{step}")

    process = start(model_dir, "--mode=eval", "--config.train.eval_raw_weights=true")
    output = finish(process)
    assert process.returncode == 0, output
    assert f"test, weights of step {step}: top-1" in output
    assert f"minival, raw weights of step {step}: top-1" in output

    process = start(model_dir, "--mode=export", f"--export_dir={tmp_path}/elsewhere")
    output = finish(process)
    assert process.returncode == 0, output
    assert (tmp_path / "elsewhere" / "saved_model.pb").exists()


def test_a_loss_that_is_not_finite_names_its_step_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    model_dir = tmp_path / "run"
    flags = [
        "--config.optimizer.base_learning_rate=1e30",
        "--config.optimizer.warmup_epochs=0",
        "--config.train.steps_per_loop=5",
    ]
    process = start(model_dir, *flags)
    output = finish(process)
    assert process.returncode == 1, output
    assert "the loss is not finite at step " in output
    assert "Traceback" not in output
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
