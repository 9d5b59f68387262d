"""What timm's name of a model says: which of ours it is, and how its images were normalised.

tf_efficientnet_b4.ns_jft_in1k    NoisyStudent            ImageNet's mean and std
tf_efficientnet_b4.ap_in1k        AdvProp                 [-1, 1]
tf_efficientnet_b4_ap-dedb23e6    the same, older files
tf_efficientnet_es                EdgeTPU S               [-1, 1]
"""

import re
from dataclasses import dataclass
from pathlib import Path

from efficientnet_tf.errors import UsageError

_NAME = re.compile(
    r"(?<![a-z0-9])(tf_)?efficientnet(v2)?_"
    r"(b\d+|l2|lite\d+|e[sml]|cc|rw|blur|[shmlx]|xl)(?![a-z0-9])((?:[._-][a-z0-9]+)*)"
)
_EDGETPU = {"es": "S", "em": "M", "el": "L"}
_ORDINARY = re.compile(r"b[0-8]|l2|lite[0-4]")


@dataclass(frozen=True)
class Published:
    """One of timm's models that is one of ours.

    Attributes:
        model: our name.
        advprop: whether images are scaled to [-1, 1] in place of ImageNet's mean and std.
        resolution: if the name says it.
    """

    model: str
    advprop: bool
    resolution: int | None


def published(architecture: str | None, path: str) -> Published | None:
    """The model that a file is of, by what it says itself or else by the names in its path.

    Returns:
        None if neither says it.

    Raises:
        UsageError: it is a model of timm that is none of ours.
    """
    file = Path(path)
    for text in (architecture,) if architecture else (file.name, file.parent.name):
        match = _NAME.search(text.lower())
        if match:
            return _published(match, text)
    if architecture:
        raise _other(architecture)
    return None


def _other(text: str) -> UsageError:
    return UsageError(
        f'--from: "{text}" is another network than those of the EfficientNet paper. Known are '
        "tf_efficientnet_ b0-b8, l2, lite0-lite4, es, em, el."
    )


def _published(match: re.Match[str], text: str) -> Published:
    tf, second, size, rest = match.groups()
    ours = _ORDINARY.fullmatch(size) or size in _EDGETPU
    if second or not ours:
        raise _other(text)
    if not tf:
        raise UsageError(
            f'--from: "{text}" is a model of timm without tf_ before its name: it pads strided '
            "convolutions evenly and has another batch-norm epsilon (1e-5, not 1e-3), so its "
            f"weights would give wrong answers here. Take tf_efficientnet_{size}; if this is one, "
            "rename it."
        )
    model = f"efficientnet-edgetpu-{_EDGETPU[size]}" if size in _EDGETPU else f"efficientnet-{size}"
    tags = re.split(r"[._-]", rest.strip("._-"))
    # timm publishes b8 with RandAugment, too; without a tag it means the one with AdvProp.
    untagged = size == "b8" and not {"ra", "ap"} & set(tags)
    resolution = 475 if size == "l2" and "475" in tags else None
    return Published(model, "ap" in tags or untagged, resolution)
