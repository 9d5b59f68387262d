"""What a network expects of its input image, and how it gets that from pixels in 0..255.

Published weights of one network differ in their normalisation and in nothing else that can be
seen: fed the wrong way they answer, only worse. So the contract travels with the weights, and is
applied to the `normalization` layer of the model that takes them.

    family      mean, std on 0..255        weights
    imagenet    ImageNet's                 b0-b8, l2: baseline, AutoAugment, RandAugment,
                                           NoisyStudent; all of qubvel/efficientnet
    advprop     127.5, 127.5 ([-1, 1])     AdvProp; lite and EdgeTPU as timm feeds them
    centred     127, 128                   lite and EdgeTPU, official
    pixels      0, 255 ([0, 1])            keras.applications built with weights=None
    own         others                     what the source's own layers or settings say
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.models.scaling import check_resolution
from efficientnet_tf.models.variants import (
    CENTRED_MEAN,
    CENTRED_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Variant,
)

Channels = tuple[float, float, float]
FAMILIES: dict[str, tuple[Channels, Channels]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "advprop": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "centred": (CENTRED_MEAN, CENTRED_STD),
    "pixels": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
}
_LAYER = "normalization"


@dataclass(frozen=True)
class InputContract:
    """How an image becomes the input of the first convolution.

    Attributes:
        family: a key of FAMILIES, or "own".
        mean, std: per channel (red, green, blue), on 0..255: input = (pixel - mean) / std.
        resolution: side in pixels that the weights were evaluated at.
        interpolation, eval_crop, crop_fraction: as in `data.preprocessing.Preprocessing`.
    """

    family: str
    mean: Channels
    std: Channels
    resolution: int
    interpolation: str = "bicubic_tf1"
    eval_crop: str = "padding"
    crop_fraction: float = 0.875

    def __str__(self) -> str:
        crop = {"padding": "centre crop of size / (size + 32)", "none": "no crop"}.get(
            self.eval_crop, f"centre crop of {self.crop_fraction:g}"
        )
        return (
            f"{self.family}: (pixel - {_short(self.mean)}) / {_short(self.std)} of pixels in "
            f"0..255, {self.resolution} px, {self.interpolation}, {crop}"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _short(values: Channels) -> str:
    same = len(set(values)) == 1
    return f"{values[0]:.6g}" if same else f"[{', '.join(f'{value:.6g}' for value in values)}]"


def from_dict(stored: Mapping[str, Any]) -> InputContract:
    """The contract that `to_dict` wrote.

    Raises:
        UsageError: fields are missing or of another kind.
    """
    try:
        known = {field.name: stored[field.name] for field in fields(InputContract)}
        known.update(
            mean=_channels(known["mean"]),
            std=_channels(known["std"]),
            resolution=check_resolution(known["resolution"], "resolution"),
            crop_fraction=float(known["crop_fraction"]),
        )
        if not all(known["std"]) or not np.all(np.isfinite([*known["mean"], *known["std"]])):
            raise ValueError("mean and std must be finite, std not zero")
        return InputContract(**known)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the input contract is damaged: {error!r}.") from error


def family_contract(family: str, resolution: int) -> InputContract:
    """One of FAMILIES at a resolution.

    Raises:
        UsageError: no such family.
    """
    if family not in FAMILIES:
        raise UsageError(
            f'--contract must be auto or one of {", ".join(FAMILIES)}, received "{family}".'
            f"{nearest(family, FAMILIES)}"
        )
    return InputContract(family, *FAMILIES[family], resolution)


def variant_contract(variant: Variant) -> InputContract:
    """The contract of a variant's official weights, AdvProp apart."""
    return own_contract(variant.mean, variant.std, variant.resolution)


def own_contract(mean: Sequence[float], std: Sequence[float], resolution: int) -> InputContract:
    """The contract of given numbers on 0..255, under the name of the family that has them."""
    for family, known in FAMILIES.items():
        # Libraries keep them as float32.
        if np.allclose(mean, known[0], rtol=1e-5, atol=0) and np.allclose(std, known[1], rtol=1e-5):
            return family_contract(family, resolution)
    if not np.all(np.isfinite([*mean, *std])) or not all(std):
        raise UsageError(
            f"the input cannot be (pixel - mean) / std with mean {list(mean)} and std {list(std)}: "
            "its numbers must be finite, std not zero."
        )
    return InputContract("own", _channels(mean), _channels(std), resolution)


def _channels(values: Sequence[float]) -> Channels:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def at_resolution(contract: InputContract, resolution: int) -> InputContract:
    return replace(contract, resolution=resolution)


def apply_contract(model: Any, contract: InputContract) -> None:
    """Makes the model's `normalization` layer do what the contract says.

    Raises:
        UsageError: the model has no such layer.
    """
    layers = [layer for layer in model.layers if layer.name == _LAYER]
    if not layers or not hasattr(layers[0], "std"):
        raise UsageError(
            f'model "{model.name}" has no layer "{_LAYER}" that could hold mean and std; use a '
            "model made by create_model."
        )
    layer = layers[0]
    if (layer.mean, layer.std) == (contract.mean, contract.std):
        return
    layer.mean, layer.std = contract.mean, contract.std
    # Keras keeps compiled functions in which the old numbers are constants.
    for function in ("train_function", "test_function", "predict_function"):
        setattr(model, function, None)
