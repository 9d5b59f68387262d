"""Class activation maps: where in an image a network saw the evidence for a class (Figure 7).

CAM (Zhou et al., arXiv 1512.04150) needs global average pooling and one dense layer after it: the
last map, weighted with the dense layer's own weights of the class. No gradients, and exact: the
spatial mean of the map plus the bias is the logit. Grad-CAM (Selvaraju et al., arXiv 1610.02391)
takes any map: weighted with the spatial means of the logit's gradient, then cut off at zero. At the
last map it is CAM's positive part, divided by the number of its pixels.

Differences
- from the papers: maps keep their own units; scaling to 0..1 and colours are in `cam_figure`.
- from most implementations: the last map includes the activation, also where it sits in the batch
  norm layer, as here; evidence is of the logit, not of the probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.models.efficientnet import endpoints
from efficientnet_tf.models.layers import Dropout

METHODS = ("cam", "grad-cam")
_AFTER_LOGITS = (keras.layers.Softmax, keras.layers.Activation, keras.layers.Identity)
# What may stand between pooling and dense layer: nothing that changes a number in inference.
_TRANSPARENT = (
    Dropout,
    keras.layers.Dropout,
    keras.layers.Identity,
    keras.layers.Flatten,
    keras.layers.Reshape,
)


@dataclass(frozen=True)
class Head:
    """The end of a network: its dense layer, what goes into it, and the map before the pooling.

    Attributes:
        dense: gives the logits (an activation of its own is left aside).
        pooled: symbolic, [batch, channels].
        last_map: symbolic, [batch, height, width, channels]; None without average pooling.
    """

    dense: keras.layers.Dense
    pooled: Any
    last_map: Any


@dataclass(frozen=True)
class ActivationMaps:
    """Maps of a batch.

    Attributes:
        maps: float32 [batch, height, width], at the resolution of the layer they are of.
        classes: int [batch], what they are evidence for.
        logits: float32 [batch, number of classes].
    """

    maps: np.ndarray
    classes: np.ndarray
    logits: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, of `classes`: float32 [batch]."""
        shares = tf.nn.softmax(self.logits).numpy()
        return np.take_along_axis(shares, self.classes[:, np.newaxis], axis=1)[:, 0]


def find_head(model: keras.Model) -> Head:
    """The classifier of a functional or sequential Keras model.

    Raises:
        UsageError: the model does not end in a dense layer.
    """
    makers = _makers(model)
    outputs = getattr(model, "outputs", None) or [None]  # none of subclassed models
    layer = makers.get(id(outputs[0])) if len(outputs) == 1 else None
    while isinstance(layer, _AFTER_LOGITS):
        layer = makers.get(id(layer.input))
    if not isinstance(layer, keras.layers.Dense):
        found = "something else" if layer is None else f'"{layer.name}" ({type(layer).__name__})'
        raise UsageError(
            "class activation maps need a functional or sequential model that ends in a Dense "
            f"layer of its classes; {model.name} ends in {found}. Build it with its classifier: "
            "include_top=True."
        )
    dense, pooled = layer, layer.input
    layer = makers.get(id(pooled))
    while isinstance(layer, _TRANSPARENT):
        layer = makers.get(id(layer.input))
    pool = layer if isinstance(layer, keras.layers.GlobalAveragePooling2D) else None
    if pool is None or pool.data_format != "channels_last":
        return Head(dense, pooled, None)
    return Head(dense, pooled, pool.input)


def _makers(model: keras.Model) -> dict[int, Any]:
    """Layers by the identity of the tensor they give; those called several times are left out."""
    makers = {}
    for layer in model.layers:
        try:
            makers[id(layer.output)] = layer
        except AttributeError:  # never called, or more than once
            continue
    return makers


def find_map(model: keras.Model, name: str) -> Any:
    """The symbolic map of an endpoint ("block_3", "reduction_4", "features", ...) or a layer.

    Raises:
        UsageError: no such name, or it is no map of height, width and channels.
    """
    known = {layer.name: layer for layer in model.layers}
    own = endpoints(model) if "features" in known else {}
    if name in own:
        tensor = own[name]
    elif name in known:
        tensor = known[name].output
    else:
        offered = nearest(name, [*own, *known]) or f" Blocks and maps: {', '.join(own) or 'none'}."
        raise UsageError(f'--layer: {model.name} has no layer or endpoint "{name}".{offered}')
    if not hasattr(tensor, "shape") or len(tensor.shape) != 4:
        raise UsageError(
            f'--layer: "{name}" is no map [batch, height, width, channels] but '
            f"{getattr(tensor, 'shape', 'several tensors')}. Give a layer before the pooling."
        )
    return tensor


def class_number(asked: str | None, names: Sequence[str] | None, count: int) -> int | None:
    """The class that is asked for, by name or else by number; None for the predicted one.

    Raises:
        UsageError: none of the `count` classes.
    """
    if asked is None:
        return None
    if names is not None and asked in names:
        return list(names).index(asked)
    if asked.isdecimal() and int(asked) < count:
        return int(asked)
    raise UsageError(
        f'--class must be a name or a number from 0 to {count - 1}, received "{asked}".'
        f"{nearest(asked, names or [])}"
    )


class ActivationMapper:
    """Makes the maps of one model.

    Args:
        model: functional or sequential, ending in a dense layer; it is not changed.
        method: "cam" or "grad-cam".
        layer: for Grad-CAM: an endpoint or a layer's name; None for the last map.

    Raises:
        UsageError: the method is unknown, or the model has not what it needs.
    """

    def __init__(self, model: keras.Model, method: str = "cam", layer: str | None = None) -> None:
        if method not in METHODS:
            raise UsageError(
                f'--method must be one of {", ".join(METHODS)}, received "{method}".'
                f"{nearest(method, METHODS)}"
            )
        if method == "cam" and layer is not None:
            raise UsageError(
                "--layer goes with --method=grad-cam: the classifier has weights for the last map "
                "alone."
            )
        self._method = method
        self._head = find_head(model)
        target = self._head.last_map if layer is None else find_map(model, layer)
        if target is None:
            raise UsageError(
                f"--method={method}: {model.name} has no global average pooling right before its "
                "classifier. Use --method=grad-cam with --layer=NAME of a convolution."
            )
        self._part = keras.Model(model.inputs, [target, self._head.pooled])

    def __call__(self, images: Any, classes: int | Sequence[int] | None = None) -> ActivationMaps:
        """The maps of preprocessed images.

        Args:
            images: [batch, height, width, 3], as the model takes them.
            classes: one for all or one for each; None for the predicted ones.

        Raises:
            UsageError: a class that the model does not have.
        """
        images = tf.cast(images, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(images)  # weights are not watched if the model was frozen
            target, pooled = self._part(images, training=False)
            logits = self._logits(pooled)
            chosen = _chosen(classes, logits)
            evidence = tf.gather(logits, chosen, batch_dims=1)
        if self._method == "cam":
            kernel = tf.convert_to_tensor(self._head.dense.kernel)
            weights = tf.transpose(tf.gather(kernel, chosen, axis=1))  # [batch, channels]
            maps = _weighted(target, weights)
        else:
            gradient = tape.gradient(evidence, target)
            if gradient is None:
                raise UsageError("--layer: the classes do not depend on this layer. Give another.")
            weights = tf.reduce_mean(tf.cast(gradient, tf.float32), axis=(1, 2))
            maps = tf.nn.relu(_weighted(target, weights))
        return ActivationMaps(maps.numpy(), chosen.numpy(), logits.numpy())

    def _logits(self, pooled: tf.Tensor) -> tf.Tensor:
        dense = self._head.dense
        logits = tf.cast(pooled, tf.float32) @ tf.convert_to_tensor(dense.kernel)
        return logits + tf.convert_to_tensor(dense.bias) if dense.use_bias else logits


def _weighted(maps: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[batch, height, width, channels] and [batch, channels] to [batch, height, width]."""
    return tf.einsum("bhwc,bc->bhw", tf.cast(maps, tf.float32), weights)


def _chosen(classes: int | Sequence[int] | None, logits: tf.Tensor) -> tf.Tensor:
    """The class of each image, int64 [batch]."""
    if classes is None:
        return tf.argmax(logits, axis=1)
    batch, count = logits.shape
    asked = np.broadcast_to(np.asarray(classes, np.int64), [batch])
    wrong = asked[(asked < 0) | (asked >= count)]
    if len(wrong):
        raise UsageError(f"--class must be from 0 to {count - 1}, received {wrong[0]}.")
    return tf.constant(asked)
