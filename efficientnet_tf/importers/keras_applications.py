"""Weights of keras.applications' EfficientNets (B0-B7), in any file that Keras writes.

Their networks are ours: padding before strided convolutions amounts to SAME for images of a known
size, and batch norm has the same epsilon, 1e-3. What differs is the input: layers before the stem
divide by 255, subtract a mean and divide by the root of a variance. These numbers are weights of
their `Normalization` layer, so they are in the file; here they become the input contract.

A model built with weights=None has mean 0 and variance 1 there. The published files hold ImageNet's
standard deviation in place of its variance; keras.applications repairs that by one more Rescaling
layer, which only models built with weights="imagenet" have. Both are followed literally, so that
the logits are the same.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers import keras_names
from efficientnet_tf.importers.input_contract import (
    InputContract,
    at_resolution,
    own_contract,
    variant_contract,
)
from efficientnet_tf.importers.keras_files import DAMAGED, KerasFile, read_keras_file
from efficientnet_tf.importers.weights_source import WeightsSource, reading
from efficientnet_tf.models.scaling import check_resolution
from efficientnet_tf.models.variants import IMAGENET_STD, Variant

_EPSILON = 1e-3
_STD = np.array(IMAGENET_STD) / 255  # what the published files hold as variance
_PUBLISHED = re.compile(r"efficientnetb[0-7](_notop)?\.h5")
_NO_FUNCTION = ("linear", "Dropout", "Identity")
Affine = tuple[np.ndarray, np.ndarray]  # y = scale * pixel + offset, per channel


def open_file(path: str, kind: str = "keras.applications") -> WeightsSource:
    """Opens `.h5`, `.weights.h5` or `.keras`.

    Raises:
        UsageError: it cannot be read, or is no EfficientNet of keras.applications.
    """
    file = read_keras_file(path)
    shapes = {name: tuple(each.shape) for name, each in file.weights.items()}
    dense = keras_names.dense_layers(shapes)
    notes: list[str] = []
    with reading(path, *DAMAGED):  # by numbers in its settings that are none
        _check(file)
        head_fault = _head_fault(file, dense)
        affine = None if kind == "qubvel/efficientnet" else _affine(file, notes)
        if affine is not None and not all(map(_is_usable, affine, (True, False))):
            raise ValueError("what its layers do to a pixel before the stem is no number")
        size = _resolution(file)
    of_input = [name.removesuffix("/mean") for name in shapes if name.endswith("/mean")]
    not_network = keras_names.weights_of_layers(of_input, shapes)

    def names(model: Any) -> dict[str, str]:
        found = keras_names.names(model, dense[0] if len(dense) == 1 else "predictions")
        if file.named:
            return found
        groups = {layer: group for group, layer in keras_names.in_order(model).items()}
        split = {path: name.rpartition("/") for path, name in found.items()}
        return {
            path: f"{groups.get(layer, layer)}/{weight}"
            for path, (layer, _, weight) in split.items()
        }

    def contract(variant: Variant) -> InputContract:
        resolution = size or variant.resolution
        if affine is None:
            return at_resolution(variant_contract(variant), resolution)
        return _contract(affine, resolution)

    return WeightsSource(
        path=path,
        format=f"{kind}, {_form(file)}",
        files=(path,),
        shapes={name: shape for name, shape in shapes.items() if name not in not_network},
        read=file.array,
        names=names,
        head=keras_names.weights_of_layers(dense, shapes),
        classes=shapes[f"{dense[0]}/kernel"][1] if len(dense) == 1 else None,
        contract=contract,
        head_fault=head_fault,
        ignored=(*not_network, *file.ignored),
        notes=tuple(notes),
    )


def _form(file: KerasFile) -> str:
    if file.legacy:
        return "legacy .h5"
    return ".weights.h5 of Keras 3" if file.settings is None else ".keras"


def _check(file: KerasFile) -> None:
    depthwise = [name for name in file.weights if "dwconv/" in name or "depthwise_conv2d" in name]
    if not depthwise:
        some = ", ".join(list(file.weights)[:3])
        raise UsageError(
            f'--from: "{file.path}" holds no EfficientNet of keras.applications or qubvel: '
            f"expected layers such as block1a_dwconv, found {some or 'no weights'}."
        )
    for layer in file.settings or ():
        epsilon = layer["config"].get("epsilon", _EPSILON)
        if layer["class_name"] == "BatchNormalization" and not np.isclose(epsilon, _EPSILON):
            raise UsageError(
                f'--from: "{file.path}": {layer["config"]["name"]} has epsilon {epsilon}, these '
                f"networks {_EPSILON}; its logits would change."
            )


def _is_usable(numbers: np.ndarray, divides: bool) -> bool:
    return bool(np.all(np.isfinite(numbers)) and (not divides or np.all(numbers)))


def _head_fault(file: KerasFile, dense: Sequence[str]) -> str | None:
    """Why the classifier cannot be taken; None if it can.

    Ours are a softmax: of its logits, where nothing follows the dense layer. A file of weights
    alone does not say.
    """
    if file.settings is None or len(dense) != 1:
        return None
    behind = list(itertools.dropwhile(lambda one: one["config"]["name"] != dense[0], file.settings))
    found = [name for name in map(_function, behind) if name not in _NO_FUNCTION]
    if found and found != ["softmax"]:
        return f"{dense[0]} is followed by {', '.join(found)}"
    return None


def _function(layer: Mapping[str, Any]) -> str:
    """What a layer at the end of a network computes of its numbers, by Keras' name."""
    kind, config = layer["class_name"], layer["config"]
    if kind not in ("Activation", "Dense"):
        return "softmax" if kind == "Softmax" else kind
    activation = config.get("activation")
    if isinstance(activation, dict):  # {"class_name": "function", "config": "softmax"}
        inside = activation.get("config")
        activation = inside if isinstance(inside, str) else str(activation.get("class_name"))
    return "linear" if activation is None else str(activation).lower()


def _normalizations(weights: Mapping[str, np.ndarray]) -> dict[str, Affine]:
    """(mean, variance) of the layers that hold such, which batch norm calls otherwise."""
    return {
        name.removesuffix("/mean"): (
            np.asarray(value, np.float64).ravel(),
            np.asarray(weights[f"{name.removesuffix('/mean')}/variance"], np.float64).ravel(),
        )
        for name, value in weights.items()
        if name.endswith("/mean")
    }


def _affine(file: KerasFile, notes: list[str]) -> Affine | None:
    """What the layers before the stem do to a pixel; None if there are none."""
    stored = [name for name in file.weights if name.endswith(("/mean", "/variance"))]
    normalizations = _normalizations({name: file.array(name) for name in stored})
    if file.settings is not None:
        return _affine_of(file.settings, normalizations)
    if not normalizations:
        notes.append("no normalisation was found in the file: the variant's own is taken")
        return None
    mean, variance = next(iter(normalizations.values()))
    root = np.sqrt(variance)
    rescalings = sum(layer.startswith("rescaling") for layer in file.layers)
    if np.allclose(variance, _STD, rtol=1e-4):
        # Layers without weights are not listed in the first releases of Keras 3.
        if rescalings > 1 or not file.named or _PUBLISHED.fullmatch(Path(file.path).name):
            root = root * np.sqrt(_STD)
        else:
            notes.append(
                "it divides by the root of the standard deviation, as keras.applications does in "
                'models built with weights=None; if it was saved from weights="imagenet", give '
                "--contract=imagenet"
            )
    elif rescalings > 1:
        root = root * np.sqrt(_STD)
    return 1 / (255 * root), -mean / root


def _affine_of(
    settings: Sequence[dict[str, Any]], normalizations: dict[str, Affine]
) -> Affine | None:
    with np.errstate(all="ignore"):  # of a damaged file; who uses the numbers looks at them
        return _composed(settings, normalizations)


def _composed(
    settings: Sequence[dict[str, Any]], normalizations: dict[str, Affine]
) -> Affine | None:
    scale, offset, found = np.ones(3), np.zeros(3), False
    for layer in settings:
        config = layer["config"]
        if layer["class_name"] == "Rescaling":
            factor, addend = _numbers(config["scale"]), _numbers(config.get("offset", 0))
        elif layer["class_name"] == "Normalization":
            if config.get("mean") is None:
                mean, variance = normalizations[config["name"]]
            else:
                mean, variance = _numbers(config["mean"]), _numbers(config["variance"])
            factor = 1 / np.sqrt(variance)
            addend = -mean * factor
        elif config.get("name") == "stem_conv":
            break
        else:
            continue
        scale, offset, found = scale * factor, offset * factor + addend, True
    return (scale, offset) if found else None


def contract_of_layers(
    settings: Sequence[dict[str, Any]], weights: Mapping[str, np.ndarray], resolution: int
) -> InputContract:
    """What the layers before the stem do to a pixel.

    Args:
        settings: of the layers in their order: dicts with class_name and config.
        weights: "layer/mean" and "layer/variance" of the normalising layers.
        resolution: side of the image in pixels.

    Raises:
        UsageError: no layer before the stem changes the pixels.
    """
    affine = _affine_of(settings, _normalizations(weights))
    if affine is None:
        raise UsageError("no layer before stem_conv normalises the image.")
    return _contract(affine, resolution)


def _contract(affine: Affine, resolution: int) -> InputContract:
    scale, offset = affine
    return own_contract((-offset / scale).tolist(), (1 / scale).tolist(), resolution)


def _numbers(value: Any) -> np.ndarray:
    """A number or a list as Keras serialises it."""
    if isinstance(value, dict):
        value = value["config"]["value"]
    return np.asarray(value, dtype=np.float64).ravel()


def _resolution(file: KerasFile) -> int | None:
    for layer in file.settings or ():
        config = layer["config"]
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        if layer["class_name"] == "InputLayer" and shape and len(shape) == 4:
            height, width = shape[1:3]
            if height is None or height != width:
                return None
            return check_resolution(height, f'--from: "{file.path}": the side of its images')
    return None
