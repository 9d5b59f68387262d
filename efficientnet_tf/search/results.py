"""What the trained candidates of a search reached: one JSON line each in results.jsonl.

A line counts only for the configuration it started from: `base` is a digest of all its fields but
the seed. A line that a killed search left unfinished is cut off when the file is opened.
"""

import dataclasses
import hashlib
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.storage.files import write_text
from efficientnet_tf.storage.json_files import read_text

RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Result:
    """One training of one candidate.

    Attributes:
        base: digest of the configuration that `changes` were made to, see `digest`.
        key: name of the candidate.
        changes: values of dotted configuration fields.
        seed: train.seed.
        top1, loss: on minival, of the best checkpoint; top-1 in [0, 1], loss in nats.
        examples: images of minival.
        params, multiply_adds: trainable weights, and multiply-adds for one image.
        steps: updates of the training.
        data: fingerprint of the images of train and minival; empty in files of older versions.
        seconds: of the process, start-up included; only the last one if it was resumed.
        error: why there is no result; None if there is one, and the numbers above are 0 if not.
    """

    base: str
    key: str
    changes: dict[str, Any]
    seed: int
    top1: float = 0.0
    loss: float = 0.0
    examples: int = 0
    params: int = 0
    multiply_adds: int = 0
    steps: int = 0
    seconds: float = 0.0
    data: str = ""
    error: str | None = None


def digest(base: config_lib.ExperimentConfig) -> str:
    """Eight characters that change with any field of the configuration but train.seed."""
    values = config_lib.to_dict(base)
    del values["train.seed"]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as JSON gives them back: lists, not tuples."""
    return json.loads(json.dumps(dict(changes)))


class Results:
    """results.jsonl of a folder: what is there, and appending to it.

    Args:
        folder: made if it is missing.

    Raises:
        UsageError: the folder cannot be used.
        RunError: a line in the middle of the file is damaged.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, RESULTS)
        try:
            os.makedirs(folder, exist_ok=True)
            self.rows = self._read()
            with open(self.path, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise UsageError(
                f'the folder "{folder}" cannot be used for the results of a search: '
                f"{error.strerror}. Give a folder that you may write to."
            ) from error

    def _read(self) -> list[Result]:
        if not os.path.exists(self.path):
            return []
        text = read_text(self.path, "Put the file back from a copy, or use another folder.")
        whole, _, unfinished = text.rpartition("\n")
        rows = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                rows.append(Result(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise RunError(
                    f"{self.path}, line {number} is no result of a search ({error}). Remove the "
                    "line to train its candidate again, or use another folder."
                ) from error
        if unfinished:
            write_text(self.path, whole + "\n" if whole else "")
        return rows

    def find(self, base: str, key: str, changes: Mapping[str, Any], seed: int) -> Result | None:
        """The stored result, if there is one.

        Raises:
            UsageError: the key stands for other changes there.
        """
        for row in self.rows:
            if (row.base, row.key) != (base, key):
                continue
            if row.changes != plain(changes):
                raise UsageError(
                    f'{self.path} has the candidate "{key}" with other changes: {row.changes}, not '
                    f"{plain(changes)}. A key stands for one candidate; use another folder."
                )
            if row.seed == seed:
                return row
        return None

    def add(self, row: Result) -> None:
        """Appends a row, so that it is on the disk before this returns.

        Raises:
            UsageError: it was trained on other images than an earlier one of the same base.
            RunError: the file cannot be written.
        """
        for other in self.rows:
            if other.base == row.base and other.data and row.data and other.data != row.data:
                raise UsageError(
                    f'the data set has changed since "{other.key}" was trained: "{row.key}" cannot '
                    f"be compared with it.\nUse another folder than that of {self.path}, or bring "
                    "back the images of then."
                )
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(row)) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(
                f"{self.path} could not be written: {error.strerror}. Make room or check the "
                "folder, then start the same command again: it goes on from there."
            ) from error
        self.rows.append(row)


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; of a single value the deviation is None."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
