"""The table of the largest batches: every compile a CSV row, written at once; Markdown from it.

A row counts only for what it was compiled from: the sources of the step, the configuration and
the compiler's level, as a digest. An interrupted run goes on after its last row.
"""

import csv
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import UsageError
from efficientnet_tf.tpu.batch_search import Attempt, bracket
from efficientnet_tf.tpu.targets import GIB, SLICES

_PACKAGE = Path(__file__).resolve().parent.parent
# The folders whose code becomes the step, and the files there whose code does not.
_STEP = ("models", "optim", "training")
_BESIDE_THE_STEP = ("connect", "cpu_kernels", "loop", "multi_worker", "reporting")
_NOT_IN_DIGEST = ("model.name", "train.global_batch_size", "train.eval_batch_size")


@dataclass(frozen=True)
class Row:
    """One compile of the train step; sizes are bytes on one device, counts those of one replica.

    Attributes:
        batch: images on one replica.
        hbm_bytes: peak if it fits, else what it would need (0: the compiler did not say).
        flops, bytes_accessed: 0 if it does not fit.
    """

    digest: str
    level: str
    model: str
    tpu_type: str
    batch: int
    fits: bool
    hbm_bytes: float
    flops: float
    bytes_accessed: float
    compile_seconds: float


def digest(config: config_lib.ExperimentConfig) -> str:
    """Eight characters that change with the step's sources and the configuration."""
    values = config_lib.to_dict(config)
    found = hashlib.sha256(
        json.dumps(
            {name: values[name] for name in sorted(values) if name not in _NOT_IN_DIGEST}
        ).encode()
    )
    for folder in _STEP:
        for path in sorted((_PACKAGE / folder).glob("*.py")):
            if path.stem not in _BESIDE_THE_STEP:
                found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:8]


def read(path: str) -> list[Row]:
    """All rows of the file; none if there is no such file.

    Raises:
        UsageError: it is another kind of file.
    """
    if not os.path.exists(path):
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [_row(values) for values in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f'--csv: "{path}" is no table of this command. Give another path or remove it.'
        ) from error


def _row(values: dict[str, str]) -> Row:
    return Row(
        digest=values["digest"],
        level=values["level"],
        model=values["model"],
        tpu_type=values["tpu_type"],
        batch=int(values["batch"]),
        fits={"True": True, "False": False}[values["fits"]],
        hbm_bytes=float(values["hbm_bytes"]),
        flops=float(values["flops"]),
        bytes_accessed=float(values["bytes_accessed"]),
        compile_seconds=float(values["compile_seconds"]),
    )


def append(path: str, row: Row) -> None:
    names = [field.name for field in dataclasses.fields(Row)]
    is_new = not os.path.exists(path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        if is_new:
            writer.writeheader()
        writer.writerow(dataclasses.asdict(row))


def attempts(rows: Iterable[Row]) -> list[Attempt]:
    return [Attempt(row.batch, row.fits, row.hbm_bytes or None) for row in rows]


def select(rows: Iterable[Row], like: Sequence[str], model: str, tpu_type: str) -> list[Row]:
    """Rows of this digest and level (`like`), model and slice."""
    return [
        row
        for row in rows
        if (row.digest, row.level, row.model, row.tpu_type) == (*like, model, tpu_type)
    ]


def markdown(
    rows: Sequence[Row], like: Sequence[str], models: Sequence[str], tpu_types: Sequence[str]
) -> str:
    """Variant x slice: the largest batch on a chip, its peak memory and operations for an image."""
    header = ["variant"]
    for name in tpu_types:
        generation = SLICES[name].chip.name
        header += [f"{generation}: images a chip", "peak HBM GiB", "GFLOP an image"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for model in models:
        cells = [model]
        for name in tpu_types:
            cells += _cells(select(rows, like, model, name), SLICES[name].chip.devices)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cells(rows: Sequence[Row], devices: int) -> list[str]:
    fitting, refused = bracket(attempts(rows))
    if not fitting:
        return ["none" if refused == 1 else "", "", ""]
    row = next(row for row in rows if row.batch == fitting)
    sign = "" if refused is not None else "at least "
    return [
        f"{sign}{fitting * devices:,}",
        f"{row.hbm_bytes * devices / GIB:.1f}",
        f"{row.flops / fitting / 1e9:.2f}",
    ]
