"""Models by name: `create_model` builds one, `list_models` counts all without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from efficientnet_tf.models.networks import configured, find_network, network_names
from efficientnet_tf.models.operations import count

if TYPE_CHECKING:
    import keras


def create_model(
    name: str,
    *,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    include_top: bool = True,
    weights: str | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    width_coefficient: float | None = None,
    depth_coefficient: float | None = None,
    resolution: int | None = None,
    dropout_rate: float | None = None,
    survival_prob: float | None = None,
    blocks_args: Sequence[str] | None = None,
    dtype: Any = None,
    model_name: str | None = None,
) -> keras.Model:
    """Builds a network by name, with any of its coefficients changed.

    Images are [batch, height, width, 3] with values 0..255, float or uint8; the model normalises
    them itself, so never divide by 255.

    Args:
        name: "efficientnet-b0" .. "efficientnet-b8", "efficientnet-l2", "efficientnet-lite0" ..
            "efficientnet-lite4", "efficientnet-edgetpu-S", "-M", "-L", "mobilenet-v1",
            "mobilenet-v2", "resnet-50", or "file.py:NAME" for one of your own.
        classes: outputs of the classifier; None for those of the published checkpoints.
        classifier_activation: "softmax", or None for logits.
        include_top: whether pooling, dropout and classifier follow the last convolution.
        weights: None for random weights; "imagenet" for those that keras.applications fetches
            (B0-B7); the path of a `.safetensors` file of scripts/import_weights.py (its input
            normalisation is taken, too) or of a `.weights.h5` file.
        input_tensor: Keras tensor to use as image input.
        input_shape: (height, width, 3); either side may be None. Default: the resolution.
        pooling: without top: None for the feature map, "avg" or "max" for a vector.
        width_coefficient, depth_coefficient: multiply filters and repeats.
        resolution: side of the square input in pixels.
        dropout_rate: before the classifier, in [0, 1).
        survival_prob: of stochastic depth at the end of the net, in (0, 1]; 1 switches it off.
        blocks_args: list of block strings in place of the variant's.
        dtype: Keras dtype policy of the layers, for example "mixed_bfloat16".
        model_name: `name` of the Keras model.

    Returns:
        A flat functional keras.Model; its logits or probabilities are float32 (float64 under a
        float64 policy).

    Raises:
        UsageError: an argument is out of range; an unknown name offers the nearest ones.
    """
    network = configured(
        name,
        width_coefficient=width_coefficient,
        depth_coefficient=depth_coefficient,
        resolution=resolution,
        dropout_rate=dropout_rate,
        survival_prob=survival_prob,
        blocks_args=blocks_args,
    )
    return network.build(
        classes=find_network(name).classes if classes is None else classes,
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dtype=dtype,
        name=model_name,
    )


@dataclass(frozen=True)
class ModelSummary:
    """One line of `--list_models`."""

    name: str
    resolution: int
    classes: int
    params: int
    multiply_adds: int


def list_models() -> list[ModelSummary]:
    """Every model with its published resolution and classes, counted by arithmetic."""
    summaries = []
    for name in network_names():
        network = find_network(name)
        counts = count(network.scaled().operations(network.classes))
        summaries.append(
            ModelSummary(
                name,
                network.resolution,
                network.classes,
                counts.trainable_params,
                counts.multiply_adds,
            )
        )
    return summaries
