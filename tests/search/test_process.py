"""The process of a candidate: killed, stopped, crashed, orphaned; and resumed by the next one."""

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import Stopped
from efficientnet_tf.runs import jobs
from efficientnet_tf.search import process

TINY = {
    **config_lib.to_dict(config_lib.ExperimentConfig()),
    "model.resolution": 16,
    "model.width_coefficient": 0.1,
    "model.blocks_args": ["r1_k3_s22_e1_i32_o16"],
    "data.source": "digits",
    "data.eval_crop": "none",
    "train.global_batch_size": 64,
    "train.epochs": 100.0,
    "train.steps_per_loop": 2,
    "train.checkpoint_every_epochs": 0.2,
    "train.eval_every_epochs": 0.0,
}


def in_background(
    monkeypatch: pytest.MonkeyPatch, run: Path
) -> tuple[subprocess.Popen, Callable[[], Any]]:
    """Starts train_in_process; the child, and a function that waits for the result."""
    started: list[subprocess.Popen] = []

    class Noted(subprocess.Popen):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(jobs.subprocess, "Popen", Noted)
    job = {"config": TINY, "device": {}}
    found = ThreadPoolExecutor(1).submit(process.train_in_process, job, run)
    while not started:
        time.sleep(0.01)
    return started[0], lambda: found.result(timeout=120)


def wait_for_a_checkpoint(run: Path) -> None:
    """Until there is one, or another one than now."""
    newest = run / "checkpoints" / "checkpoint"  # what makes the files beside it count

    def written() -> str:
        return newest.read_text() if newest.exists() else ""

    before, deadline = written(), time.monotonic() + 100
    while written() == before:
        assert time.monotonic() < deadline, (run / "log.txt").read_text()
        time.sleep(0.005)


def test_killed_in_training_then_resumed_then_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    running, result = in_background(monkeypatch, run)
    wait_for_a_checkpoint(run)
    running.kill()
    killed = result()
    assert list(killed) == ["error"]
    assert killed["error"].startswith("killed by SIGKILL (out of memory?): ")

    running, result = in_background(monkeypatch, run)
    wait_for_a_checkpoint(run)
    running.terminate()
    with pytest.raises(Stopped, match='training of "run" was stopped; the same command goes on'):
        result()
    log = (run / "log.txt").read_text()
    assert "resumed at step" in log
    assert "stopped by SIGTERM at step" in log


def test_killed_before_it_said_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running, result = in_background(monkeypatch, tmp_path / "run")
    running.kill()
    assert result() == {"error": "killed by SIGKILL (out of memory?): no output"}
    running, result = in_background(monkeypatch, tmp_path / "other")
    running.terminate()
    with pytest.raises(Stopped):  # before it can save, too
        result()


def test_a_crash_has_its_last_line_as_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "absl.py").write_text("raise OSError('no absl today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = process.train_in_process({"config": TINY, "device": {}}, tmp_path / "run")
    assert found == {"error": "ended with exit code 1: OSError: no absl today"}


def test_a_wrong_configuration_is_the_reason(tmp_path: Path) -> None:
    job = {"config": {**TINY, "model.blocks_args": ["r1_k3"]}, "device": {}}
    found = process.train_in_process(job, tmp_path / "run")
    assert found["error"].startswith('block string "r1_k3": token "s" (strides) is missing')


def test_an_old_result_is_not_taken_for_the_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "result.json").write_text('{"top1": 1.0}')
    running, result = in_background(monkeypatch, run)
    running.kill()
    assert "error" in result()


def test_ctrl_c_in_the_search_ends_the_child(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            if not started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(jobs.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.train_in_process({"config": TINY, "device": {}}, tmp_path / "run")
    assert started[0].poll() is not None


def test_configurations_come_back_from_json_as_they_went() -> None:
    config = config_lib.ExperimentConfig()
    config.model.blocks_args = ("r1_k3_s11_e1_i32_o16",)
    config.train.epochs = 3.5
    config = config_lib.finish(config)
    values = json.loads(json.dumps(config_lib.to_dict(config)))
    assert config_lib.from_dict(values) == config
