"""Weights of timm's `tf_efficientnet_*`: b0-b8, l2, lite0-4, es, em, el.

    ours                          timm's
    stem_conv, stem_bn            conv_stem, bn1
    block2a_expand_conv, _bn      blocks.1.0.conv_pw, bn1    (EdgeTPU's fused blocks: conv_exp)
    block2a_dwconv, block2a_bn    blocks.1.0.conv_dw, bn2    (without expansion: bn1)
    block2a_se/reduce_kernel      blocks.1.0.se.conv_reduce.weight
    block2a_project_conv, _bn     blocks.1.0.conv_pwl, bn3   (without expansion: conv_pw, bn2;
                                                              fused: conv_pwl, bn2)
    top_conv, top_bn              conv_head, bn2
    predictions                   classifier

Layouts: kernels [out, in, h, w] become [h, w, in, out], depthwise [channels, 1, h, w] become
[h, w, channels, 1], dense [out, in] become [in, out].

Only the models whose name starts with `tf_` are the paper's networks. The others have the same
names and shapes of weights, but pad strided convolutions evenly on all sides and add 1e-5 to the
variance, not 1e-3: here their weights would answer, and wrongly.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers.input_contract import (
    InputContract,
    at_resolution,
    family_contract,
    own_contract,
    variant_contract,
)
from efficientnet_tf.importers.timm_names import Published, published
from efficientnet_tf.importers.torch_files import TorchFile, read_torch_file
from efficientnet_tf.importers.weights_source import WeightsSource
from efficientnet_tf.models.variants import Variant

_OUTSIDE = {
    "stem_conv": "conv_stem",
    "stem_bn": "bn1",
    "top_conv": "conv_head",
    "top_bn": "bn2",
    "predictions": "classifier",
}
# By (whether the block expands, whether it has a depthwise convolution).
_ROLES = {
    (True, True): {
        "expand_conv": "conv_pw",
        "expand_bn": "bn1",
        "dwconv": "conv_dw",
        "bn": "bn2",
        "project_conv": "conv_pwl",
        "project_bn": "bn3",
    },
    (False, True): {
        "dwconv": "conv_dw",
        "bn": "bn1",
        "project_conv": "conv_pw",
        "project_bn": "bn2",
    },
    (True, False): {
        "expand_conv": "conv_exp",
        "expand_bn": "bn1",
        "project_conv": "conv_pwl",
        "project_bn": "bn2",
    },
    (False, False): {"project_conv": "conv_pw", "project_bn": "bn1"},
}
_WEIGHTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "bias": "bias",
    "reduce_kernel": "conv_reduce.weight",
    "reduce_bias": "conv_reduce.bias",
    "expand_kernel": "conv_expand.weight",
    "expand_bias": "conv_expand.bias",
}
_LAYER = re.compile(r"(block(\d+)[a-z]+)_([a-z_]+)")
_COUNTER = ".num_batches_tracked"
_STEM = "conv_stem.weight"
_OTHERS = {
    "features.0.0.weight": "torchvision",
    "_conv_stem.weight": "the package efficientnet_pytorch",
}


def names(model: Any) -> dict[str, str]:
    """Path of each weight of `model` -> timm's name."""
    blocks: dict[str, tuple[int, set[str]]] = {}
    split = {}
    for variable in model.weights:
        layer, _, weight = variable.path.rpartition("/")
        match = _LAYER.fullmatch(layer)
        split[variable.path] = (layer, weight, match)
        if match:
            blocks.setdefault(match[1], (int(match[2]), set()))[1].add(match[3])
    positions: dict[str, str] = {}
    repeats: dict[int, int] = {}
    for block, (stage, _) in blocks.items():
        repeat = repeats.get(stage, 0)
        repeats[stage] = repeat + 1
        positions[block] = f"blocks.{stage - 1}.{repeat}"
    found = {}
    for path, (layer, weight, match) in split.items():
        if match is None:
            scope = _OUTSIDE.get(layer, layer)
        else:
            roles = blocks[match[1]][1]
            of_block = _ROLES["expand_conv" in roles, "dwconv" in roles]
            scope = f"{positions[match[1]]}.{of_block.get(match[3], match[3])}"
        found[path] = f"{scope}.{_WEIGHTS.get(weight, weight)}"
    return found


def our_axes(name: str, rank: int) -> tuple[int, ...]:
    """The order of timm's axes that is our layout."""
    if rank == 4:
        return (2, 3, 0, 1) if name.endswith("conv_dw.weight") else (2, 3, 1, 0)
    return (1, 0) if rank == 2 else tuple(range(rank))


def open_file(path: str, use_ema: bool = True) -> WeightsSource:
    """Opens `.safetensors`, `.pth` or the folder of a model from the Hugging Face hub.

    Args:
        path: of it.
        use_ema: of a checkpoint of timm's training script, take the averages.

    Raises:
        UsageError: it cannot be read, or is another network; one of timm's without `tf_`.
    """
    file = read_torch_file(path, use_ema)
    known = published(file.architecture, file.path)
    if _STEM not in file.shapes:
        other = next((name for first, name in _OTHERS.items() if first in file.shapes), None)
        of = f"; these are the names of {other}" if other else ""
        raise UsageError(
            f'--from: "{path}" holds no EfficientNet of timm: expected {_STEM}, found '
            f"{', '.join(list(file.shapes)[:3])}{of}."
        )
    counters = tuple(name for name in file.shapes if name.endswith(_COUNTER))
    shapes = {
        name: tuple(shape[axis] for axis in our_axes(name, len(shape)))
        for name, shape in file.shapes.items()
        if name not in counters
    }

    def read(name: str) -> np.ndarray:
        return np.transpose(file.read(name), our_axes(name, len(shapes[name])))

    head = tuple(name for name in shapes if name.startswith("classifier."))
    kernel = shapes.get("classifier.weight")
    form = ".safetensors" if file.path.endswith(".safetensors") else "PyTorch"
    return WeightsSource(
        path=file.path,
        format=f"timm, {form}",
        files=(file.path,),
        shapes=shapes,
        read=read,
        names=names,
        head=head,
        classes=kernel[1] if kernel else None,
        contract=lambda variant: _contract(variant, file, known),
        ignored=counters,
        class_names=_class_names(file.settings),
        notes=_notes(file, known),
    )


def _contract(variant: Variant, file: TorchFile, known: Published | None) -> InputContract:
    stored = file.settings.get("pretrained_cfg", {})
    resolution = variant.resolution if known is None else known.resolution or variant.resolution
    if isinstance(stored, Mapping) and {"mean", "std", "input_size"} <= set(stored):
        mean, std = ([255 * float(value) for value in stored[key]] for key in ("mean", "std"))
        return own_contract(mean, std, int(stored["input_size"][-1]))
    if variant.activation != "swish" or (known is not None and known.advprop):
        return family_contract("advprop", resolution)
    return at_resolution(variant_contract(variant), resolution)


def _class_names(settings: Mapping[str, Any]) -> tuple[str, ...] | None:
    found = settings.get("label_names")
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return tuple(found)
    return None


def _notes(file: TorchFile, known: Published | None) -> tuple[str, ...]:
    notes = []
    if known is None:
        notes.append(
            "nothing in the file or its name says that it is one of timm's tf_ models; weights of "
            "the others have the same names and shapes, and would give wrong answers here"
        )
    if file.averaged is not None:
        notes.append("the averages were taken" if file.averaged else "the averages were left out")
    return tuple(notes)
