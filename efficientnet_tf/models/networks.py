"""Networks by name: the published ones, the baselines of Table 3, and a user's own file."""

from __future__ import annotations

import os
import runpy
from collections.abc import Sequence
from typing import Any

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.models.mobilenet import MOBILENET_V1, MOBILENET_V2
from efficientnet_tf.models.resnet import RESNET_50, RESNET_50_V15
from efficientnet_tf.models.staged import Network, ScalableNetwork
from efficientnet_tf.models.variants import VARIANTS, make_architecture

BASELINES: dict[str, ScalableNetwork] = {
    network.name: network for network in (MOBILENET_V1, MOBILENET_V2, RESNET_50, RESNET_50_V15)
}
_FILE = ".py:"
_trusted: set[str] = set()


def network_names() -> list[str]:
    return [*VARIANTS, *BASELINES]


def is_file(name: Any) -> bool:
    """Whether a network is one of the user's own, `file.py:NAME`."""
    return _FILE in str(name)


def trust(name: Any) -> None:
    """Notes that the user of this process named a network: its file may be run.

    For command lines, configuration files and arguments of Python functions, and for nothing that
    was read as data: a run, a file of weights or a search of others may name any file.
    """
    if is_file(name):
        _trusted.add(str(name))


def find_network(name: str) -> ScalableNetwork:
    """The baseline of this name, in upper or lower case, or of `file.py:NAME`, which is run.

    For names that a person gave; what stored data say goes through `configured`.

    Raises:
        UsageError: no such network; the message offers the nearest names.
    """
    if is_file(name):
        trust(name)
        return _from_file(str(name))
    for known, network in (*VARIANTS.items(), *BASELINES.items()):
        if known.lower() == str(name).lower():
            return network
    raise UsageError(
        f'unknown model "{name}".{nearest(str(name), network_names())} `python main.py '
        "--list_models` lists all; a network of your own is given as file.py:NAME."
    )


def _from_file(name: str) -> ScalableNetwork:
    """A network that a Python file of the user defines; the file is run."""
    path, attribute = name.rsplit(":", 1)
    if not os.path.isfile(path):
        raise UsageError(f'model "{name}": no file "{path}".')
    try:
        defined = runpy.run_path(path)
    except UsageError:
        raise
    except Exception as error:  # whatever the user's file raises when it is run
        raise UsageError(
            f'model "{name}": the file cannot be used: {type(error).__name__}: {error}.'
        ) from error
    network: Any = defined.get(attribute)
    missing = [
        field
        for field in ("name", "resolution", "classes", "scaled")
        if not hasattr(network, field)
    ]
    if missing:
        what = f"lacks {', '.join(missing)}" if attribute in defined else "is not in the file"
        raise UsageError(
            f'model "{name}": {attribute} {what}. It must be a StagedNetwork or a Variant, or have '
            "name, resolution, classes and scaled(depth, width, resolution): docs/scaling.md."
        )
    return network


def configured(
    name: str,
    *,
    width_coefficient: float | None = None,
    depth_coefficient: float | None = None,
    resolution: int | None = None,
    dropout_rate: float | None = None,
    survival_prob: float | None = None,
    blocks_args: Sequence[str] | None = None,
) -> Network:
    """The network that the model section of a configuration asks for; None keeps its own value.

    Coefficients of an EfficientNet replace those of the variant, as in the official code.

    Raises:
        UsageError: an unknown name, a value out of range, or one that the network has no use for;
            a Python file that nobody named in this process, see `trust`.
    """
    if is_file(name) and str(name) not in _trusted:
        raise UsageError(
            f'model "{name}" is a Python file that stored data name, so it was not run.\n'
            f"If you trust this file, name it yourself: --model={name}."
        )
    if str(name).lower() in (variant.lower() for variant in VARIANTS):
        return make_architecture(
            name,
            width_coefficient=width_coefficient,
            depth_coefficient=depth_coefficient,
            resolution=resolution,
            dropout_rate=dropout_rate,
            survival_prob=survival_prob,
            blocks_args=blocks_args,
        )
    network = find_network(name)
    own = {
        "dropout_rate": dropout_rate,
        "survival_prob": survival_prob,
        "blocks_args": blocks_args,
    }
    for field, value in own.items():
        if value is not None:
            raise UsageError(
                f"{field}={value!r} cannot be set for {network.name}: only networks of this family "
                "take it. Leave it out."
            )
    return network.scaled(
        depth=1.0 if depth_coefficient is None else depth_coefficient,
        width=1.0 if width_coefficient is None else width_coefficient,
        resolution=resolution,
    )
