"""The Keras model of a network of the family: its layers' names, endpoints and segments.

Layer names: `stem_conv`, `stem_bn`, `block2a_expand_conv`, `block2a_expand_bn`,
`block2a_dwconv`, `block2a_bn`, `block2a_se`, `block2a_project_conv`, `block2a_project_bn`,
`block2a_drop`, `block2a_add`, `top_conv`, `top_bn`, `pooled_features`, `top_dropout`,
`predictions`. A `_bn` layer before an activation applies it, too. Endpoints are layers of the
model: `reduction_1` .. `reduction_5` (the last map at strides 2 to 32), `features` (output of the
last block) and `pooled_features` (before dropout), so `model.get_layer("reduction_3").output`
needs no surgery.

Differences from keras.applications: padding is SAME (there: a shifted VALID for strides), the
normalisation divides by the standard deviation (there: by its square root, repaired outside for
ImageNet weights only), the survival ramp counts scaled blocks, initialisers are not truncated,
BN epsilon 1e-3 and momentum 0.99 are stated, not inherited.
"""

import itertools
from typing import Any

import keras

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.architecture import Architecture

build = Architecture.build  # (architecture, *, classes, ...) -> keras.Model


def endpoints(model: keras.Model) -> dict[str, Any]:
    """Symbolic tensors of a model by the official endpoint names.

    `stem`, `block_0` .., `block_0/expansion_output` .. (after SE, before the projection),
    `reduction_1` .. with their `/expansion_output`, `features`, `head_1x1`, and if the model has
    them `pooled_features` and `head`. Use as `keras.Model(model.input, endpoints(model))`.

    A network that is a layer of the model has its endpoints under the same names; where several
    are, each name begins with that of the layer: `efficientnet-b1/reduction_1`.
    """
    own = _endpoints_of_layers(model)
    if own:
        return own
    inside = {}
    # Of a Sequential model, the same as functional; Keras has no public list of a graph's calls.
    functional = getattr(model, "_functional", None) or model
    for nodes in getattr(functional, "_nodes_by_depth", {}).values():
        for node in nodes:
            layer, call = node.operation, node.arguments
            found = endpoints(layer) if isinstance(layer, keras.Model) else {}
            if found:
                tapped = keras.Model(layer.inputs, found)
                inside[layer.name] = tapped(*call.args, **call.kwargs)
    if len(inside) == 1:
        return inside.popitem()[1]
    return {
        f"{layer}/{name}": tensor for layer, of in inside.items() for name, tensor in of.items()
    }


def _endpoints_of_layers(model: keras.Model) -> dict[str, Any]:
    """Of the model's own layers, without those of models inside."""
    found: dict[str, Any] = {}
    block = -1
    for layer in model.layers:
        if layer.name == "stem_bn":
            found["stem"] = layer.output
        elif layer.name.startswith("reduction_"):
            found[layer.name] = layer.output
            found[f"{layer.name}/expansion_output"] = found[f"block_{block}/expansion_output"]
        elif layer.name.endswith("_project_conv"):
            block += 1
            found[f"block_{block}/expansion_output"] = layer.input
        elif layer.name == "top_bn":
            found["head_1x1"] = layer.output
        elif layer.name in ("features", "pooled_features"):
            found[layer.name] = layer.output
        elif layer.name == "predictions":
            found["head"] = layer.output
        if layer.name.endswith(("_project_bn", "_add")):
            found[f"block_{block}"] = layer.output
    return found


def segments(model: keras.Model) -> list[keras.Model]:
    """The model cut where its blocks end: stem and first block, every other, head.

    Called one after another they compute what the model computes. They share its layers, so
    names, variables and what is saved stay as they are. The stem is not by itself, because its
    output is one of the largest maps that pass between blocks.

    Raises:
        UsageError: no block of this family is in the model.
    """
    found = endpoints(model)
    blocks = [found[name] for name in found if name.removeprefix("block_").isdigit()]
    if not blocks:
        raise UsageError(
            f"rematerialise: {model.name} has no blocks to compute again. Use a model of "
            "efficientnet_tf, or switch it off."
        )
    cuts = [model.input, *blocks, model.output]
    return [keras.Model(first, last) for first, last in itertools.pairwise(cuts)]
