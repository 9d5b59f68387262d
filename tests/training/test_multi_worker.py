"""Two processes that train as one over the loopback, through main.py."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS_FLAG

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.runs.predictions import load
from efficientnet_tf.training.multi_worker import Workers, strategy_from_environment

ROOT = Path(__file__).parents[2]
TINY = [
    f"--config={ROOT}/configs/digits.py",
    "--config.model.resolution=16",
    "--config.model.width_coefficient=0.1",
    TWO_BLOCKS_FLAG,
    "--config.model.survival_prob=0.5",
    "--config.data.train_crop=inception",
    "--config.data.flip=true",
    "--config.train.global_batch_size=32",
    "--config.train.epochs=4",
    "--config.train.steps_per_loop=3",
    "--config.train.checkpoint_every_epochs=0.3",
    "--config.train.eval_every_epochs=2",
]
TOTAL_STEPS = int(4 * 1259 / 32)  # so many that the first signal comes before the end


class Pair:
    """Worker 0, the chief, and worker 1 of one run; what they print."""

    def __init__(self, model_dir: Path, *flags: str) -> None:
        sockets = [socket.socket() for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        for each in sockets:
            each.close()
        self.model_dir = model_dir
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(ROOT / "main.py"), f"--model_dir={model_dir}", *TINY, *flags],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=model_dir.parent,
                env={
                    **os.environ,
                    "TF_CONFIG": json.dumps(
                        {
                            "cluster": {"worker": addresses},
                            "task": {"type": "worker", "index": index},
                        }
                    ),
                },
            )
            for index in range(2)
        ]

    def wait_for_step(self, step: int) -> None:
        history = self.model_dir / "history.jsonl"
        while not history.exists() or history.read_text().count("learning_rate") * 3 < step:
            for process in self.processes:
                assert process.poll() is None, process.communicate()
            time.sleep(0.01)

    def finish(self) -> list[str]:
        return [process.communicate(timeout=300)[0] for process in self.processes]

    @property
    def codes(self) -> list[int]:
        return [process.returncode for process in self.processes]


def tensors(model_dir: Path) -> dict[str, np.ndarray]:
    path = tf.train.latest_checkpoint(str(model_dir / "checkpoints"))
    reader = tf.train.load_checkpoint(path)
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("variables/")]
    return {name: reader.get_tensor(name) for name in names}


def test_a_signal_to_one_stops_both_at_the_same_step_and_both_go_on(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "run", "--mode=train")
    pair.wait_for_step(6)
    pair.processes[1].terminate()
    chief, other = pair.finish()
    assert pair.codes == [130, 130], (chief, other)
    step = int(tensors(pair.model_dir)["variables/step/.ATTRIBUTES/VARIABLE_VALUE"])
    assert step < TOTAL_STEPS
    assert f"stopped by a signal to another worker at step {step}; the same command" in chief

    pair = Pair(tmp_path / "run")
    chief, other = pair.finish()
    assert pair.codes == [0, 0], (chief, other)
    assert "2 replicas of 2 workers" in chief
    assert f"resumed at step {step} of {TOTAL_STEPS}" in chief
    assert f"step {TOTAL_STEPS}: minival top-1" in chief
    assert "(359 images)" in chief  # each of them once, whichever worker saw it
    predictions = load(str(pair.model_dir / "predictions-test.npz"))
    np.testing.assert_array_equal(predictions.places, np.arange(359))  # gathered from both
    assert "reloaded, on 32 images" in chief
    assert "waiting for all 2 workers" in other  # and it leaves the rest to the chief
    assert "minival" not in other
    assert "reloaded" not in other


@pytest.mark.slow
def test_a_pair_of_which_one_is_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = Pair(tmp_path / "whole")
    chief, other = whole.finish()
    assert whole.codes == [0, 0], (chief, other)

    pair = Pair(tmp_path / "killed")
    pair.wait_for_step(15)
    pair.processes[1].send_signal(signal.SIGKILL)
    chief, _ = pair.finish()
    assert pair.codes == [1, -signal.SIGKILL], chief
    assert "error: another of the 2 workers has ended" in chief
    assert "Traceback" not in chief

    pair = Pair(tmp_path / "killed")
    chief, other = pair.finish()
    assert pair.codes == [0, 0], (chief, other)
    assert "resumed at step" in chief
    expected, found = tensors(whole.model_dir), tensors(pair.model_dir)
    assert found.keys() == expected.keys()
    assert len(found) > 100
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    for file in ("history.jsonl", "evaluation-test.json"):
        assert (pair.model_dir / file).read_text() == (whole.model_dir / file).read_text()


def test_one_process_is_its_own_chief_and_loses_nobody(replicas: Any) -> None:
    workers = Workers(replicas(2))
    assert (workers.count, workers.is_chief) == (1, True)
    assert workers.any(True)
    assert not workers.any(False)
    error = tf.errors.UnavailableError(None, None, "a file server is away")
    with pytest.raises(tf.errors.UnavailableError), workers.together():
        raise error


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"ps": ["a:1", "a:2"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_fewer_than_two_workers_are_one_process(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert strategy_from_environment() is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSONDecodeError"),
        ("[1]", "AttributeError"),
        ('{"cluster": {"worker": ["a:1", "a:2"]}}', "KeyError: 'task'"),
        (
            '{"cluster": {"worker": ["a:1", "a:2"]}, "task": {"type": "worker", "index": 2}}',
            "Index",
        ),
        (
            '{"cluster": {"worker": ["a:1", "a:2"], "ps": ["a:3"]}, '
            '"task": {"type": "ps", "index": 0}}',
            "the task is no chief or worker",
        ),
    ],
)
def test_a_wrong_environment_is_one_message(
    text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG cannot be used") as caught:
        strategy_from_environment()
    assert reason in str(caught.value)
    assert "Unset it" in str(caught.value)


def test_a_lost_worker_is_one_message(replicas: Any) -> None:
    workers = Workers(replicas(1))
    workers.count = 2
    with pytest.raises(RunError, match="another of the 2 workers has ended"), workers.together():
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")
