"""Strict merging of named arrays into a model, with a receipt of what went where."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
        ignored_source: what is not a weight of the network: optimizer slots, step counters, the
            twin (plain or averaged) that was not asked for, numbers of the input contract.
        checksum: sha256 over the matched arrays, in the model's order.
        unmatched_model: variables that kept the values they had: those of a new head.
        shapes: of the matched variables, in the same order; they follow from `matched`.
    """

    source: str
    matched: tuple[tuple[str, str], ...]
    unmatched_source: tuple[str, ...]
    ignored_source: tuple[str, ...]
    checksum: str
    unmatched_model: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return (
            f"{len(self.matched)} weights read from {self.source}, "
            f"{len(self.unmatched_source)} left over, {len(self.ignored_source)} ignored "
            f"(optimizer slots, counters, twins); sha256 {self.checksum[:16]}"
        )

    def table(self, every: bool = False) -> str:
        """Lines for the user; `every` adds one for each weight: name there, path here, shape."""
        numbers = sum(int(np.prod(shape)) for shape in self.shapes)
        lines = [f"matched: {len(self.matched)} weights, {numbers:,} numbers"]
        if every:
            width = max((len(name) for name, _ in self.matched), default=0)
            lines += [
                f"  {name:{width}}  {path} {list(shape)}"
                for (name, path), shape in zip(self.matched, self.shapes, strict=True)
            ]
        for title, names in (
            ("in the source, not taken", self.unmatched_source),
            ("in the model, not in the source (kept as they were)", self.unmatched_model),
            ("in the source, no weights of the network", self.ignored_source),
        ):
            lines.append(f"{title}: {len(names) or 'none'}{_some(names, every)}")
        return "\n".join([*lines, f"sha256 of the matched arrays: {self.checksum}"])


def _some(lines: Sequence[str], every: bool = False) -> str:
    count = len(lines) if every else _SHOWN
    shown = "".join(f"\n  {line}" for line in lines[:count])
    return shown + (f"\n  and {len(lines) - count} more" if len(lines) > count else "")


def merge(
    model: Any,
    names: Mapping[str, str],
    shapes: Mapping[str, Sequence[int]],
    read: Callable[[str], np.ndarray],
    *,
    source: str,
    ignored: Sequence[str] = (),
    left_over: Sequence[str] = (),
) -> Receipt:
    """Assigns weights of `model` from the source, or nothing at all.

    Args:
        model: a built Keras model.
        names: path of each variable of the model -> its name in the source. Variables that are
            not in it keep their values: leave out the head to have a new one.
        shapes: name -> shape of the weights in the source.
        read: reads one weight of the source by name.
        source: path, for messages and the receipt.
        ignored: names in the source that are no weights of the network.
        left_over: names in `shapes` that need no place: the head of the source.

    Raises:
        UsageError: a variable has no weight, a weight no variable, or shapes differ; the message
            lists the differences both ways, and the model is unchanged.
    """
    variables = {variable.path: variable for variable in model.weights}
    missing, different = [], []
    for path, name in names.items():
        shape = tuple(variables[path].shape)
        if name not in shapes:
            missing.append(f"{path} {shape}: no {name}")
        elif tuple(shapes[name]) != shape:
            different.append(f"{path} {shape}: {name} has {tuple(shapes[name])}")
    without_place = sorted(set(shapes) - set(names.values()))
    unmatched = [name for name in without_place if name not in left_over]
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
    for path, value in zip(names, values, strict=True):
        variables[path].assign(value)
    return Receipt(
        source=source,
        matched=tuple((name, path) for path, name in names.items()),
        unmatched_source=tuple(without_place),
        ignored_source=tuple(sorted(ignored)),
        checksum=digest.hexdigest(),
        unmatched_model=tuple(path for path in variables if path not in names),
        shapes=tuple(tuple(variables[path].shape) for path in names),
    )
