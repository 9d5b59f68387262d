"""What a run tells: a bar or plain lines, history.jsonl, timing.jsonl and TensorBoard scalars.

Seconds have a file of their own: history.jsonl is equal to the last bit whenever a run is repeated.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import numpy as np
import tensorflow as tf

from efficientnet_tf.storage.files import CannotWrite, append_text, exists, replacing, write_text
from efficientnet_tf.storage.json_files import read_records
from efficientnet_tf.terminal.progress import SECONDS_BETWEEN_LINES, TerminalBar
from efficientnet_tf.training.loop import CHECKPOINT, STEPS


class Reporter:
    """Shows progress and writes it down.

    Args:
        model_dir: gets history.jsonl, timing.jsonl and, below tensorboard/, the event files.
        total_steps: of the run.
        global_batch_size: images in one step.
        first_step: where this process starts; what an earlier process told of later steps is cut
            off everywhere, for they are done again.
        learning_rate: rate of a step, for display.
        stream: where people read; a bar if it is a terminal, else plain lines.
        clock: seconds, for the plain lines.

    Raises:
        CannotWrite: a disk is full, or model_dir is gone; so do the methods.
    """

    def __init__(
        self,
        model_dir: str,
        *,
        total_steps: int,
        global_batch_size: int,
        first_step: int,
        learning_rate: Callable[[int], float],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total_steps
        self._batch = global_batch_size
        self._rate = learning_rate
        self._clock = clock
        self._first = first_step
        self._started = self._last_line = clock()
        self._history = os.path.join(model_dir, "history.jsonl")
        self._timing = os.path.join(model_dir, "timing.jsonl")
        self._events = os.path.join(model_dir, "tensorboard")
        dropped = [
            text for path in (self._history, self._timing) for text in _cut_lines(path, first_step)
        ]
        with _writing(self._events):
            cut_events(self._events, first_step)
            self._scalars = tf.summary.create_file_writer(self._events)
        self._timed_step = first_step
        self._unwritten: list[str] = []
        self._bar = TerminalBar(
            stream or sys.stdout,  # the one of now, not of the import
            total=total_steps * global_batch_size,
            initial=first_step * global_batch_size,
            unit=" images",
            unit_scale=True,
        )
        for text in dropped:
            self.say(text)

    def say(self, text: str) -> None:
        """A line for people, above the bar if there is one."""
        self._bar.say(text)

    def progress(self, step: int, losses: np.ndarray) -> None:
        """After a device loop: `losses` of the steps up to `step`."""
        loss, rate = float(losses.mean()), self._rate(step - 1)
        self._write(step, {"loss": loss, "learning_rate": rate})
        if not self._bar.disable:
            self._bar.set_postfix_str(f"step {step}, loss {loss:.3f}, lr {rate:.4g}", refresh=False)
            self._bar.update(len(losses) * self._batch)
        elif self._clock() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = self._clock()
            done, seconds = step - self._first, self._last_line - self._started
            left = (self._total - step) * seconds / done
            self.say(
                f"step {step}/{self._total}  loss {loss:.3f}  lr {rate:.4g}  "
                f"{done * self._batch / seconds:.0f} images/s  {_duration(left)} left"
            )

    def evaluation(self, step: int, split: str, weights: str, metrics: dict[str, Any]) -> None:
        """The metrics of a split at a step, with "average" or "raw" weights."""
        prefix = f"{split}/{weights}"
        self._write(step, {f"{prefix}/{name}": value for name, value in metrics.items()})

    def took(self, step: int, what: str, seconds: float, waiting: float = 0.0) -> None:
        """How long something of `loop.TIMED` took, up to `step`.

        Args:
            waiting: of the steps' seconds, those in which they waited for their input.

        A line `{"step", "seconds/input", "seconds/steps", "images_per_second"}`, the seconds
        without those of the input, or `{"step", "seconds/evaluation"}` and the like. The first
        steps of a process hold the tracing of the graph and are marked `"first": true`. Lines are
        written with the checkpoints: what comes after the last one is done again anyway.
        """
        values: dict[str, Any] = {f"seconds/{what}": seconds}
        if what == STEPS:
            steps, first = step - self._timed_step, self._timed_step == self._first
            values = {"seconds/input": waiting, "seconds/steps": seconds - waiting}
            values["images_per_second"] = steps * self._batch / max(seconds, 1e-9)
            self._timed_step = step
            if first:
                values["first"] = True
            else:
                self._scalar(step, "images_per_second", values["images_per_second"])
        self._unwritten.append(json.dumps({"step": step, **values}) + "\n")
        if what == CHECKPOINT:
            self._write_timing()

    def _write_timing(self) -> None:
        if self._unwritten:
            append_text(self._timing, "".join(self._unwritten))
        self._unwritten.clear()

    def _write(self, step: int, values: dict[str, Any]) -> None:
        append_text(self._history, json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._scalar(step, name, value)
        with _writing(self._events):
            self._scalars.flush()  # a kill must not leave a hole before the next checkpoint

    def _scalar(self, step: int, name: str, value: Any) -> None:
        with _writing(self._events), self._scalars.as_default():
            tf.summary.scalar(name, value, step=step)

    def close(self) -> None:
        self._bar.close()
        self._write_timing()
        with _writing(self._events):
            self._scalars.close()


class Silence:
    """A reporter that tells nothing: of a worker beside the chief."""

    def say(self, text: str) -> None:
        pass

    def progress(self, step: int, losses: np.ndarray) -> None:
        pass

    def evaluation(self, step: int, split: str, weights: str, metrics: dict[str, Any]) -> None:
        pass

    def took(self, step: int, what: str, seconds: float, waiting: float = 0.0) -> None:
        pass

    def close(self) -> None:
        pass


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """TensorFlow's errors become those of storage/files.py."""
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        raise CannotWrite(path, error) from error


def _cut_lines(path: str, step: int) -> list[str]:
    """Drops lines of later steps and a line that a killed process left unfinished.

    Writes the file even where there was none: an empty timing.jsonl tells a run that was killed
    before its first checkpoint from one whose checkpoints are gone.

    Returns:
        A warning if other lines were no records and were dropped, too.
    """
    kept: list[str] = []
    wrong: list[str] = []
    if exists(path):
        remedy = "Put the file back from a copy, or remove it: the run goes on without its past."
        records, wrong = read_records(path, remedy)
        kept = [json.dumps(record) + "\n" for record in records if record["step"] <= step]
    write_text(path, "".join(kept))
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return [f'warning: "{path}", {wrong[0]}{more}. Dropped; the run goes on.'] if wrong else []


def cut_events(folder: str, step: int) -> None:
    """Drops what TensorBoard's event files hold of later steps, and an unfinished end of a file.

    TensorBoard would draw the steps that are done again twice, the curve running backwards.

    Raises:
        OSError, tf.errors.OpError: a file cannot be read or written.
    """
    if not tf.io.gfile.isdir(folder):
        return
    for name in tf.io.gfile.listdir(folder):
        path = os.path.join(folder, name)
        if "tfevents" not in name or tf.io.gfile.isdir(path):
            continue
        kept: list[bytes] = []
        is_whole = True
        try:
            for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
                if tf.compat.v1.Event.FromString(record).step <= step:
                    kept.append(record)
                else:
                    is_whole = False
        except tf.errors.DataLossError:  # a kill in the midst of a record
            is_whole = False
        if not is_whole:
            with replacing(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
                for record in kept:
                    writer.write(record)
