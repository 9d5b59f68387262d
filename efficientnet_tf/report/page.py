"""From the files of a run to the contents of its page: words, tables and charts; no pictures."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.evaluation.scores import confusion_matrix
from efficientnet_tf.models.networks import configured
from efficientnet_tf.report import charts
from efficientnet_tf.report.charts import Curve
from efficientnet_tf.report.paper import paper_row
from efficientnet_tf.report.run_files import RunFiles
from efficientnet_tf.storage.json_files import is_number

MOST_ROWS = 30  # of the table of classes
_PARTS = (
    ("steps", "Training steps"),
    ("input", "Waiting for input"),
    ("first", "First steps, with the tracing of the graph"),
    ("evaluation", "Evaluation"),
    ("checkpoint", "Checkpoints"),
)


def render(template: str, **contents: Any) -> str:
    """A page of this package; every value is escaped, unless it is Markup."""
    environment = Environment(
        loader=PackageLoader("efficientnet_tf.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, duration=duration)
    return environment.get_template(template).render(**contents)


def percent(share: Any, digits: int = 2) -> str:
    """`99.44 %` of 0.9944; a dash for what is not there."""
    return f"{100 * share:.{digits}f} %" if is_number(share) else "–"


def duration(seconds: float) -> str:
    """`0.4 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def summary(run: RunFiles) -> str:
    """What was trained, in one line."""
    config = run.config
    size = resolution(config)
    parts = [str(config.get("model.name", "a network"))]
    parts.append(f"{size}x{size} pixels" if size else "")
    where = config.get("data.data_dir")
    parts.append(f"on {config.get('data.source')}" + (f" in {where}" if where else ""))
    if config.get("train.epochs"):
        parts.append(f"{config['train.epochs']:g} epochs")
    if config.get("train.global_batch_size"):
        parts.append(f"{config['train.global_batch_size']} images a step")
    parts.append(f"{run.last_step} steps" if run.last_step else "nothing trained here yet")
    return ", ".join(part for part in parts if part)


def resolution(config: Mapping[str, Any]) -> int | None:
    """Side of the network's images in pixels; None if this version does not know the network."""
    fields: dict[str, Any] = {
        field.name: config.get(f"model.{field.name}")
        for field in dataclasses.fields(config_lib.ModelConfig)
    }
    if isinstance(fields["blocks_args"], list):
        fields["blocks_args"] = tuple(fields["blocks_args"])  # JSON has no tuples
    try:
        return configured(**fields).resolution if fields["name"] else None
    except (UsageError, RunError):
        return None


def results(run: RunFiles) -> list[dict[str, Any]]:
    """Rows of the final table: every evaluation, those of the run's test with the paper's row."""
    paper = paper_row(run.config)
    rows = []
    for name, content in run.evaluations.items():
        on_test = name in ("test", "test-raw")  # not of another set or resolution
        rows.append({**content, "name": name, "paper": paper if on_test else None})
    return rows


def curves(run: RunFiles, label: str = "", colour: int | None = None) -> dict[str, list[Curve]]:
    """Of loss, top1, rate and speed, by these names.

    Args:
        label: before each name, for charts of several runs.
        colour: of all of them, for charts of several runs.
    """

    def curve(field: str, name: str, number: int, unit: float = 1.0, **style: bool) -> list[Curve]:
        steps, values = run.curve(field)
        finite = np.isfinite(values)
        if not finite.any():
            return []
        text = f"{label}: {name}" if label and name else label or name
        shown = (np.asarray(values)[finite] / unit).tolist()
        place = number if colour is None else colour
        return [Curve(text, np.asarray(steps)[finite].tolist(), shown, place, **style)]

    def minival(metric: str, unit: float = 1.0) -> list[Curve]:
        average = curve(
            f"minival/average/{metric}", "minival, averaged weights", 1, unit, dots=True
        )
        raw = curve(
            f"minival/raw/{metric}", "minival, raw weights", 2, unit, dots=True, dashed=True
        )
        return average + raw

    plain = colour is None
    return {
        "loss": curve("loss", "training" if plain else "", 0) + (minival("loss") if plain else []),
        "top1": minival("top1", 0.01),
        "rate": curve("learning_rate", "", 0),
        "speed": curve("images_per_second", "", 0),
    }


_CHARTS = (
    ("loss", "Loss", "cross-entropy, nats"),
    ("top1", "Top-1 on minival", "%"),
    ("rate", "Learning rate", "learning rate"),
    ("speed", "Speed of training", "images/s"),
)
_MISSING = {
    "loss": "Nothing was logged.",
    "top1": "No evaluation on minival was logged.",
    "rate": "Nothing was logged.",
    "speed": "There is no timing (timing.jsonl): the run is of an older version, or too short.",
}


def chart_list(found: Mapping[str, Sequence[Curve]]) -> list[dict[str, Any]]:
    """Title and SVG, or the sentence in its place, of each chart over the step."""
    return [
        {
            "title": title,
            "svg": Markup(charts.lines(name, label, found[name])) if found[name] else None,
            "sentence": _MISSING[name],
        }
        for name, title, label in _CHARTS
    ]


def details(run: RunFiles) -> dict[str, Any]:
    """Classes, confusion and calibration of the main evaluation, or a sentence for what is not."""
    name = run.main_evaluation
    content = run.evaluations.get(name, {}) if name else {}
    per_class = list(content.get("per_class", ()))
    names = [str(each["name"]) for each in per_class]
    found: dict[str, Any] = {
        "evaluation": name,
        "class_count": len(per_class),
        "per_class": sorted(per_class, key=lambda each: (each["f1"], each["class"]))[:MOST_ROWS],
        "confusion": None,
        "pairs": [],
        "reliability": None,
        "ece": None,
    }
    calibration = content.get("calibration")
    if calibration:
        found["reliability"] = Markup(charts.reliability("reliability", calibration["bins"]))
        found["ece"] = calibration["ece"]
    found["pairs"] = [
        {**pair, "true": names[pair["true"]], "predicted": names[pair["predicted"]]}
        for pair in content.get("most_confused", ())
    ]
    if name and 0 < len(names) <= charts.MOST_CLASSES:
        try:
            predictions = run.predictions(name)
        except (UsageError, RunError):
            predictions = None
        if predictions is not None and predictions.probabilities.shape == (
            len(predictions.labels),
            len(names),
        ):
            matrix = confusion_matrix(predictions)
            found["confusion"] = Markup(charts.confusion("confusion", matrix, names))
    return found


def time_split(run: RunFiles) -> list[dict[str, Any]]:
    """Where the time went: label, seconds, share of the whole."""
    seconds = run.seconds()
    total = sum(seconds.values())
    return [
        {"label": label, "seconds": seconds[part], "share": seconds[part] / total}
        for part, label in _PARTS
        if total > 0 and part in seconds
    ]


def config_rows(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All fields with value, default and meaning, those of other versions at the end."""
    known = {name: (field, value) for name, field, value in _fields()}
    rows = []
    for name, (field, default) in known.items():
        value = config.get(name, default)
        value = tuple(value) if isinstance(value, list) else value
        rows.append(
            {
                "name": name,
                "value": value,
                "default": default,
                "changed": value != default,
                "meaning": field.metadata["meaning"],
            }
        )
    for name in config:
        if name not in known:
            rows.append(
                {
                    "name": name,
                    "value": config[name],
                    "default": "–",
                    "changed": True,
                    "meaning": "not a field of this version",
                }
            )
    return rows


def _fields() -> list[tuple[str, Any, Any]]:
    return list(config_lib.fields(config_lib.ExperimentConfig()))
