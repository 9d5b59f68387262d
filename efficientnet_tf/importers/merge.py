"""Strict merging of named arrays into a model, with a receipt of what went where."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efficientnet_tf.errors import UsageError

_SHOWN = 8


@dataclass(frozen=True)
class Receipt:
    """What an import did.

    Attributes:
        source: path of the imported file.
        matched: (name in the source, path of our variable), in the model's order.
        unmatched_source: weights of the source that no variable of the model took.
        ignored_source: what is not a weight of the network: optimizer slots, step counters and
            the twin (plain or averaged) that was not asked for.
        checksum: sha256 over the matched arrays, in the model's order.
    """

    source: str
    matched: tuple[tuple[str, str], ...]
    unmatched_source: tuple[str, ...]
    ignored_source: tuple[str, ...]
    checksum: str

    def __str__(self) -> str:
        return (
            f"{len(self.matched)} weights read from {self.source}, "
            f"{len(self.unmatched_source)} left over, {len(self.ignored_source)} ignored "
            f"(optimizer slots, counters, twins); sha256 {self.checksum[:16]}"
        )


def _some(lines: Sequence[str]) -> str:
    shown = "".join(f"\n  {line}" for line in lines[:_SHOWN])
    return shown + (f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")


def merge(
    model: Any,
    names: Mapping[str, str],
    shapes: Mapping[str, Sequence[int]],
    read: Callable[[str], np.ndarray],
    *,
    source: str,
    ignored: Sequence[str] = (),
) -> Receipt:
    """Assigns every weight of `model` from the source, or nothing at all.

    Args:
        model: a built Keras model.
        names: path of each variable of the model -> its name in the source.
        shapes: name -> shape of the weights in the source.
        read: reads one weight of the source by name.
        source: path, for messages and the receipt.
        ignored: names in the source that are no weights of the network.

    Raises:
        UsageError: a variable has no weight, a weight no variable, or shapes differ; the message
            lists the differences both ways, and the model is unchanged.
    """
    missing, different = [], []
    for path, name in names.items():
        shape = tuple(model_shape(model, path))
        if name not in shapes:
            missing.append(f"{path} {shape}: no {name}")
        elif tuple(shapes[name]) != shape:
            different.append(f"{path} {shape}: {name} has {tuple(shapes[name])}")
    unmatched = sorted(set(shapes) - set(names.values()))
    if missing or different or unmatched:
        parts = []
        if missing:
            parts.append(f"{len(missing)} variables of the model are not in it:{_some(missing)}")
        if different:
            parts.append(f"{len(different)} shapes differ:{_some(different)}")
        if unmatched:
            parts.append(f"{len(unmatched)} of its weights have no place:{_some(unmatched)}")
        raise UsageError(
            f'{source} does not fit model "{model.name}"; nothing was loaded.\n'
            + "\n".join(parts)
            + "\nBuild the model the checkpoint was made with: same name, coefficients and classes."
        )
    digest = hashlib.sha256()
    values = []
    for name in names.values():
        value = np.ascontiguousarray(read(name))
        digest.update(value.tobytes())
        values.append(value)
    variables = {variable.path: variable for variable in model.weights}
    for path, value in zip(names, values, strict=True):
        variables[path].assign(value)
    return Receipt(
        source=source,
        matched=tuple((name, path) for path, name in names.items()),
        unmatched_source=(),
        ignored_source=tuple(sorted(ignored)),
        checksum=digest.hexdigest(),
    )


def model_shape(model: Any, path: str) -> Sequence[int]:
    """Shape of the model's variable with this path."""
    return next(variable.shape for variable in model.weights if variable.path == path)
