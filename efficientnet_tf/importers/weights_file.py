"""Our file of weights: one safetensors file, which holds arrays and text and can run nothing.

Arrays: float32, by the path of the variable in the model (`block2a_se/reduce_kernel`), layouts as
in Keras. Metadata, all text:

    format                  "efficientnet_tf weights"
    format_version          "1"
    model                   name for create_model
    coefficients            JSON: arguments of create_model that differ from the variant's
    classes, resolution     whole numbers; the outputs, the side that the weights are meant for
    contract                JSON: input_contract.InputContract
    class_names             JSON list, or absent
    source, source_format   path and kind of the file it was imported from
    source_sha256           of that file (of several: one after another, in order of names)
    weights_sha256          of the arrays in order of names
    metadata_sha256         of all other metadata as JSON with sorted keys
    efficientnet_tf         version of this package that wrote it

Written under another name beside it, then renamed: a file of this name is whole.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efficientnet_tf import __version__
from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers.input_contract import InputContract, apply_contract, from_dict
from efficientnet_tf.importers.merge import Receipt, merge
from efficientnet_tf.importers.weights_source import HEAD
from efficientnet_tf.models.scaling import check_resolution
from efficientnet_tf.models.variants import make_architecture
from efficientnet_tf.storage.files import check_writable, replacing

FORMAT, FORMAT_VERSION = "efficientnet_tf weights", 1


@dataclass(frozen=True)
class WeightsInfo:
    """The metadata; see the top of the file."""

    model: str
    classes: int
    resolution: int
    contract: InputContract
    source: str
    source_format: str
    source_sha256: str
    coefficients: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    efficientnet_tf: str = __version__


def save(path: str, arrays: Mapping[str, np.ndarray], info: WeightsInfo) -> None:
    """Writes a file; one that was there is replaced.

    Raises:
        UsageError: it cannot be written.
    """
    import safetensors.numpy

    check_writable("--output", path)
    stored = {name: np.ascontiguousarray(arrays[name], np.float32) for name in sorted(arrays)}
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "model": info.model,
        "coefficients": json.dumps(dict(info.coefficients)),
        "classes": str(info.classes),
        "resolution": str(info.resolution),
        "contract": json.dumps(info.contract.to_dict()),
        "source": info.source,
        "source_format": info.source_format,
        "source_sha256": info.source_sha256,
        "weights_sha256": _digest(stored),
        "efficientnet_tf": info.efficientnet_tf,
    }
    if info.class_names is not None:
        metadata["class_names"] = json.dumps(list(info.class_names))
    metadata["metadata_sha256"] = _metadata_digest(metadata)
    try:
        with replacing(path) as temporary:
            with open(temporary, "wb"):
                mode = os.stat(temporary).st_mode  # as the user's umask has it, not 0600
            safetensors.numpy.save_file(stored, temporary, metadata)
            os.chmod(temporary, mode)
    except (OSError, safetensors.SafetensorError) as error:
        raise UsageError(f'--output: "{path}" cannot be written: {error}.') from error


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _metadata_digest(metadata: Mapping[str, str]) -> str:
    others = {name: text for name, text in metadata.items() if name != "metadata_sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def _opened(path: str) -> tuple[Any, dict[str, str]]:
    """(safetensors' reader, the metadata) of a file of any program."""
    import safetensors

    if not Path(path).is_file():
        raise UsageError(f'weights: there is no file "{path}".')
    try:
        file = safetensors.safe_open(path, "numpy")
        return file, file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise UsageError(
            f'weights: "{path}" is no safetensors file, or damaged: {error}. Copy it again, or '
            "make it with `python main.py import-weights`."
        ) from error


def is_ours(path: str) -> bool:
    """Whether a file is of this format, whatever its version."""
    try:
        return _opened(path)[1].get("format") == FORMAT
    except UsageError:
        return False


def _checked(path: str) -> tuple[Any, dict[str, str]]:
    file, metadata = _opened(path)
    if metadata.get("format") != FORMAT:
        raise UsageError(
            f'weights: "{path}" was not written by efficientnet_tf. Import it first: '
            f"python main.py import-weights --from={path} --output=OUT.safetensors."
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal() or len(version) > 9 or int(version) > FORMAT_VERSION:
        raise UsageError(
            f'weights: "{path}" has format version "{version[:9]}", this program reads up to '
            f"{FORMAT_VERSION}. It was written by efficientnet_tf "
            f"{metadata.get('efficientnet_tf', '(unknown)')}: update this one."
        )
    return file, metadata


def _info(path: str, metadata: Mapping[str, str]) -> WeightsInfo:
    try:
        names = json.loads(metadata.get("class_names", "null"))
        classes = int(metadata["classes"])
        if names is not None and [type(name) for name in names] != [str] * classes:
            raise ValueError(f"class_names must be {classes} names")
        # Metadata could name a Python file; and before a network is built its size must be sane.
        coefficients = dict(json.loads(metadata["coefficients"]))
        resolution = check_resolution(int(metadata["resolution"]), "resolution")
        make_architecture(metadata["model"], **coefficients).operations(classes)
        # A flipped digit can leave all of it plausible.
        if metadata.get("metadata_sha256") not in (None, _metadata_digest(metadata)):
            raise ValueError("their checksum differs")
        return WeightsInfo(
            model=metadata["model"],
            classes=classes,
            resolution=resolution,
            contract=from_dict(json.loads(metadata["contract"])),
            source=metadata["source"],
            source_format=metadata["source_format"],
            source_sha256=metadata["source_sha256"],
            coefficients=coefficients,
            class_names=None if names is None else tuple(names),
            efficientnet_tf=metadata["efficientnet_tf"],
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = str(error) if isinstance(error, UsageError) else repr(error)
        raise UsageError(
            f'weights: the metadata of "{path}" are damaged: {reason}\n'
            "Copy it again, or make it anew with `python main.py import-weights`."
        ) from error


def read_info(path: str) -> WeightsInfo:
    """The metadata alone, without the arrays. Raises a UsageError as `load`."""
    return _info(path, _checked(path)[1])


def numbers(path: str) -> int:
    """How many numbers the arrays of a file hold, by its header. Raises a UsageError as `load`."""
    file = _checked(path)[0]
    names = file.keys()
    return sum(math.prod(file.get_slice(name).get_shape()) for name in names)


def load(path: str) -> tuple[dict[str, np.ndarray], WeightsInfo]:
    """Everything in a file.

    Raises:
        UsageError: no such file, a damaged one, one of another program or of a later version.
    """
    file, metadata = _checked(path)
    info = _info(path, metadata)
    names = file.keys()
    arrays = {name: file.get_tensor(name) for name in names}
    if _digest(arrays) != metadata.get("weights_sha256"):
        raise UsageError(f'weights: "{path}" is damaged: its checksum differs. Copy it again.')
    return arrays, info


def load_into(model: Any, path: str, *, name: str | None = None, new_head: bool = False) -> Receipt:
    """Loads a file into a model, all of it or nothing, and sets the model's input normalisation.

    A model without classifier takes everything else.

    Args:
        model: made by `create_model`.
        path: of a file of this format.
        name: what the model was built as, "efficientnet-b0"; None if nobody knows.
        new_head: leave the model's classifier as it is.

    Returns:
        The receipt.

    Raises:
        UsageError: as `load`; the file is of another model or number of classes; the message says
            what to do.
    """
    info = read_info(path)
    if name is not None and name.lower() != info.model.lower():
        raise UsageError(f'weights: "{path}" holds {info.model}, the model is {name}.')
    paths = [variable.path for variable in model.weights]
    heads = {
        variable.path: variable.shape[-1]
        for variable in model.weights
        if variable.path.startswith(HEAD)
    }
    classes = next(iter(heads.values()), info.classes)
    if classes != info.classes and not new_head:
        raise UsageError(
            f'weights: "{path}" has {info.classes} classes, the model {classes}. Build it with '
            f"classes={info.classes}, without classifier (include_top=False), or import the "
            f"weights again with --new_head --classes={classes}."
        )
    arrays, _ = load(path)
    keep_head = new_head or not heads
    receipt = merge(
        model,
        {each: each for each in paths if not (new_head and each in heads)},
        {each: array.shape for each, array in arrays.items()},
        arrays.__getitem__,
        source=path,
        left_over=[each for each in arrays if each.startswith(HEAD)] if keep_head else (),
    )
    apply_contract(model, info.contract)
    return receipt
