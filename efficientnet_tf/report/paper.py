"""What the paper published for what a run trained, where it printed a number."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from efficientnet_tf.paper.published import TABLE2, TABLE5
from efficientnet_tf.paper.transfer_sets import transfer_set

_SCALING = ("width_coefficient", "depth_coefficient", "resolution", "blocks_args")


@dataclass(frozen=True)
class PaperRow:
    """Published accuracies in percent, and where they stand; top5 is None where none is printed."""

    top1: float
    top5: float | None
    where: str


def paper_row(config: Mapping[str, Any]) -> PaperRow | None:
    """Of an EfficientNet as published on ImageNet, or on a data set of Table 5; else None.

    Args:
        config: of a run, dotted names.
    """
    name = str(config.get("model.name", "")).lower()
    source = str(config.get("data.source", ""))
    if source in ("imagenet", "tfds:imagenet2012"):
        if any(config.get(f"model.{field}") is not None for field in _SCALING):
            return None  # not the published network
        for row in TABLE2:
            if row.is_ours and row.name.lower() == name:
                return PaperRow(row.top1, row.top5, row.source)
        return None
    data_set = transfer_set(source, config.get("data.data_dir"))
    for result in TABLE5:
        ours = result.ours
        if data_set and result.data_set == data_set.name and ours.network.lower() == name:
            return PaperRow(ours.accuracy, None, f"Table 5, {data_set.name}, {ours.network}")
    return None
