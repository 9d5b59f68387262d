"""Reads tensors that PyTorch wrote: `.safetensors` without PyTorch, `.pth` with it, if installed.

A `.pth` is a pickle, which could run code; it is read with `weights_only=True` and never otherwise.
Checkpoints of timm's training script hold the weights below state_dict, their average below
state_dict_ema. The folder of a model from the Hugging Face hub holds a file of weights and a
config.json that says which model it is.
"""

import argparse
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efficientnet_tf.errors import UsageError, on_one_line
from efficientnet_tf.importers.weights_source import check_file, reading
from efficientnet_tf.machine.packages import is_installed
from efficientnet_tf.storage.archive import check_inflation

_FILES = ("model.safetensors", "pytorch_model.bin")
_NESTED = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.", "model.")  # of wrappers: data parallel, compiled


@dataclass(frozen=True)
class TorchFile:
    """Named tensors in PyTorch's layouts.

    Attributes:
        path: the file itself, also where a folder was given.
        shapes: of all tensors.
        read: a tensor as numpy array, float32.
        architecture: timm's name of the model, if the file or its config.json says it.
        settings: the contents of config.json; empty if there is none.
        averaged: whether these are averages; None if the file holds one kind only.
    """

    path: str
    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]
    architecture: str | None
    settings: dict[str, Any]
    averaged: bool | None = None


def read_torch_file(path: str, use_ema: bool = True) -> TorchFile:
    """Opens a file of tensors, or the folder of a model from the hub.

    Args:
        path: `.safetensors`, `.pth`, `.pt`, `.bin`, or a folder with one of `_FILES`.
        use_ema: of a training checkpoint that holds both, take the averages.

    Raises:
        UsageError: it cannot be read, holds no tensors, or needs PyTorch, which is not installed.
    """
    if Path(path).is_dir():
        found = [name for name in _FILES if (Path(path) / name).is_file()]
        if not found:
            raise UsageError(f'--from: the folder "{path}" holds none of {", ".join(_FILES)}.')
        path = str(Path(path) / found[0])
    check_file(path)
    settings = _settings(Path(path).with_name("config.json"))
    with open(path, "rb") as stream:
        start = stream.read(9)
    check_inflation("--from", path)
    if start[8:] == b"{":
        return _safetensors(path, settings)
    return _pickled(path, settings, use_ema)


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    with reading(str(path), ValueError, OSError):
        stored = json.loads(path.read_text(encoding="utf-8"))
        return stored if isinstance(stored, dict) else {}


def _safetensors(path: str, settings: dict[str, Any]) -> TorchFile:
    import safetensors

    importlib.import_module("ml_dtypes")  # teaches numpy bfloat16
    with reading(path, safetensors.SafetensorError, OSError):
        file = safetensors.safe_open(path, "numpy")
        names = file.keys()
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}

    def read(name: str) -> np.ndarray:
        with reading(path, safetensors.SafetensorError, OSError, TypeError):
            return np.asarray(file.get_tensor(name)).astype(np.float32)

    architecture = settings.get("architecture")
    plain = _without_wrapper(shapes)
    return TorchFile(
        path,
        {short: shapes[name] for short, name in plain.items()},
        lambda short: read(plain[short]),
        architecture,
        settings,
    )


def _torch(path: str) -> Any:
    if not is_installed("torch"):
        raise UsageError(
            f'--from: "{path}" is a pickle of PyTorch, which is not installed.\n'
            "Install it (`pip install torch`), or save the model elsewhere as .safetensors: "
            "safetensors.torch.save_file(model.state_dict(), FILE)."
        )
    return importlib.import_module("torch")


def _pickled(path: str, settings: dict[str, Any], use_ema: bool) -> TorchFile:
    torch = _torch(path)
    try:
        # timm's training script stores its options as a Namespace, which can do no harm.
        with torch.serialization.safe_globals([argparse.Namespace]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling and torch raise many kinds
        raise UsageError(
            f'--from: "{path}" cannot be read as tensors alone: {on_one_line(error)}\n'
            "It is damaged, no file of PyTorch, or holds a whole model, which is never loaded as "
            "it can run code: save model.state_dict() instead."
        ) from error
    outer = stored if isinstance(stored, Mapping) else {}
    averaged = None
    tensors: Any = outer
    for key in _NESTED:
        if isinstance(outer.get(key), Mapping):
            tensors = outer[key]
            if isinstance(outer.get(f"{key}_ema"), Mapping):
                averaged = use_ema
                tensors = outer[f"{key}_ema"] if use_ema else tensors
            break
    if not tensors or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise UsageError(
            f'--from: "{path}" is no state dict: expected tensors by name, found '
            f"{_kinds(stored)}. Save model.state_dict()."
        )
    plain = _without_wrapper(tensors)
    architecture = settings.get("architecture") or outer.get("arch")
    return TorchFile(
        path,
        {short: tuple(tensors[name].shape) for short, name in plain.items()},
        lambda short: tensors[plain[short]].detach().to(torch.float32).numpy(),
        architecture if isinstance(architecture, str) else None,
        settings,
        averaged,
    )


def _kinds(stored: Any) -> str:
    if not isinstance(stored, Mapping):
        return f"a {type(stored).__name__}"
    kinds = sorted({type(value).__name__ for value in stored.values()})
    return f"a dictionary of {', '.join(kinds)}" if kinds else "an empty dictionary"


def _without_wrapper(names: Mapping[str, Any]) -> dict[str, str]:
    """Name without what wrappers put before all of them -> name in the file."""
    plain = {name: name for name in names}
    for prefix in _PREFIXES:
        if plain and all(short.startswith(prefix) for short in plain):
            plain = {short.removeprefix(prefix): name for short, name in plain.items()}
    return plain
