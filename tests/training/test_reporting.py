"""What a run tells: lines or a bar for people, history.jsonl and TensorBoard for programs."""

import errno
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.storage import files
from efficientnet_tf.training.reporting import Reporter


class Clock:
    """Seconds that pass when we say so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Callable[..., Reporter]:
    """A reporter of a run of 1,000 steps of 32 images, with rate 0.1 * step."""

    def make(stream: io.StringIO, **changes: Any) -> Reporter:
        arguments: dict[str, Any] = {
            "total_steps": 1000,
            "global_batch_size": 32,
            "first_step": 0,
            "learning_rate": lambda step: 0.1 * step,
            **changes,
        }
        return Reporter(str(tmp_path), stream=stream, clock=clock, **arguments)

    return make


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_plain_lines_come_every_ten_seconds(make: Any, clock: Clock) -> None:
    stream = io.StringIO()
    reporter = make(stream, first_step=100)
    for seconds, step in ((5, 110), (9.9, 119), (10, 120), (15, 140), (19.9, 150), (20, 200)):
        clock.now = 1000.0 + seconds
        reporter.progress(step, np.full(10, 2.0))
    reporter.close()
    assert stream.getvalue().splitlines() == [
        # 20 steps of 32 images in 10 s; 880 steps are left, at two a second
        "step 120/1000  loss 2.000  lr 11.9  64 images/s  7:20 left",
        # 100 steps in 20 s since the start of this process
        "step 200/1000  loss 2.000  lr 19.9  160 images/s  2:40 left",
    ]


def test_a_line_gives_the_mean_loss_and_the_rate_of_the_last_step(make: Any, clock: Clock) -> None:
    stream = io.StringIO()
    reporter = make(stream, learning_rate=lambda step: {29: 0.015625}[step])
    clock.now += 3600
    reporter.progress(30, np.array([1.0, 2.0, 4.5]))
    reporter.close()
    # 970 steps at 120 s each
    expected = "step 30/1000  loss 2.500  lr 0.01562  0 images/s  32:20:00 left\n"
    assert stream.getvalue() == expected


def test_history_holds_every_loop_and_evaluation(make: Any, tmp_path: Path) -> None:
    reporter = make(io.StringIO())
    reporter.progress(10, np.array([1.0, 2.0], np.float32))
    reporter.evaluation(10, "minival", "average", {"examples": 179, "loss": 1.5, "top1": 0.25})
    reporter.progress(20, np.array([0.5], np.float32))
    assert history(tmp_path) == [  # before close: a killed process leaves it as well
        {"step": 10, "loss": 1.5, "learning_rate": 0.1 * 9},
        {
            "step": 10,
            "minival/average/examples": 179,
            "minival/average/loss": 1.5,
            "minival/average/top1": 0.25,
        },
        {"step": 20, "loss": 0.5, "learning_rate": 0.1 * 19},
    ]
    reporter.close()


def test_history_is_cut_where_a_resumed_run_starts(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    lines = [{"step": step, "loss": 1.0} for step in (5, 10, 15, 20)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text + '{"step": 9, "lo')  # killed while it wrote
    reporter = make(io.StringIO(), first_step=10)
    assert history(tmp_path) == lines[:2]
    reporter.progress(12, np.array([3.0]))
    reporter.close()
    assert [line["step"] for line in history(tmp_path)] == [5, 10, 12]


@pytest.mark.parametrize("garbage", ["", "\n\n", "null\n", '{"loss": 1}\n', '"step"\n', "\0\0\n"])
def test_lines_that_are_no_records_are_dropped(make: Any, tmp_path: Path, garbage: str) -> None:
    (tmp_path / "history.jsonl").write_text('{"step": 1}\n' + garbage)
    make(io.StringIO(), first_step=10).close()
    assert history(tmp_path) == [{"step": 1}]


def test_a_line_without_its_newline_stays_a_line(make: Any, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"step": 1}')
    reporter = make(io.StringIO(), first_step=1)
    reporter.progress(2, np.array([1.0]))
    reporter.close()
    assert [line["step"] for line in history(tmp_path)] == [1, 2]


def test_tensorboard_can_read_the_scalars(make: Any, tmp_path: Path) -> None:
    reporter = make(io.StringIO())
    reporter.progress(10, np.array([1.0, 2.0]))
    reporter.progress(20, np.array([0.25]))
    reporter.evaluation(20, "test", "raw", {"top1": 0.75})
    reporter.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert sorted(events.Tags()["tensors"]) == ["learning_rate", "loss", "test/raw/top1"]
    losses = {
        event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("loss")
    }
    assert losses == {10: 1.5, 20: 0.25}


def test_a_terminal_gets_a_bar_and_no_lines(make: Any, clock: Clock) -> None:
    stream = Terminal()
    reporter = make(stream, total_steps=100, first_step=50)
    clock.now += 60
    reporter.progress(75, np.full(25, 2.0))
    reporter.say("step 75: minival top-1 10 %")
    reporter.close()
    shown = stream.getvalue()
    assert "| 1.60k/3.20k [" in shown, "the bar starts where the process starts"
    assert "| 2.40k/3.20k [" in shown, "25 steps of 32 images are 800 more"
    assert "images/s" in shown
    assert "step 75, loss 2.000, lr 7.4" in shown
    assert "\rstep 75: minival top-1 10 %\n" in shown or "\nstep 75: minival" in shown
    assert "step 75/100" not in shown


def test_without_a_terminal_a_message_is_a_line(make: Any) -> None:
    stream = io.StringIO()
    reporter = make(stream)
    reporter.say("resumed at step 10 of 20")
    reporter.close()
    assert stream.getvalue() == "resumed at step 10 of 20\n"


def timing(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]


def test_timing_is_written_with_the_checkpoints(make: Any, tmp_path: Path) -> None:
    reporter = make(io.StringIO())
    reporter.took(10, "steps", 4.0, waiting=1.0)
    reporter.took(30, "steps", 4.0, waiting=0.5)
    reporter.took(30, "evaluation", 2.5)
    assert timing(tmp_path) == []
    reporter.took(30, "checkpoint", 0.25)
    assert timing(tmp_path) == [
        {
            "step": 10,
            "seconds/input": 1.0,
            "seconds/steps": 3.0,
            "images_per_second": 80.0,
            "first": True,
        },
        {"step": 30, "seconds/input": 0.5, "seconds/steps": 3.5, "images_per_second": 160.0},
        {"step": 30, "seconds/evaluation": 2.5},
        {"step": 30, "seconds/checkpoint": 0.25},
    ]
    reporter.took(40, "steps", 1.0)
    reporter.close()
    assert len(timing(tmp_path)) == 5
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Tensors("images_per_second")] == [30, 40]


def test_timing_is_cut_where_a_resumed_run_starts(make: Any, tmp_path: Path) -> None:
    reporter = make(io.StringIO())
    for step in (10, 20, 30):
        reporter.took(step, "steps", 1.0)
    reporter.close()
    reporter = make(io.StringIO(), first_step=20)
    reporter.took(30, "steps", 1.0)
    reporter.close()
    assert [(line["step"], line.get("first")) for line in timing(tmp_path)] == [
        (10, True),
        (20, None),
        (30, True),
    ]


def events(folder: Path, tag: str) -> list[int]:
    found = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [event.step for event in found.Tensors(tag)]


def test_tensorboard_is_cut_where_a_resumed_run_starts(make: Any, tmp_path: Path) -> None:
    killed = make(io.StringIO())  # and never closed
    for step in (10, 20, 30):
        killed.took(step, "steps", 1.0)
        killed.progress(step, np.array([1.0]))
    (file,) = (tmp_path / "tensorboard").iterdir()
    with file.open("ab") as cut_off:
        cut_off.write(b'\x18\0\0\0\0\0\0\0\xa3\x7fK"half a record')
    resumed = make(io.StringIO(), first_step=20)
    resumed.took(25, "steps", 1.0)
    resumed.progress(25, np.array([1.0]))
    resumed.took(30, "steps", 1.0)
    resumed.progress(30, np.array([1.0]))
    resumed.close()
    assert events(tmp_path, "loss") == [10, 20, 25, 30]
    assert events(tmp_path, "learning_rate") == [10, 20, 25, 30]
    assert events(tmp_path, "images_per_second") == [20, 30]
    assert [line["step"] for line in history(tmp_path)] == [10, 20, 25, 30]


@pytest.mark.parametrize("name", ["history.jsonl", "timing.jsonl"])
def test_lines_that_are_lost_are_named(make: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"step": 1}\nnull\n{"step": 2}\n{"step": 3, "lo')
    stream = io.StringIO()
    make(stream, first_step=10).close()
    (line,) = stream.getvalue().splitlines()
    assert line.startswith(f'warning: "{tmp_path}/{name}", line 2: expected an object')
    (tmp_path / name).write_bytes(b'{"step": 1}\n\xff\n')
    with pytest.raises(UsageError, match=rf'{name}", line 2: this is no UTF-8 text.\n.*remove it'):
        make(io.StringIO(), first_step=10)


def test_a_folder_that_is_gone_is_one_message(make: Any, tmp_path: Path) -> None:
    reporter = make(io.StringIO())
    shutil.rmtree(tmp_path)
    with pytest.raises(RunError, match=r'history.jsonl" cannot be written: No such file.*\nFree'):
        reporter.progress(10, np.array([1.0]))


def test_a_full_disk_is_one_message(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = make(io.StringIO())

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "opened", full)
    with pytest.raises(RunError, match=r'timing.jsonl" cannot be written: No space left.*\nFree'):
        reporter.took(10, "checkpoint", 1.0)
