"""Fine-tuning: the weights that a run begins with, what stays frozen, how fast each stage learns.

A network is a row of stages: stem, block1 .. block7 (the groups of its layer names), head (the
last convolution and pooling) and predictions (dropout and classifier). Freezing goes from the stem
up and by whole stages. A frozen stage is not trained and not decayed, its batch norms use their
stored statistics and its stochastic depth and dropout are off; no gradient is computed in it or
below it. Weights do not depend on the resolution, so a run may use another than pretraining's.

The first weights are read once, when a run begins; a resumed run has them in its checkpoint. What
is no weight, the input normalisation that belongs to them, is in runs/init_record.py's file.

Differences
- From the paper (section 5.3 says only that it fine-tunes): docs/transfer.md has the settings.
- From Keras: there a frozen dropout layer still drops; frozen batch norm is the same.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.config import TransferConfig
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.importers import imagenet, weights_file
from efficientnet_tf.importers.merge import Receipt, merge
from efficientnet_tf.importers.weights_source import HEAD
from efficientnet_tf.models.layers import BatchNormalization
from efficientnet_tf.runs.init_record import InitialWeights, set_normalisation
from efficientnet_tf.runs.trained_model import TrainedModel, from_run

IMAGENET = "imagenet"
_CLASSIFIER = ("top_dropout", "predictions")


def stages(model: Any) -> dict[str, list[Any]]:
    """The layers of a model by stage, from the image up; all are in one."""
    found: dict[str, list[Any]] = {}
    stage = "stem"
    for layer in model.layers:
        block = re.match(r"block\d+", layer.name)
        if block:
            stage = block.group()
        elif layer.name in _CLASSIFIER:
            stage = "predictions"
        elif layer.name.startswith(("top_", "pooled_features")):
            stage = "head"
        found.setdefault(stage, []).append(layer)
    return found


def prepare(model: Any, transfer: TransferConfig) -> None:
    """Freezes stages and sets the policy of batch norm, before a TrainState is made.

    Raises:
        UsageError: the network has no such stage.
    """
    if transfer.freeze_until:
        layers = stages(model)
        *names, _ = layers
        if transfer.freeze_until not in names:
            raise UsageError(
                f"config field transfer.freeze_until must be a stage of {model.name}, "
                f'{", ".join(names)}, or empty; received "{transfer.freeze_until}".'
                f"{nearest(transfer.freeze_until, names)}"
            )
        for name in names[: names.index(transfer.freeze_until) + 1]:
            for layer in layers[name]:
                layer.trainable = False
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            layer.frozen_statistics = transfer.batch_norm == "frozen"
            if transfer.batch_norm_momentum is not None:
                layer.momentum = transfer.batch_norm_momentum


def learning_rates(model: Any, transfer: TransferConfig) -> dict[str, float]:
    """Path of a weight -> multiple of the learning rate, where it is not 1.

    The classifier has `head_learning_rate`, the stage below it `layer_decay`, the next one its
    square, and so on down to the stem.
    """
    *below, predictions = stages(model).values()
    multiples = [transfer.head_learning_rate]
    multiples += [transfer.layer_decay ** (1 + depth) for depth in range(len(below))]
    return {
        weight.path: multiple
        for layers, multiple in zip([predictions, *reversed(below)], multiples, strict=True)
        for layer in layers
        for weight in layer.trainable_weights
        if multiple != 1.0
    }


def class_weights(asked: str, counts: Sequence[int]) -> list[float] | None:
    """The weights of the loss that `transfer.class_weights` asks for; None weighs all alike.

    "balanced" is images / (classes * images of the class): every class then counts as much, and
    the mean over the images is 1. A class without images has weight 0.

    Args:
        counts: training images of each class.

    Raises:
        UsageError: no such word, or not one number of at least 0 for each class.
    """
    if asked == "none":
        return None
    if asked == "balanced":
        present = sum(count > 0 for count in counts)
        return [sum(counts) / (present * count) if count else 0.0 for count in counts]
    try:
        weights = [float(part) for part in asked.split(",")]
    except ValueError:
        weights = []
    fits = len(weights) == len(counts) and all(0 <= weight < float("inf") for weight in weights)
    if not fits or not any(weights):
        raise UsageError(
            "config field transfer.class_weights must be none, balanced, or a number of at least 0 "
            f'for each of the {len(counts)} classes, joined by commas; received "{asked}".'
        )
    return weights


def load_initial(
    model: Any,
    init_from: str,
    *,
    name: str,
    class_names: Sequence[str] | None,
    new_head: bool = False,
) -> InitialWeights:
    """Sets a model to stored weights, all of them or all but the classifier.

    The classifier is taken if it has as many classes, and the same names where both are known;
    otherwise the model keeps the one that it was built with, drawn by `dense_initializer`.

    Args:
        model: made by `create_model`.
        init_from: a .safetensors file of ours, the model_dir of a run, or "imagenet".
        name: of the network.
        class_names: of the data, if known.
        new_head: keep the model's classifier in any case.

    Raises:
        UsageError: no such file or run, or it is of another network.
        RunError: "imagenet" could not be fetched.
    """
    classes = next(w.shape[-1] for w in model.weights if w.path.startswith(HEAD))

    def is_other(their_classes: int, theirs: Sequence[str] | None) -> bool:
        named = theirs is not None and class_names is not None
        differ = named and tuple(theirs or ()) != tuple(class_names or ())
        return new_head or their_classes != classes or differ

    if init_from == IMAGENET:
        head = is_other(imagenet.CLASSES, None)
        receipt = imagenet.load(model, name, new_head=head)
    elif init_from.endswith(".safetensors"):
        info = weights_file.read_info(init_from)
        head = is_other(info.classes, info.class_names)
        receipt = weights_file.load_into(model, init_from, name=name, new_head=head)
    else:
        trained = _of_run(init_from, name)
        head = is_other(trained.model.output.shape[-1], trained.class_names)
        receipt = _copy(trained, model, init_from, head)
    layer = model.get_layer("normalization")
    return InitialWeights(init_from, receipt.checksum, head, tuple(layer.mean), tuple(layer.std))


def _of_run(model_dir: str, name: str) -> TrainedModel:
    if not tf.io.gfile.isdir(model_dir):
        raise UsageError(
            "config field init_from must be a .safetensors file, the model_dir of a run, or "
            f'imagenet; there is no folder "{model_dir}".'
        )
    try:
        trained = from_run(model_dir)
    except UsageError as error:
        reason = str(error).replace("--model_dir: ", "")
        raise UsageError(f"config field init_from: {reason}") from error
    if trained.name.lower() != name.lower():
        raise UsageError(
            f'config field init_from: "{model_dir}" holds {trained.name}, the model is {name}.'
        )
    return trained


def _copy(trained: TrainedModel, model: Any, source: str, new_head: bool) -> Receipt:
    """Strictly by path, as from a file."""
    arrays: Mapping[str, np.ndarray] = {w.path: w.numpy() for w in trained.model.weights}
    wanted = [w.path for w in model.weights if not (new_head and w.path.startswith(HEAD))]
    receipt = merge(
        model,
        {path: path for path in wanted},
        {path: array.shape for path, array in arrays.items()},
        arrays.__getitem__,
        source=source,
        left_over=[path for path in arrays if path.startswith(HEAD)] if new_head else (),
    )
    layer = trained.model.get_layer("normalization")
    set_normalisation(model, layer.mean, layer.std)
    return receipt
