"""Weights of the official TF1 checkpoints, by variable name.

Official names count layers per scope, so the same name means different layers in blocks with and
without expansion:

    ours                         official, below "<model>/"
    stem_conv/kernel             stem/conv2d/kernel
    stem_bn/gamma                stem/tpu_batch_normalization/gamma
    block2a_expand_conv/kernel   blocks_1/conv2d/kernel                  (if the block expands)
    block2a_expand_bn/gamma      blocks_1/tpu_batch_normalization/gamma  (if the block expands)
    block2a_dwconv/kernel        blocks_1/depthwise_conv2d/depthwise_kernel
    block2a_bn/gamma             blocks_1/tpu_batch_normalization[_1]/gamma
    block2a_se/reduce_kernel     blocks_1/se/conv2d/kernel
    block2a_se/expand_bias       blocks_1/se/conv2d_1/bias
    block2a_project_conv/kernel  blocks_1/conv2d[_1]/kernel
    block2a_project_bn/gamma     blocks_1/tpu_batch_normalization[_n]/gamma
    top_conv, top_bn             head/conv2d, head/tpu_batch_normalization
    predictions/kernel           head/dense/kernel

Layouts are Keras' own (HWIO, [k, k, C, 1], [in, out]): nothing is transposed. Averages of the
training carry the suffix /ExponentialMovingAverage, also those of the batch-norm statistics; they
are the published accuracy and the default here (the plain ones lose up to 3 points).
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.importers.input_contract import (
    InputContract,
    at_resolution,
    family_contract,
    variant_contract,
)
from efficientnet_tf.importers.merge import Receipt
from efficientnet_tf.importers.weights_source import WeightsSource, merge_source
from efficientnet_tf.models.variants import Variant

_EMA = "/ExponentialMovingAverage"
_SLOTS = ("/RMSProp", "/RMSProp_1", "/Momentum")
_BLOCK = re.compile(
    r"(block\d+[a-z]+)_(expand_conv|expand_bn|dwconv|bn|se|project_conv|project_bn)"
)
_SE = {
    "reduce_kernel": "conv2d/kernel",
    "reduce_bias": "conv2d/bias",
    "expand_kernel": "conv2d_1/kernel",
    "expand_bias": "conv2d_1/bias",
}
_OUTSIDE = {
    "stem_conv": "stem/conv2d",
    "stem_bn": "stem/tpu_batch_normalization",
    "top_conv": "head/conv2d",
    "top_bn": "head/tpu_batch_normalization",
    "predictions": "head/dense",
}


def _numbered(base: str, index: int) -> str:
    return base if index == 0 else f"{base}_{index}"


def _block_scopes(layer_names: Iterable[str]) -> dict[str, str]:
    """Layer name -> official scope below the model's, for the layers inside blocks."""
    blocks: dict[str, list[str]] = {}
    for name in layer_names:
        match = _BLOCK.fullmatch(name)
        if match:
            blocks.setdefault(match[1], []).append(match[2])
    scopes = {}
    for index, (block, roles) in enumerate(blocks.items()):
        convs = norms = 0
        for role in roles:  # in the order of the forward pass, which numbers the scopes
            if role.endswith("bn"):
                scope = _numbered("tpu_batch_normalization", norms)
                norms += 1
            elif role == "dwconv":
                scope = "depthwise_conv2d"
            elif role == "se":
                scope = "se"
            else:
                scope = _numbered("conv2d", convs)
                convs += 1
            scopes[f"{block}_{role}"] = f"blocks_{index}/{scope}"
    return scopes


def variable_names(model: Any, root: str) -> dict[str, str]:
    """Path of each weight of `model` -> the official variable name under the scope `root`.

    Raises:
        UsageError: the model has a weight that the official networks do not have.
    """
    scopes = _OUTSIDE | _block_scopes(layer.name for layer in model.layers)
    names = {}
    for variable in model.weights:
        layer, _, weight = variable.path.rpartition("/")
        scope = scopes.get(layer)
        if scope is None:
            raise UsageError(
                f'weight "{variable.path}" of model "{model.name}" has no counterpart in the '
                "official networks; import into a model made by create_model."
            )
        if layer.endswith("_se"):
            weight = _SE[weight]
        elif layer.endswith("_dwconv"):
            weight = "depthwise_kernel"
        names[variable.path] = f"{root}/{scope}/{weight}"
    return names


def _open(checkpoint_path: str) -> Any:
    import tensorflow as tf

    path = str(checkpoint_path)
    if tf.io.gfile.isdir(path):
        latest = tf.train.latest_checkpoint(path)
        if latest is None:
            raise UsageError(
                f'checkpoint_path: no checkpoint in the folder "{path}" (expected a file named '
                '"checkpoint" beside model.ckpt-N.index and model.ckpt-N.data-*).'
            )
        path = latest
    path = path.removesuffix(".index")
    if not tf.io.gfile.exists(path + ".index"):
        raise UsageError(
            f'checkpoint_path: no checkpoint at "{path}" (expected "{path}.index" and '
            f'"{path}.data-*"; give the path without these endings, or the folder).'
        )
    return path, _read(path, lambda: tf.train.load_checkpoint(path))


def _read(path: str, action: Callable[[], Any]) -> Any:
    """Calls TensorFlow's reader; what it raises for damaged or lost files becomes a UsageError."""
    import tensorflow as tf

    try:
        return action()
    except (tf.errors.OpError, ValueError, IndexError) as error:
        reason = first_line(error)
        raise UsageError(
            f'checkpoint_path: "{path}" cannot be read: {reason}. Copy all its files again.'
        ) from error


def open_checkpoint(checkpoint_path: str, use_ema: bool = True) -> WeightsSource:
    """Opens an official TF1 checkpoint.

    Args:
        checkpoint_path: prefix such as "model.ckpt-218949", or the folder that holds it.
        use_ema: take the moving averages (the published weights) or the plain variables.

    Raises:
        UsageError: no readable checkpoint there, or no tensors of the kind asked for.
    """
    path, reader = _open(checkpoint_path)
    found = reader.get_variable_to_shape_map()
    roots = {name.split("/stem/")[0] for name in found if "/stem/conv2d/kernel" in name}
    if len(roots) != 1:
        raise UsageError(
            f'checkpoint_path: "{path}" is not an official EfficientNet checkpoint: expected one '
            f'variable "<model>/stem/conv2d/kernel", found {len(roots)}.'
        )
    wanted: dict[str, tuple[int, ...]] = {}
    ignored = []
    for name, shape in found.items():
        plain = name.removesuffix(_EMA)
        if name.endswith(_SLOTS) or "/" not in name or (plain != name) is not use_ema:
            ignored.append(name)
        else:
            wanted[plain] = tuple(shape)
    if not wanted:
        kind, other = ("averaged", "False") if use_ema else ("plain", "True")
        raise UsageError(
            f'checkpoint_path: "{path}" holds no {kind} weights; load it with use_ema={other}.'
        )
    suffix = _EMA if use_ema else ""
    root = roots.pop()
    head = f"{root}/{_OUTSIDE['predictions']}/"
    return WeightsSource(
        path=path,
        format=f"official TF1 checkpoint, {'averaged' if use_ema else 'plain'} weights",
        files=_files(path),
        shapes=wanted,
        read=lambda name: _read(path, lambda: reader.get_tensor(name + suffix)),
        names=lambda model: variable_names(model, root),
        head=tuple(name for name in wanted if name.startswith(head)),
        classes=wanted.get(f"{head}kernel", (0, None))[1],
        contract=lambda variant: _contract(variant, path),
        ignored=tuple(ignored),
    )


def _files(path: str) -> tuple[str, ...]:
    import tensorflow as tf

    return (f"{path}.index", *sorted(tf.io.gfile.glob(f"{path}.data-*")))


def _contract(variant: Variant, path: str) -> InputContract:
    """By the names of the published folders: no file says how its images were normalised."""
    names = " ".join(Path(path).absolute().parts[-3:]).lower()
    resolution = 475 if "l2_475" in names else variant.resolution
    if "advprop" in names:
        return family_contract("advprop", resolution)
    return at_resolution(variant_contract(variant), resolution)


def load_weights(model: Any, checkpoint_path: str, use_ema: bool = True) -> Receipt:
    """Loads an official TF1 checkpoint into a model, all of it or nothing.

    The input normalisation of the model stays as it is; `importers.convert` sets it.

    Args:
        model: made by `create_model` with the same name, coefficients and classes.
        checkpoint_path: prefix such as "model.ckpt-218949", or the folder that holds it.
        use_ema: take the moving averages (the published weights) or the plain variables.

    Returns:
        The receipt: matched names, what was left over or ignored, a checksum.

    Raises:
        UsageError: no readable checkpoint there, no tensors of the kind asked for, or names and
            shapes do not fit the model exactly.
    """
    return merge_source(model, open_checkpoint(checkpoint_path, use_ema))
