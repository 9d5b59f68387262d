"""Gives a model the deterministic weights of the recorded runs (fill.py)."""

from typing import Any

import numpy as np
from golden import fill

from efficientnet_tf.importers.tf1_checkpoint import variable_names


def fill_weights(
    model: Any, root: str, constants: dict[str, float] | None = None
) -> dict[str, str]:
    """Sets every weight by the rule of fill.py; returns {path of ours: official name}.

    `constants` sets variables by the last part of their name instead, {"moving_mean": 0.0}.
    """
    names = variable_names(model, root)
    for weight in model.weights:
        kind = weight.path.rsplit("/", 1)[-1]
        if constants and kind in constants:
            weight.assign(np.full(weight.shape, constants[kind], np.float32))
        else:
            weight.assign(fill.value(names[weight.path], weight.shape))
    return names
