"""Models by name: `create_model`, the constructors, their weights, and a list of all.

Where networks and importers meet. Importing this loads neither Keras nor TensorFlow.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from efficientnet_tf.errors import UsageError, on_one_line
from efficientnet_tf.models.networks import configured, find_network, network_names, trust
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.variants import find_variant

if TYPE_CHECKING:
    import keras


def check_weights(weights: Any) -> None:
    """Raises a UsageError for a `weights=` that cannot be meant, before anything is built."""
    files = (".safetensors", ".weights.h5")
    if weights not in (None, "imagenet") and not str(weights).endswith(files):
        raise UsageError(
            'weights must be None, "imagenet" (those that keras.applications fetches), the path of '
            "a .safetensors file of `main.py import-weights`, or of a .weights.h5 file saved from "
            f"this model, received {weights!r}. Official TF1 checkpoints, files of Keras and of "
            "timm are imported by `main.py import-weights`."
        )


def load_weights(model: keras.Model, weights: str, network: str) -> None:
    """Sets the weights of a model from what `weights=` of `create_model` names.

    Args:
        network: name of the network, as stored weights know it.

    Raises:
        UsageError: they are not of this model, or cannot be read.
    """
    # Later: most models are built without weights.
    if weights == "imagenet":
        from efficientnet_tf.importers import imagenet

        imagenet.load(model, network)
        return
    if str(weights).endswith(".safetensors"):
        from efficientnet_tf.importers import weights_file

        weights_file.load_into(model, weights, name=network)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of what it then raises
            model.load_weights(weights)
    except (OSError, ValueError) as error:
        raise UsageError(
            f'weights: "{weights}" cannot be loaded into {model.name}: {on_one_line(error)}\n'
            "Give a file saved with model.save_weights of the same network: same name, "
            "coefficients and classes."
        ) from error


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
        classifier_activation: "softmax", None for logits, or another one that Keras knows;
            a single class has no softmax.
        include_top: whether pooling, dropout and classifier follow the last convolution.
        weights: None for random weights; "imagenet" for those that keras.applications fetches
            (B0-B7); the path of a `.safetensors` file of `main.py import-weights` (its input
            normalisation is taken, too) or of a `.weights.h5` file.
        input_tensor: Keras tensor to use as image input, [batch, height, width, 3].
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
        float64 policy). On an `input_tensor` that a network of ours is on already it is one layer
        of a model, because names of layers occur once in a graph; `endpoints` finds what is in it.

    Raises:
        UsageError: an argument is out of range; an unknown name offers the nearest ones.
    """
    check_weights(weights)
    trust(name)
    network = configured(
        name,
        width_coefficient=width_coefficient,
        depth_coefficient=depth_coefficient,
        resolution=resolution,
        dropout_rate=dropout_rate,
        survival_prob=survival_prob,
        blocks_args=blocks_args,
    )
    beside = False
    if input_tensor is not None:
        from efficientnet_tf.models import keras_maker  # Keras is there: it made the tensor

        beside = keras_maker.stands_beside_another(input_tensor)
    model = network.build(
        classes=find_network(name).classes if classes is None else classes,
        include_top=include_top,
        input_tensor=None if beside else input_tensor,
        input_shape=input_tensor.shape[1:] if beside else input_shape,
        pooling=pooling,
        classifier_activation=classifier_activation,
        dtype=dtype,
        name=model_name,
    )
    if weights is not None:
        load_weights(model, weights, network.name)
    return keras_maker.on_tensor(model, input_tensor) if beside else model


def _constructor(function_name: str, model: str) -> Any:
    variant = find_variant(model)

    def construct(
        include_top: bool = True,
        weights: str | None = None,
        input_tensor: Any = None,
        input_shape: Sequence[int | None] | None = None,
        pooling: str | None = None,
        classes: int = variant.classes,
        classifier_activation: str | None = "softmax",
        name: str = variant.name,
    ) -> keras.Model:
        return create_model(
            model,
            classes=classes,
            classifier_activation=classifier_activation,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            model_name=name,
        )

    construct.__name__ = construct.__qualname__ = function_name
    construct.__doc__ = f"""{function_name}, made like a model of keras.applications.

    Images are [batch, height, width, 3] with values 0..255, float or uint8; the model normalises
    them itself. Published input size: {variant.resolution} x {variant.resolution}.

    Args:
        include_top: whether pooling, dropout and classifier follow the last convolution.
        weights: None for random weights, "imagenet", or the path of a `.safetensors` file of
            `main.py import-weights` or of a `.weights.h5` file.
        input_tensor: Keras tensor to use as image input.
        input_shape: (height, width, 3); either side may be None.
        pooling: without top: None for the feature map, "avg" or "max" for a vector.
        classes: outputs of the classifier.
        classifier_activation: "softmax", or None for logits.
        name: of the model.

    Returns:
        A functional keras.Model.
    """
    return construct


EfficientNetB0 = _constructor("EfficientNetB0", "efficientnet-b0")
EfficientNetB1 = _constructor("EfficientNetB1", "efficientnet-b1")
EfficientNetB2 = _constructor("EfficientNetB2", "efficientnet-b2")
EfficientNetB3 = _constructor("EfficientNetB3", "efficientnet-b3")
EfficientNetB4 = _constructor("EfficientNetB4", "efficientnet-b4")
EfficientNetB5 = _constructor("EfficientNetB5", "efficientnet-b5")
EfficientNetB6 = _constructor("EfficientNetB6", "efficientnet-b6")
EfficientNetB7 = _constructor("EfficientNetB7", "efficientnet-b7")
EfficientNetB8 = _constructor("EfficientNetB8", "efficientnet-b8")
EfficientNetL2 = _constructor("EfficientNetL2", "efficientnet-l2")
EfficientNetLite0 = _constructor("EfficientNetLite0", "efficientnet-lite0")
EfficientNetLite1 = _constructor("EfficientNetLite1", "efficientnet-lite1")
EfficientNetLite2 = _constructor("EfficientNetLite2", "efficientnet-lite2")
EfficientNetLite3 = _constructor("EfficientNetLite3", "efficientnet-lite3")
EfficientNetLite4 = _constructor("EfficientNetLite4", "efficientnet-lite4")
EfficientNetEdgeTPUS = _constructor("EfficientNetEdgeTPUS", "efficientnet-edgetpu-S")
EfficientNetEdgeTPUM = _constructor("EfficientNetEdgeTPUM", "efficientnet-edgetpu-M")
EfficientNetEdgeTPUL = _constructor("EfficientNetEdgeTPUL", "efficientnet-edgetpu-L")


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
