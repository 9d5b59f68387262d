"""Proxy training: candidates of a search, each trained in a process of its own and scored.

One process for each candidate: memory and graphs do not pile up, and a crash of one candidate is a
row with its reason, not the end of the search. In the folder of the search:
    results.jsonl                   one row for each (candidate, seed), see results.py
    runs/<base>/<key>-seed<n>/      job.json, log.txt and the training's own files
The same search started again takes the rows that are there; a candidate that was being trained
goes on from its checkpoint. Checkpoints of a finished candidate are removed.
"""

import contextlib
import dataclasses
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.machine.device import THIS_MACHINE, Device
from efficientnet_tf.search.process import train_in_process
from efficientnet_tf.search.results import Result, Results, digest, plain
from efficientnet_tf.storage.lock import alone
from efficientnet_tf.terminal.progress import TerminalBar

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FAILURES_AT_FIRST = 3  # so many and no success: the fault is not the candidates'


@dataclass(frozen=True)
class Candidate:
    """What is trained: a key, which names its folder, and changes to the base configuration.

    Args:
        key: letters, digits, ".", "_" and "-"; stands for one set of changes.
        changes: values of dotted configuration fields, for example "model.resolution".
    """

    key: str
    changes: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise UsageError(
                f'a candidate\'s key must have only letters, digits, ".", "_" and "-", received '
                f'"{self.key}".'
            )
        for name in self.changes:
            config_lib.check_name(name)
        if "train.seed" in self.changes:
            raise UsageError(
                f'candidate "{self.key}" changes train.seed; seeds are given to evaluate().'
            )


class _Progress:
    """A bar on a terminal, elsewhere a line for each training; both with the time left."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stored = self._trained = 0
        self._started = time.monotonic()
        self.bar = TerminalBar(stream, total=total, unit="training")

    def stored(self) -> None:
        """One was done before: it counts for the progress, not for the rate."""
        self._stored += 1
        self.bar.skip()

    def trained(self, text: str) -> None:
        """One was done now; `text` says what it reached."""
        self._trained += 1
        if not self.bar.disable:
            self.bar.say(text)
            self.bar.update()
            return
        done = self._stored + self._trained
        rate = (time.monotonic() - self._started) / self._trained
        left = tqdm.format_interval(rate * max(0, self._total - done))
        self.bar.say(f"[{done}/{self._total}, {left} left] {text}")


@dataclass
class Proxy:
    """Trains candidates from a base configuration; a context manager.

    Args:
        base: finished; its epochs are the budget of a candidate.
        folder: of the search.
        trainings: how many there will be, for the progress bar.
        device: where.
        stream: where people read; a bar if it is a terminal, else plain lines.

    Raises:
        UsageError, RunError: as `Results` does; and when it is entered, if another search is at
            work in the folder.
    """

    base: config_lib.ExperimentConfig
    folder: str
    trainings: int
    device: Device = THIS_MACHINE
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def __post_init__(self) -> None:
        self.results = Results(self.folder)
        self.digest = digest(self.base)
        self._progress = _Progress(self.trainings, self.stream)
        self._successes, self._failures = 0, 0
        self._alone = contextlib.ExitStack()
        others = sum(row.base != self.digest for row in self.results.rows)
        if others:
            self.say(f"{others} rows of {self.results.path} are of another base: not used")

    def __enter__(self) -> "Proxy":
        self._alone.enter_context(alone("--output_dir", self.folder))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.bar.close()
        self._alone.close()

    def say(self, text: str) -> None:
        """A line for people, above the bar if there is one."""
        self._progress.bar.say(text)

    def evaluate(self, candidate: Candidate, seeds: Sequence[int]) -> list[Result]:
        """One result for each seed; those that are stored are not trained again.

        Raises:
            UsageError: the key is stored with other changes.
            RunError: the first candidates all failed, or the results cannot be written.
            Stopped: a signal ended the training.
        """
        return [self._stored(candidate, seed) or self._train(candidate, seed) for seed in seeds]

    def _stored(self, candidate: Candidate, seed: int) -> Result | None:
        row = self.results.find(self.digest, candidate.key, candidate.changes, seed)
        if row is not None:
            self._note(row)
            self._progress.stored()
        return row

    def _note(self, row: Result) -> None:
        if row.error is None:
            self._successes += 1
        else:
            self._failures += 1

    def _train(self, candidate: Candidate, seed: int) -> Result:
        started = time.monotonic()
        values = {**config_lib.to_dict(self.base), **candidate.changes, "train.seed": seed}
        run = Path(self.folder, "runs", self.digest, f"{candidate.key}-seed{seed}").resolve()
        found = train_in_process({"config": plain(values), "device": vars(self.device)}, run)
        row = Result(self.digest, candidate.key, plain(candidate.changes), seed)
        row = dataclasses.replace(row, seconds=round(time.monotonic() - started, 1), **found)
        self._note(row)
        self._give_up_early(row, run)
        self.results.add(row)
        for checkpoints in ("checkpoints", "best"):
            shutil.rmtree(run / checkpoints, ignore_errors=True)
        self._progress.trained(line(row))
        return row

    def _give_up_early(self, row: Result, run: Path) -> None:
        if row.error and not self._successes and self._failures >= _FAILURES_AT_FIRST:
            raise RunError(
                f"the first {self._failures} trainings all failed, so the fault is not the "
                f'candidates\'. The last, "{row.key}": {row.error}\nIts log: {run}/log.txt. '
                f"Correct the cause, remove {self.results.path} and start again."
            )


def line(row: Result) -> str:
    """A result for people."""
    if row.error is not None:
        return f"{row.key}, seed {row.seed}: failed: {row.error.splitlines()[0]}"
    return (
        f"{row.key}, seed {row.seed}: top-1 {100 * row.top1:.2f} %, loss {row.loss:.4f}, "
        f"{row.multiply_adds / 1e6:.2f} M multiply-adds, {row.params / 1e6:.3f} M weights, "
        f"{row.seconds:.0f} s"
    )
