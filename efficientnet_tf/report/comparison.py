"""Several runs side by side: what differs in their configurations, what came out, their curves."""

import time
from collections.abc import Sequence
from typing import Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.report import page
from efficientnet_tf.report.charts import LINES, Curve
from efficientnet_tf.report.run_files import RunFiles, read_run
from efficientnet_tf.terminal.table import aligned

NOTHING = "–"
Row = tuple[str, list[str]]  # what, and its value in each run


def read_runs(model_dirs: Sequence[str]) -> dict[str, RunFiles]:
    """Runs by a short name that is unique among them.

    Raises:
        UsageError: fewer than two, one twice, or a folder that is no run.
    """
    if len(model_dirs) < 2:
        raise UsageError("give at least two runs to compare: main.py compare RUN RUN ...")
    if len(model_dirs) > len(LINES):
        raise UsageError(
            f"at most {len(LINES)} runs can be told apart side by side, received {len(model_dirs)}."
        )
    runs = [read_run(folder) for folder in model_dirs]
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [run.model_dir.rstrip("/") for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f'"{name}" is given twice. Give each run once.')
    return dict(zip(names, runs, strict=True))


def config_differences(runs: Sequence[RunFiles]) -> list[Row]:
    """Fields that are not the same in all runs; one that a run does not have is at its default."""
    columns = [{row["name"]: row["value"] for row in page.config_rows(run.config)} for run in runs]
    fields = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, [str(column.get(name, NOTHING)) for column in columns]) for name in fields]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def outcomes(runs: Sequence[RunFiles]) -> list[Row]:
    """Final metrics of every evaluation that any run has, steps, speed and time."""
    evaluations = dict.fromkeys(name for run in runs for name in run.evaluations)
    rows: list[Row] = [("steps", [str(run.last_step or NOTHING) for run in runs])]
    for split in ("train", "minival", "test"):  # on other images numbers say little
        data = [run.splits.get(split, {}) for run in runs]
        shown = [
            f"{each['images']}, {each['fingerprint'][:8]}" if each else NOTHING for each in data
        ]
        if len(set(shown)) > 1:
            rows.append((f"{split} images, fingerprint", shown))
    for name in evaluations:
        found = [run.evaluations.get(name, {}) for run in runs]
        for metric, label in (("top1", "top-1"), ("top5", "top-5")):
            rows.append((f"{name} {label}", [page.percent(each.get(metric)) for each in found]))
        rows.append((f"{name} loss", [_number(each.get("loss"), 4) for each in found]))
    rows.append(("images/s in training", [_number(run.images_per_second, 0) for run in runs]))
    for part, label in (
        ("steps", "training steps"),
        ("input", "waiting for input"),
        ("first", "first steps"),
        ("evaluation", "evaluation"),
        ("checkpoint", "checkpoints"),
    ):
        seconds = [run.seconds().get(part) for run in runs]
        shown = [NOTHING if each is None else page.duration(each) for each in seconds]
        rows.append((f"time: {label}", shown))
    machines = [run.command.get("machine", {}) for run in runs]
    rows.append(("machine", [str(each.get("devices", NOTHING)) for each in machines]))
    return [(label, values) for label, values in rows if set(values) != {NOTHING}]


def text(runs: dict[str, RunFiles]) -> str:
    """The comparison for a terminal."""
    differences = config_differences(list(runs.values()))
    rows = [("", list(runs)), *outcomes(list(runs.values()))]
    if differences:
        rows += [("", [""] * len(runs)), *differences]
    lines = aligned((label, *values) for label, values in rows)
    if not differences:
        lines += ["", "The configurations are the same."]
    return "\n".join(lines)


def html(runs: dict[str, RunFiles]) -> str:
    """The comparison as a page that needs no other file, with curves laid over each other."""
    laid: dict[str, list[Curve]] = {}
    for place, (name, run) in enumerate(runs.items()):
        for chart, found in page.curves(run, name, place).items():
            laid.setdefault(chart, []).extend(found)
    contents: dict[str, Any] = {
        "title": f"{len(runs)} runs side by side",
        "runs": runs,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "summaries": {name: page.summary(run) for name, run in runs.items()},
        "outcomes": outcomes(list(runs.values())),
        "differences": config_differences(list(runs.values())),
        "charts": page.chart_list(laid),
    }
    return page.render("comparison.html.jinja", **contents)


def _number(value: Any, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"
