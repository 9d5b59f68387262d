"""Writes report.html into the model_dir of a run: all about it, in one file that needs no other."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.sources.by_name import configured_source, training_source
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.report import page, pictures
from efficientnet_tf.report.run_files import OWN_SPLITS, RunFiles, read_run
from efficientnet_tf.runs.stored_config import names_files
from efficientnet_tf.runs.trained_model import from_run, stored_data_config
from efficientnet_tf.storage.files import check_writable, write_bytes

NAME = "report.html"
_SIZE = 224  # pixels, of a network that this version does not know
# What goes wrong with data, checkpoints and files: then the page says so in place of the pictures.
_EXPECTED = (UsageError, RunError, tf.errors.OpError, OSError)
_CAM = (
    "the class activation map of the class that it took, from blue (no evidence) to red (the most "
    "in this picture)."
)
_NO_CAM = (
    "nothing, for class activation maps need a classifier right after global average pooling, "
    "which this network does not have."
)


def write_report(
    model_dir: str,
    source: Source | None = None,
    *,
    with_pictures: bool = True,
    named: Mapping[str, str] | None = None,
) -> str:
    """Makes the report of a run; returns its path.

    Args:
        model_dir: of main.py.
        source: of the run, as `by_name.configured_source`; None: it is loaded, if it is built in
            or `named`, for the run may come from anywhere, and its report go anywhere.
        with_pictures: without, neither data nor checkpoint are read, and it takes two seconds.
        named: "source" and "data_dir" of the run's data as the user names them.

    Raises:
        UsageError: there is no run, or the page cannot be written.
        RunError: writing the page failed.
    """
    run = read_run(model_dir)
    path = os.path.join(model_dir, NAME)
    check_writable("--model_dir", path)
    results = page.results(run)
    time_split = page.time_split(run)
    contents: dict[str, Any] = {
        "title": f"{run.name}: {run.config.get('model.name', 'report')}",
        "run": run,
        "summary": page.summary(run),
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "results": results,
        "paper": next((row["paper"] for row in results if row["paper"]), None),
        "charts": page.chart_list(page.curves(run)),
        "details": page.details(run),
        "time": time_split,
        "total": sum(part["seconds"] for part in time_split),
        "speed": run.images_per_second,
        "config": page.config_rows(run.config),
        "augment": run.config.get("data.augment"),
    }
    if with_pictures:
        with tf.device("CPU:0"):
            contents |= _pictures(run, source, named or {})
    else:
        sentence = "No pictures: this report was made without. `main.py report` makes it again."
        contents |= {"pictures_sentence": sentence, "inputs_sentence": sentence}
    write_bytes(path, page.render("report.html.jinja", **contents).encode())
    return path


def try_report(model_dir: str, source: Source | None = None, *, with_pictures: bool = True) -> str:
    """`write_report` at the end of a run, which no failure of it may fail: the line to print."""
    try:
        return f"report: {write_report(model_dir, source, with_pictures=with_pictures)}"
    except (UsageError, RunError) as error:
        return f"warning: no report: {error}"
    except Exception as error:  # a bug of the report; days of training must not end with it
        return (
            f"warning: no report: {type(error).__name__}: {first_line(error)}. The run itself is "
            f"complete; `python main.py report --model_dir={model_dir}` shows the whole error."
        )


def unnamed_data(config: Mapping[str, Any], named: Mapping[str, str]) -> str:
    """The flag and value by which the data of a run is to be named before it is opened, or ""."""
    source, data_dir = str(config.get("data.source")), config.get("data.data_dir")
    if names_files(source, None) and "source" not in named:
        return f"--source={source}"
    if data_dir and not named:
        return f"--data_dir={data_dir}"
    return ""


def _pictures(run: RunFiles, source: Source | None, named: Mapping[str, str]) -> dict[str, Any]:
    """What the page shows of images, or sentences in their place."""
    flag = "" if source else unnamed_data(run.config, named)
    if flag:
        sentence = (
            f"No pictures: the run's data was not opened, for the run may come from elsewhere. "
            f"`main.py report --model_dir=RUN {flag}` opens it."
        )
        return {"pictures_sentence": sentence, "inputs_sentence": sentence}
    try:
        data = stored_data_config(run.config)
        for field, value in named.items():
            setattr(data, field, value)
        source = source or configured_source(data, page.resolution(run.config) or _SIZE)
    except _EXPECTED as error:
        sentence = f"No pictures: the data cannot be read. {first_line(error)}"
        return {"pictures_sentence": sentence, "inputs_sentence": sentence}
    names = source.class_names or tuple(str(number) for number in range(source.num_classes))
    found: dict[str, Any] = {}
    sentence, answers = _or_sentence(lambda: _answers(run, source, names))
    found |= answers or {"pictures_sentence": sentence}
    sentence, inputs = _or_sentence(lambda: _inputs(run, training_source(source, data), names))
    return {**found, "inputs": inputs, "inputs_sentence": sentence}


def _or_sentence(make: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "", make()
    except _EXPECTED as error:
        return f"No pictures: {first_line(error)}", None


def _answers(run: RunFiles, source: Source, names: tuple[str, ...]) -> dict[str, Any]:
    name = run.main_evaluation
    predictions = run.predictions(name) if name else None
    if name is None or predictions is None:
        raise UsageError("no evaluation kept its answers; main.py --mode=eval does.")
    if name not in OWN_SPLITS:
        raise UsageError(f'the evaluation "{name}" is not of the run\'s own data and resolution.')
    split = name.removesuffix("-raw")
    classes = predictions.probabilities.shape[1]
    if split not in source.num_examples or classes != len(names):
        raise UsageError(f'the answers are of "{name}" with {classes} classes, the data of others.')
    trained = from_run(run.model_dir)
    worst, best = pictures.worst_and_best(predictions)
    shown = {
        kind: pictures.answers(trained, source, split, predictions, rows.tolist(), names)
        for kind, rows in (("worst", worst), ("best", best))
    }
    has_map = any(each.cam for each in (*shown["worst"], *shown["best"]))
    return {**shown, "cam_sentence": _CAM if has_map else _NO_CAM}


def _inputs(run: RunFiles, source: Source, names: tuple[str, ...]) -> list[pictures.Shown]:
    size = page.resolution(run.config)
    if size is None:
        raise UsageError("this version does not know the network.")
    return pictures.training_inputs(source, size, run.config, names)
