"""init_from.json in model_dir: which weights a run began with, and what belongs to them.

The input normalisation is no variable, so no checkpoint has it; whoever makes a model for the
checkpoints of a run that began with other weights takes it from here.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers.input_contract import InputContract, apply_contract
from efficientnet_tf.storage.files import exists, write_json
from efficientnet_tf.storage.json_files import misfit, read_object

RECORD = "init_from.json"


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """What a run began with, as it lies in its model_dir.

    Attributes:
        source: what `init_from` named.
        checksum: sha256 of the arrays that were taken.
        new_head: whether the classifier was drawn anew.
        mean, std: of the input normalisation, on 0..255, per channel.
    """

    source: str
    checksum: str
    new_head: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, model: Any) -> None:
        """Gives another model of the run the same input normalisation."""
        set_normalisation(model, self.mean, self.std)

    def __str__(self) -> str:
        head = "with a new head" if self.new_head else "head included"
        return f"first weights: {self.source}, {head}; sha256 {self.checksum[:16]}"


def set_normalisation(model: Any, mean: Sequence[float], std: Sequence[float]) -> None:
    """Makes the model normalise its input with exactly these numbers, three each, on 0..255."""
    (r, g, b), (r_std, g_std, b_std) = mean, std
    apply_contract(model, InputContract("own", (r, g, b), (r_std, g_std, b_std), resolution=1))


def write_record(model_dir: str, initial: InitialWeights) -> None:
    write_json(os.path.join(model_dir, RECORD), dataclasses.asdict(initial))


def read_record(model_dir: str) -> InitialWeights | None:
    """What the run in model_dir began with; None if with weights of its own.

    Raises:
        UsageError: the file is damaged.
    """
    path = os.path.join(model_dir, RECORD)
    if not exists(path):
        return None
    remedy = (
        "The input normalisation of the run is not known without it: put it back from a copy, or "
        "use another --model_dir."
    )
    stored = read_object(path, remedy)
    shape = {"source": str, "checksum": str, "new_head": bool, "mean": [float], "std": [float]}
    reason = misfit(stored, shape)
    if (
        stored.keys() != shape.keys()
        or reason
        or not len(stored["mean"]) == len(stored["std"]) == 3
    ):
        found = reason or f"expected {', '.join(shape)}; mean and std of three numbers"
        raise UsageError(f'--model_dir: "{path}" is damaged ({found}).\n{remedy}')
    stored.update(mean=tuple(stored["mean"]), std=tuple(stored["std"]))
    return InitialWeights(**stored)
