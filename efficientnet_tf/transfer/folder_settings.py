"""Settings for fine-tuning on a folder that nobody has tuned for, each with its reason.

They are a start that works from ten images to a million, not an optimum. The rules:

    images        the network's own resolution, or a smaller one that the images fill
    batch         a twentieth of the training images, a power of two in 8 .. 64, not above them
    length        20 passes, but at least 300 updates and at most 20,000
    rate          0.01 at its peak, whatever the batch; SGD with Nesterov's momentum, a cosine
    batch norm    momentum max(1 - 10/s, 0.9), s updates in a pass, as in docs/transfer.md
    minival       what folder.py holds out; patience only where it can tell one run from another

The weights' average needs no rule: its ramp (optim/ema.py) remembers the last ninth of the run
until 0.9999 is reached, however short the run is.
"""

import dataclasses
import functools
import os
import statistics
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.data.images.header import read_header
from efficientnet_tf.data.sources.by_name import configured_source
from efficientnet_tf.data.sources.files import FileSource
from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.data.sources.resampling import class_counts
from efficientnet_tf.storage.files import opened

_SAMPLE = 200  # images whose size is looked at
_JUDGES = 50  # images of minival, from which on a better evaluation means something


@dataclasses.dataclass(frozen=True)
class Survey:
    """What lies in a folder.

    Attributes:
        name: of the source.
        train, minival, test: images.
        class_counts: training images of each class.
        side: median of the shorter sides, in pixels, of a sample of the training images.
    """

    name: str
    train: int
    minival: int
    test: int
    class_counts: tuple[int, ...]
    side: int


@dataclasses.dataclass(frozen=True)
class Choice:
    """A value for a field of the configuration, and why."""

    field: str
    value: Any
    reason: str


def survey(source: FileSource) -> Survey:
    """Counts what there is and reads the sizes of some images."""
    return Survey(
        name=source.name,
        train=source.num_examples["train"],
        minival=source.num_examples["minival"],
        test=source.num_examples["test"],
        class_counts=tuple(class_counts(source)),
        side=_median_side(source),
    )


def _median_side(source: FileSource) -> int:
    count = source.num_examples["train"]
    sides = []
    for index in np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(int)):
        path = os.fsdecode(source.root + source.names["train"][index].numpy())
        with opened(path) as file:
            header = read_header(file)
        if header is not None and header.height:
            sides.append(min(header.height, header.width))
    return int(statistics.median(sides)) if sides else 224  # unreadable ones: training says which


def choose(found: Survey, given: Mapping[str, Any] = types.MappingProxyType({})) -> list[Choice]:
    """The settings for a folder, in the order in which they are explained.

    Args:
        given: fields that are not to be chosen, with their values; the others follow from them.
    """
    choices = _all_choices(found, given)
    return [choice for choice in choices if choice.field not in given]


def _all_choices(found: Survey, given: Mapping[str, Any]) -> list[Choice]:
    batch = min(max(8, min(64, _power_of_two(found.train / 20))), _power_of_two(found.train))
    batch = given.get("train.global_batch_size", batch)
    per_pass = found.train / batch
    epochs = given.get("train.epochs", min(max(20 * per_pass, 300), 20_000) / per_pass)
    updates = epochs * per_pass
    evaluate = given.get("train.eval_every_epochs", min(max(1.0, epochs / 20), epochs))
    patience = 5 if found.minival >= _JUDGES else 0
    looks = epochs / (evaluate or epochs)
    rarest, largest = min(found.class_counts), max(found.class_counts)
    uneven = largest > 3 * rarest and not given.get("data.balanced_sampling")
    return [
        *_image_choices(found.side),
        Choice("train.global_batch_size", batch, f"{per_pass:.0f} updates in a pass"),
        Choice("train.epochs", epochs, f"{updates:.0f} updates"),
        Choice("optimizer.kind", "sgd", "forgets less of its first weights than RMSProp"),
        Choice("optimizer.base_learning_rate", 0.01 * 256 / batch, "0.01 at this batch"),
        Choice("optimizer.schedule", "cosine", "ends at 0, whatever the length"),
        Choice("optimizer.warmup_epochs", 0.05 * epochs, "a twentieth of the run"),
        Choice("optimizer.weight_decay", 1e-4, "for the rate above"),
        Choice(
            "transfer.batch_norm_momentum",
            max(1 - 10 / per_pass, 0.9),
            "statistics of the last passes, not of the first weights",
        ),
        Choice(
            "transfer.class_weights",
            "balanced" if uneven else "none",
            f"{rarest} to {largest} training images in a class",
        ),
        Choice(
            "train.eval_every_epochs",
            evaluate,
            f"{looks:.0f} looks at minival",
        ),
        Choice("train.checkpoint_every_epochs", evaluate, "with them"),
        Choice(
            "train.patience",
            patience,
            f"{found.minival} images of minival {'are enough' if patience else 'are too few'} to "
            "stop early by",
        ),
    ]


def _image_choices(side: int) -> Iterable[Choice]:
    size = min(224, max(64, -(-side // 32) * 32))
    if side >= 200:
        yield Choice("model.resolution", None, f"the network's own: images have {side} pixels")
        return
    least = "; with less the last map is one pixel" if size == 64 else ""
    yield Choice("model.resolution", size, f"images have {side} pixels{least}")
    if side <= 64:
        yield Choice("data.train_crop", "pad", "in images so small a crop loses the object")
        yield Choice("data.eval_crop", "none", "likewise")


def _power_of_two(number: float) -> int:
    """The largest one that is not above `number`, at least 1."""
    return 2 ** max(0, int(np.log2(max(number, 1))))


def explain(found: Survey, choices: Iterable[Choice]) -> str:
    """Lines for the user."""
    lines = [
        f"{found.name}: {len(found.class_counts)} classes, {found.train} train, {found.minival} "
        f"minival, {found.test} test images; chosen for it, each to be changed by "
        "--config.FIELD=VALUE:"
    ]
    for choice in choices:
        value = f"{choice.value:g}" if isinstance(choice.value, float) else choice.value
        lines.append(f"  {choice.field + '=' + str(value):<42}{choice.reason}")
    lines.append("  data.flip=True                            false where left and right differ")
    return "\n".join(lines)


def configured_for(data_dir: str) -> ExperimentConfig:
    """A configuration with the settings for a folder.

    On the command line they follow from the fields that are given there, and are explained.

    Raises:
        UsageError: as `folder_source`.
    """
    found = survey(folder_source(data_dir))
    config = ExperimentConfig()
    config.data.source, config.data.data_dir = "folder", data_dir
    apply(config, choose(found))

    def derive(config: ExperimentConfig, given: Mapping[str, Any]) -> None:
        source = None
        if any(name.startswith("data.") for name in given):
            source = configured_source(config.data, 0)
        looked_at = survey(source) if isinstance(source, FileSource) else found
        choices = choose(looked_at, given)
        apply(config, choices)
        print(explain(looked_at, choices), flush=True)

    config.derive_by(derive)
    return config


def apply(config: ExperimentConfig, choices: Iterable[Choice]) -> None:
    """Sets the choices."""
    for choice in choices:
        *sections, field = choice.field.split(".")
        setattr(functools.reduce(getattr, sections, config), field, choice.value)
