"""Our own results: JSON lines of runs, checked, and gathered over their seeds."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.reproduce.table import Column, Table, millions
from efficientnet_tf.storage.json_files import read_text

# field: (types, meaning)
FIELDS: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), "name of the baseline"),
    "depth": ((int, float), "depth coefficient"),
    "width": ((int, float), "width coefficient"),
    "resolution": ((int,), "side of the image in pixels"),
    "multiply_adds": ((int, float), "for one image"),
    "params": ((int,), "trainable weights"),
    "top1": ((int, float), "in [0, 1]"),
    "seed": ((int,), "of the run"),
    "what": ((str,), 'data set and budget, such as "digits, 30 epochs" or "imagenet"'),
}


@dataclass(frozen=True)
class OwnResult:
    """One run of ours; see FIELDS."""

    model: str
    depth: float
    width: float
    resolution: int
    multiply_adds: float
    params: int
    top1: float
    seed: int
    what: str

    @property
    def is_imagenet(self) -> bool:
        """Whether its accuracy may stand on one axis with the paper's."""
        return self.what.lower().startswith("imagenet")


@dataclass(frozen=True)
class Measured:
    """Runs that differ in their seeds only.

    Attributes:
        run: any of them.
        top1: mean, percent.
        spread: sample standard deviation in percentage points; None of a single run.
        runs: how many.
    """

    run: OwnResult
    top1: float
    spread: float | None
    runs: int

    @property
    def text(self) -> str:
        """`97.31 ± 0.20 % (3 runs)`."""
        if self.spread is None:
            return f"{self.top1:.2f} % (1 run)"
        return f"{self.top1:.2f} ± {self.spread:.2f} % ({self.runs} runs)"


def _check(row: Any, where: str) -> OwnResult:
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected an object with {', '.join(FIELDS)}, received {row!r}.")
    for field, (types, meaning) in FIELDS.items():
        if field not in row:
            raise UsageError(
                f'{where}: field "{field}" ({meaning}) is missing.{nearest(field, row)}'
            )
        value = row[field]
        wrong = isinstance(value, bool) or not isinstance(value, types)
        if wrong or (isinstance(value, float) and not math.isfinite(value)):
            raise UsageError(f'{where}: field "{field}" ({meaning}) cannot be {value!r}.')
    if not 0 <= row["top1"] <= 1:
        raise UsageError(
            f"{where}: top1 must be a fraction in [0, 1], received {row['top1']!r}. Divide percent "
            "by 100."
        )
    for field in ("depth", "width", "resolution", "multiply_adds", "params"):
        if row[field] <= 0:
            raise UsageError(f'{where}: field "{field}" must be positive, received {row[field]!r}.')
    return OwnResult(**{field: row[field] for field in FIELDS})


def read_results(paths: Iterable[str]) -> list[OwnResult]:
    """The rows of JSON-lines files; fields that are not in FIELDS are passed over.

    Raises:
        UsageError: a file is not there or a line is wrong; the message names both.
    """
    rows = []
    for path in paths:
        remedy = "Give a results.jsonl as search-scaling and compare-scaling write it."
        try:
            lines = read_text(path, remedy).splitlines()
        except UsageError as error:
            raise UsageError(f"--results: {error}") from error
        found = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{where}: not a line of JSON: {error}.") from error
            found.append(_check(row, where))
        if not found:
            raise UsageError(f'--results: "{path}" has no rows. Leave it out, or give another.')
        rows += found
    return rows


def gathered(results: Sequence[OwnResult]) -> list[Measured]:
    """Means over seeds, in the order of the first run of each.

    Raises:
        UsageError: a seed occurs twice for one network: the same run counted twice.
    """
    groups: dict[tuple[Any, ...], dict[int, OwnResult]] = {}
    for row in results:
        key = (row.what, row.model, row.depth, row.width, row.resolution)
        runs = groups.setdefault(key, {})
        if row.seed in runs:
            raise UsageError(
                f"--results: seed {row.seed} occurs twice for {row.model} d={row.depth:g} "
                f'w={row.width:g} at {row.resolution} px, "{row.what}". Each run counts once: '
                "remove one of the two lines, or give the file once."
            )
        runs[row.seed] = row
    found = []
    for runs in groups.values():
        values = [100.0 * row.top1 for row in runs.values()]
        spread = statistics.stdev(values) if len(values) > 1 else None
        first = next(iter(runs.values()))
        found.append(Measured(first, statistics.fmean(values), spread, len(values)))
    return found


def kind(run: OwnResult, baseline: OwnResult) -> str:
    """Which dimensions of the baseline were scaled: "depth", ..., "compound" or "baseline"."""
    scaled = [
        name
        for name in ("depth", "width", "resolution")
        if not math.isclose(getattr(run, name), getattr(baseline, name))
    ]
    if not scaled:
        return "baseline"
    return scaled[0] if len(scaled) == 1 else "compound"


def measured_table(name: str, measured: Sequence[Measured]) -> list[Table]:
    """All runs of ours in a table of their own; none if there are none."""
    if not measured:
        return []
    columns = (
        Column("What"),
        Column("Model"),
        Column("Depth"),
        Column("Width"),
        Column("Resolution, px"),
        Column("Params", millions),
        Column("Multiply-adds", millions),
        Column("Top-1, measured by us", lambda each: each.text, lambda each: each.top1),
        Column("Spread, percentage points", lambda value: f"{value:.2f}"),
        Column("Runs"),
    )
    rows = [
        (
            each.run.what,
            each.run.model,
            each.run.depth,
            each.run.width,
            each.run.resolution,
            each.run.params,
            each.run.multiply_adds,
            each,
            each.spread,
            each.runs,
        )
        for each in measured
    ]
    note = (
        "Runs of this package, mean and sample standard deviation over seeds. They are on the data "
        "named in the first column; only rows on ImageNet can be compared with the paper."
    )
    title = f"Table {name.removeprefix('table')}: measured by us"
    return [Table(f"{name}_measured", title, columns, rows, (note,))]
