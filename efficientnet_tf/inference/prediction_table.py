"""What was predicted, as rows, and the files they are written to: CSV, JSON, JSON lines, Parquet.

CSV and Parquet have the columns path, error and, for each rank, class_1, name_1, probability_1 and
so on. JSON has a list of objects {"path", "predictions": [{"class", "name", "probability"}]} or
{"path", "error"}; JSON lines has one such object on each line. An image that could not be used
keeps its row, with the reason in `error`.

Names of files and classes are the choice of others. CSV is for spreadsheets, which take a cell that
begins with = or the like for a formula: there such a text has an apostrophe before it, and control
characters are shown by their numbers. The other formats have all names as they are.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from efficientnet_tf.errors import RunError, UsageError, nearest
from efficientnet_tf.machine.packages import require
from efficientnet_tf.storage.files import check_writable, write_bytes
from efficientnet_tf.terminal.shown import shown

_DIGITS = 7  # significant, of float32
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and as wide letters


@dataclass(frozen=True)
class Prediction:
    """The best classes of one image, best first; `names` are class numbers if none are known."""

    path: str
    classes: tuple[int, ...]
    names: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Unusable:
    """An image that could not be read or decoded, and why."""

    path: str
    reason: str


FilePrediction = Prediction | Unusable


def best(outcome: FilePrediction, top: int) -> FilePrediction:
    """With no more than the first `top` classes."""
    if isinstance(outcome, Unusable):
        return outcome
    return Prediction(
        outcome.path, outcome.classes[:top], outcome.names[:top], outcome.probabilities[:top]
    )


def _written(text: str) -> str:
    """As text that can be written: bytes of a file's name that are not UTF-8 become \\xNN."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, of a name from JSON
        return text.encode("utf-8", "backslashreplace").decode()


def _objects(outcomes: Sequence[FilePrediction]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for outcome in outcomes:
        path = _written(outcome.path)
        if isinstance(outcome, Unusable):
            found.append({"path": path, "error": _written(outcome.reason)})
            continue
        ranks = zip(outcome.classes, outcome.names, outcome.probabilities, strict=True)
        predictions = [
            {"class": number, "name": _written(name), "probability": _short(probability)}
            for number, name, probability in ranks
        ]
        found.append({"path": path, "predictions": predictions})
    return found


def _short(probability: float) -> float:
    return float(f"{probability:.{_DIGITS}g}")


def _columns(outcomes: Sequence[FilePrediction]) -> dict[str, list[Any]]:
    """All columns in order, None where an image has no value."""
    objects = _objects(outcomes)
    columns: dict[str, list[Any]] = {
        "path": [each["path"] for each in objects],
        "error": [each.get("error") for each in objects],
    }
    for rank in range(max((len(each.get("predictions", ())) for each in objects), default=0)):
        for field in ("class", "name", "probability"):
            columns[f"{field}_{rank + 1}"] = [
                each["predictions"][rank][field] if "predictions" in each else None
                for each in objects
            ]
    return columns


def _csv(outcomes: Sequence[FilePrediction]) -> bytes:
    columns = _columns(outcomes)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_cell(value) if isinstance(value, str) else value for value in row])
    return out.getvalue().encode()


def _cell(text: str) -> str:
    """As a spreadsheet shows it and does not compute it."""
    text = shown(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(outcomes: Sequence[FilePrediction]) -> bytes:
    return (json.dumps(_objects(outcomes), indent=1, ensure_ascii=False) + "\n").encode()


def _json_lines(outcomes: Sequence[FilePrediction]) -> bytes:
    lines = (json.dumps(each, ensure_ascii=False) for each in _objects(outcomes))
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(outcomes: Sequence[FilePrediction]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    types = {"class": pyarrow.int32(), "probability": pyarrow.float32()}
    columns = {
        name: pyarrow.array(values, types.get(name.split("_")[0], pyarrow.string()))
        for name, values in _columns(outcomes).items()
    }
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


_WRITERS: dict[str, Callable[[Sequence[FilePrediction]], bytes]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}


def check_table_path(path: str) -> None:
    """Says before anything is computed that a table could not be written.

    Raises:
        UsageError: an unknown ending, a missing package, or a place that cannot be written.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in _WRITERS:
        raise UsageError(
            f'--output must end in {", ".join(_WRITERS)}, received "{path}".'
            f"{nearest(ending, _WRITERS)}"
        )
    if ending == ".parquet":
        require("--output: a Parquet table", "pyarrow", instead="write .csv")
    check_writable("--output", path, make_folder=True)


def write_table(path: str, outcomes: Sequence[FilePrediction]) -> None:
    """Writes the rows in their order, in the format that the ending of `path` names.

    Raises:
        RunError: writing failed; an older file is still there.
    """
    write_file(path, _WRITERS[os.path.splitext(path)[1].lower()](outcomes))


def write_file(path: str, content: bytes) -> None:
    """Writes a file so that it is either the old one or the whole new one.

    Raises:
        RunError: that failed.
    """
    try:
        write_bytes(path, content)
    except OSError as error:
        raise RunError(f'"{path}" could not be written: {error.strerror}.') from error
