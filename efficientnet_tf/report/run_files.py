"""What a run left in its model_dir, read without assuming that any of it but config.json is there.

config.json                     all fields, dotted names
history.jsonl, timing.jsonl     what was logged, and how long it took
evaluation-<split>[-raw].json   metrics and scores
predictions-<split>[-raw].npz   every answer
versions.json, command.json     software; command and machine
data.json                       on which images
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.runs import data_record
from efficientnet_tf.runs.predictions import Predictions, load
from efficientnet_tf.runs.stored_config import read_config
from efficientnet_tf.storage.files import entries, exists
from efficientnet_tf.storage.json_files import is_number, misfit, read_object, read_records

_EVALUATION = re.compile(r"evaluation-([\w-]+)\.json")
# Of the run's own data, in the order in which they matter; any other comes after them.
OWN_SPLITS = ("test", "test-raw", "minival", "minival-raw", "train", "train-raw")
_REMEDY = "Remove it, or put it back from a copy."
_SHARE = {"examples": int, "precision": float, "recall": float, "f1": float}
_BIN = {"low": float, "high": float, "examples": int, "confidence": float, "accuracy": float}
_EVALUATION_FILE = {
    **{"split": str, "weights": str, "step": int, "examples": int, "skipped": int},
    **dict.fromkeys(("top1", "top5", "loss", "mean_per_class_accuracy"), float),
    "per_class": [{"class": int, "name": str, **_SHARE}],
    "calibration": {"ece": float, "bins": [_BIN]},
    "most_confused": [{"true": int, "predicted": int, "examples": int}],
}
_COMMAND_FILE = {
    **dict.fromkeys(("command", "directory", "started"), str),
    "from_step": int,
    "machine": dict,
}


@dataclass(frozen=True)
class RunFiles:
    """The files of a run.

    Attributes:
        model_dir: as it was given.
        config: dotted names to values; of an older version it may lack some.
        history, timing: a dict for each line, in order; "step" is in each.
        evaluations: by "test", "test-raw", "minival", ...: the content of the file.
        versions, command: the content, empty if the file is not there.
        splits: of data.json: the number of images and the fingerprint of each; may be empty.
        unreadable: a sentence for each file that is there and cannot be used.
    """

    model_dir: str
    config: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    timing: tuple[Mapping[str, Any], ...]
    evaluations: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, Any]
    command: Mapping[str, Any]
    splits: Mapping[str, Mapping[str, Any]]
    unreadable: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last part of model_dir."""
        return os.path.basename(self.model_dir.rstrip("/")) or self.model_dir

    @property
    def last_step(self) -> int:
        return max((line["step"] for line in self.history), default=0)

    @property
    def main_evaluation(self) -> str | None:
        """The evaluation that details are of: of the test split if there is one."""
        return next(iter(self.evaluations), None)

    def curve(self, field: str) -> tuple[list[int], list[float]]:
        """Steps and values of a field of history or timing."""
        found = [
            (line["step"], float(line[field]))
            for line in (*self.history, *self.timing)
            if is_number(line.get(field)) and not line.get("first")
        ]
        return [step for step, _ in found], [value for _, value in found]

    def seconds(self) -> dict[str, float]:
        """Of the whole run, by what it did; "first" are the first device loops of each process."""
        sums: dict[str, float] = {}
        for line in self.timing:
            for field, value in line.items():
                what = field.removeprefix("seconds/")
                if what != field and is_number(value):
                    what = "first" if line.get("first") and what == "steps" else what
                    sums[what] = sums.get(what, 0.0) + value
        return sums

    @property
    def images_per_second(self) -> float | None:
        """Of all device loops but the first of each process."""
        images = seconds = 0.0
        for line in self.timing:
            rate = line.get("images_per_second")
            took = line.get("seconds/steps", 0.0) + line.get("seconds/input", 0.0)
            if is_number(rate) and not line.get("first"):
                images, seconds = images + rate * took, seconds + took
        return images / seconds if seconds else None

    def predictions(self, evaluation: str) -> Predictions | None:
        """The answers of an evaluation; None if they were not kept.

        Raises:
            UsageError, RunError: the file cannot be used.
        """
        path = os.path.join(self.model_dir, f"predictions-{evaluation}.npz")
        return load(path) if exists(path) else None


def read_run(model_dir: str) -> RunFiles:
    """Reads a run of main.py.

    Raises:
        UsageError: there is none, or its configuration cannot be read.
    """
    config = read_config(model_dir)
    try:
        _, names = entries(model_dir, lambda name: True)
    except OSError as error:
        first = first_line(error)
        raise UsageError(f'--model_dir: "{model_dir}" cannot be read: {first}.') from error
    reader = _Reader(model_dir, frozenset(names))
    config = reader.config(config)
    found = [match.group(1) for name in names if (match := _EVALUATION.fullmatch(name))]
    found.sort(
        key=lambda name: (OWN_SPLITS.index(name) if name in OWN_SPLITS else len(OWN_SPLITS), name)
    )
    evaluations = {name: reader.evaluation(f"evaluation-{name}.json") for name in found}
    return RunFiles(
        model_dir,
        config,
        reader.lines("history.jsonl"),
        reader.lines("timing.jsonl"),
        {name: content for name, content in evaluations.items() if content},
        reader.object("versions.json", {}),
        reader.object("command.json", _COMMAND_FILE),
        reader.object("data.json", data_record.CONTENT).get("splits", {}),
        tuple(reader.unreadable),
    )


class _Reader:
    """Reads files of a folder and notes those that cannot be used."""

    def __init__(self, folder: str, names: frozenset[str]) -> None:
        self._folder = folder
        self._names = names
        self.unreadable: list[str] = []

    def config(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The fields without those that cannot have their value in this version."""
        config = dict(stored)
        for name, field, _ in config_lib.fields(config_lib.ExperimentConfig()):
            value, allowed = config.get(name), config_lib.allowed_types(field.type)
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            of_type = isinstance(value, allowed) and (
                bool in allowed or not isinstance(value, bool)
            )
            if name in config and (not of_type or (numeric and not is_number(value))):
                self.unreadable.append(f"config.json: {name} cannot be {str(value)[:40]!r}.")
                del config[name]
        return config

    def object(self, name: str, expected: Mapping[str, Any]) -> dict[str, Any]:
        """The object in a JSON file, empty without one.

        Args:
            expected: of `json_files.misfit`.
        """
        if name not in self._names:
            return {}
        try:
            content = read_object(os.path.join(self._folder, name), _REMEDY)
        except UsageError as error:
            self.unreadable.append(first_line(error))
            return {}
        reason = misfit(content, expected)
        if reason:
            self.unreadable.append(f"{name}: {reason}.")
        return {} if reason else content

    def evaluation(self, name: str) -> dict[str, Any]:
        """What evaluation/evaluator.py wrote."""
        content = self.object(name, _EVALUATION_FILE)
        classes = len(content.get("per_class", ()))
        for pair in content.get("most_confused", ()):
            if max(pair["true"], pair["predicted"]) >= classes:
                self.unreadable.append(f"{name}: most_confused names a class that is not there.")
                return {}
        return content

    def lines(self, name: str) -> tuple[Mapping[str, Any], ...]:
        """The numbers in the records of a file, without a last one that is cut off."""
        if name not in self._names:
            return ()
        try:
            records, wrong = read_records(os.path.join(self._folder, name), _REMEDY)
        except UsageError as error:
            self.unreadable.append(first_line(error))
            return ()
        if wrong:
            more = f"; {len(wrong)} lines in all" if len(wrong) > 1 else ""
            self.unreadable.append(f"{name}, {wrong[0]}{more}.")
        return tuple(
            {key: value for key, value in record.items() if value is True or is_number(value)}
            for record in records
        )
