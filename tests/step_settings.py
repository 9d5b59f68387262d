"""The settings of a TrainStep from names of fields, wherever the configuration has them."""

import dataclasses
from typing import Any

from efficientnet_tf.config import OptimizerConfig, TrainConfig


def step_settings(**changes: Any) -> dict[str, Any]:
    """Arguments for TrainStep: fields of its sections, and arguments of its own as they are."""
    sections: dict[str, Any] = {"optimizer": OptimizerConfig(), "train": TrainConfig()}
    for section in sections.values():
        for field in dataclasses.fields(section):
            if field.name in changes:
                setattr(section, field.name, changes.pop(field.name))
    return {**sections, **changes}
