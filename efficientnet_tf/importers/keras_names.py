"""Names of weights in keras.applications and qubvel/efficientnet, which share their layers' names.

    ours                       theirs
    block2a_dwconv/kernel      block2a_dwconv/kernel (Keras 2: depthwise_kernel)
    block2a_se/reduce_kernel   block2a_se_reduce/kernel
    block2a_se/expand_bias     block2a_se_expand/bias
    predictions/kernel         the only dense layer: predictions, probs, or a user's own

All others are the same, and so are the layouts. Keras 3 files hold weights by number; the names
follow from the class of the layer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from efficientnet_tf.importers.weights_source import HEAD

# Weights in the order in which Keras stores them, by the class part of a group's name.
WEIGHTS_OF = {
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "dense": ("kernel", "bias"),
    "normalization": ("mean", "variance", "count"),
}


def names(model: Any, classifier: str = "predictions") -> dict[str, str]:
    """Path of each weight of `model` -> its name there; `classifier` is their dense layer."""
    found = {}
    for variable in model.weights:
        layer, _, weight = variable.path.rpartition("/")
        if layer.endswith("_se"):
            part, _, weight = weight.partition("_")  # reduce_kernel
            layer = f"{layer}_{part}"
        elif variable.path.startswith(HEAD):
            layer = classifier
        found[variable.path] = f"{layer}/{weight}"
    return found


def in_order(model: Any) -> dict[str, str]:
    """Group in a Keras 3 file without layer names -> layer, such as conv2d_1 -> block1a_se_reduce.

    Keras numbers the groups of a class in the order of the forward pass, which is ours, too.
    """
    counts: dict[str, int] = {}
    groups = {}
    for name in dict.fromkeys(each.rpartition("/")[0] for each in names(model).values()):
        kind = _class_of(name)
        index = counts.get(kind, 0)
        counts[kind] = index + 1
        groups[f"{kind}_{index}" if index else kind] = name
    return groups


def _class_of(layer: str) -> str:
    if layer.endswith("bn"):
        return "batch_normalization"
    if layer.endswith("_dwconv"):
        return "depthwise_conv2d"
    return "dense" if layer == HEAD.rstrip("/") else "conv2d"


def dense_layers(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Layers with a matrix as kernel: the head; all else in these networks are convolutions."""
    return [
        name.removesuffix("/kernel")
        for name, shape in shapes.items()
        if name.endswith("/kernel") and len(shape) == 2
    ]


def weights_of_layers(layers: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that belong to one of the layers."""
    starts = tuple(f"{layer}/" for layer in layers)
    return tuple(name for name in names if name.startswith(starts)) if starts else ()
