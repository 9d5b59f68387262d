"""Runs of ours on the data sets of Table 6, as their model_dir tells; for Table 5 and Figure 6."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efficientnet_tf.config import DataConfig, ModelConfig
from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.networks import configured
from efficientnet_tf.models.operations import count
from efficientnet_tf.paper.transfer_sets import TABLE6, transfer_set
from efficientnet_tf.storage.json_files import read_object


@dataclass(frozen=True)
class TransferRun:
    """A finished run.

    Attributes:
        folder: its model_dir.
        data_set: name as in Table 6.
        model: name, with the coefficients that differ from the variant's.
        resolution: pixels.
        params: trainable weights, with the classifier.
        top1: percent of the test split.
        mean_per_class: percent; None if the evaluation does not say.
        examples: of the test split.
        seed: of the run.
        initial: first weights, or "" for drawn ones.
    """

    folder: str
    data_set: str
    model: str
    resolution: int
    params: int
    top1: float
    mean_per_class: float | None
    examples: int
    seed: int
    initial: str


def _read(path: Path) -> dict[str, Any]:
    remedy = (
        "Give the model_dir of a run that has been tested: main.py --mode=eval writes "
        "evaluation-test.json."
    )
    try:
        return read_object(str(path), remedy)
    except UsageError as error:
        raise UsageError(f"--run: {error}") from error


def read_run(folder: str) -> TransferRun:
    """One run.

    Raises:
        UsageError: it is none, was not tested, or is on no data set of Table 6.
    """
    config = _read(Path(folder) / "config.json")
    evaluation = _read(Path(folder) / "evaluation-test.json")
    source = str(config.get("data.source", DataConfig().source))
    data_set = transfer_set(source, config.get("data.data_dir"))
    if data_set is None:
        known = ", ".join(each.name for each in TABLE6)
        raise UsageError(
            f'--run: "{folder}" is on "{source}", which is no data set of Table 6 ({known}). Runs '
            "are known by the name of their tfds set or of the last folder of their data."
        )
    top1 = evaluation.get("top1")
    if not isinstance(top1, int | float) or not 0 <= top1 <= 1:
        raise UsageError(
            f'--run: "{folder}/evaluation-test.json": top1 must be in [0, 1], received {top1!r}.'
        )
    fields: dict[str, Any] = {
        name: config.get(f"model.{name}") for name in ModelConfig.__dataclass_fields__
    }
    if isinstance(fields["blocks_args"], list):
        fields["blocks_args"] = tuple(fields["blocks_args"])  # JSON has no tuples
    network = configured(**fields)
    changed = [
        f"{name.removesuffix('_coefficient')}={fields[name]:g}"
        for name in ("width_coefficient", "depth_coefficient")
        if fields[name] is not None
    ]
    mean = evaluation.get("mean_per_class_accuracy")
    return TransferRun(
        folder=folder,
        data_set=data_set.name,
        model=" ".join([str(fields["name"]), *changed]),
        resolution=network.resolution,
        params=count(network.operations(data_set.classes)).trainable_params,
        top1=100.0 * top1,
        mean_per_class=None if mean is None else 100.0 * mean,
        examples=int(evaluation.get("examples", 0)),
        seed=int(config.get("train.seed", 0)),
        initial=str(config.get("init_from") or ""),
    )


def read_runs(folders: Sequence[str]) -> list[TransferRun]:
    """The runs in the order of Table 6.

    Raises:
        UsageError: see `read_run`; or one is given twice.
    """
    for folder in folders:
        if list(folders).count(folder) > 1:
            raise UsageError(f'--run: "{folder}" is given twice. Each run counts once.')
    order = [each.name for each in TABLE6]
    return sorted(map(read_run, folders), key=lambda run: order.index(run.data_set))
