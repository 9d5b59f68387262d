"""The training loss: smoothed softmax cross-entropy and the L2 penalty.

What the training loop adds up is

    sum(softmax_cross_entropy(...)) / global batch size + 1e-5 * l2_penalty(weights)

The penalty is a term of the loss, so its gradient goes through RMSProp like any other.

Differences
- From the paper (section 5.2, "weight decay 1e-5"): label smoothing 0.1, which weights decay and
  that half the square is taken are the official code's.
- From the official TPU code: losses come per example, so that padded ones can be masked.
- From Keras: `weight_decay` of a Keras optimizer is decoupled and scaled by the learning rate; a
  `kernel_regularizer` would leave out the biases and `regularizers.L2` has no half.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from efficientnet_tf.errors import UsageError

# Last part of the names of batch norm's variables; the statistics are never trained anyway.
BATCH_NORM_VARIABLES = frozenset({"gamma", "beta", "moving_mean", "moving_variance"})


def smooth_labels(one_hot: Any, label_smoothing: float) -> Any:
    """Moves the part `label_smoothing` of every label evenly to all classes, its own included.

    Args:
        one_hot: float labels [batch, classes], one-hot or soft, summing to 1.
        label_smoothing: in [0, 1).

    Returns:
        Labels of the same shape, summing to 1. Raises UsageError if the range is left.
    """
    if not 0 <= label_smoothing < 1:
        raise UsageError(
            f"label_smoothing must be in [0, 1); received {label_smoothing!r}. The recipe has 0.1."
        )
    return one_hot * (1.0 - label_smoothing) + label_smoothing / one_hot.shape[-1]


def softmax_cross_entropy(logits: Any, labels: Any, label_smoothing: float = 0.0) -> Any:
    """Cross-entropy of every example, in float32 or, of float64 logits, in float64.

    Args:
        logits: [batch, classes], any float dtype.
        labels: class numbers, integer [batch] in 0..classes - 1, or distributions
            [batch, classes]. A class number out of that range is not noticed here (a graph cannot
            raise): it counts as no class at all.
        label_smoothing: in [0, 1), see `smooth_labels`.

    Returns:
        [batch], natural logarithm, not averaged. Raises UsageError if the shapes or dtypes do not
        fit.
    """
    logits = ops.convert_to_tensor(logits)
    logits = ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))
    labels = ops.convert_to_tensor(labels)
    classes = logits.shape[-1]
    is_integer = keras.backend.is_int_dtype(labels.dtype)
    fits = (is_integer and len(labels.shape) == 1) or tuple(labels.shape)[1:] == (classes,)
    if len(logits.shape) != 2 or not fits or not _same_size(logits.shape[0], labels.shape[0]):
        raise UsageError(
            "labels must be integers [batch] or distributions [batch, classes] for logits "
            f"[batch, classes]; received {labels.dtype} labels {tuple(labels.shape)} and logits "
            f"{tuple(logits.shape)}. Check num_classes, or one-hot encode the labels."
        )
    if len(labels.shape) == 1:
        labels = ops.one_hot(labels, classes, dtype=logits.dtype)
    targets = smooth_labels(ops.cast(labels, logits.dtype), label_smoothing)
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)


def class_weights_of(labels: Any, class_weights: Sequence[float]) -> Any:
    """The weight of every example's loss, float32 [batch]: that of its class.

    Args:
        labels: integers [batch], or distributions [batch, classes], which mix the weights.
        class_weights: one for each class.
    """
    weights = ops.convert_to_tensor(class_weights, dtype="float32")
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == 1:
        return ops.take(weights, labels)
    return ops.sum(ops.cast(labels, "float32") * weights, axis=-1)


def _same_size(first: int | None, second: int | None) -> bool:
    """Whether two dimensions can be equal; None is a size known only when the graph runs."""
    return first is None or second is None or first == second


def is_weight_decayed(path_or_variable: Any) -> bool:
    """Whether a variable takes part in `l2_penalty`: all trainable ones but batch norm's.

    Kernels count, and so do the biases of squeeze-and-excitation and of the classifier.

    Args:
        path_or_variable: a path ("block2a_se/reduce_bias") or a variable that has one. The last
            part decides. A variable that is not trainable (a frozen layer's) does not count.
    """
    if isinstance(path_or_variable, str):
        path = path_or_variable
    else:
        if not path_or_variable.trainable:
            return False
        path = path_or_variable.path
    return path.rsplit("/", 1)[-1] not in BATCH_NORM_VARIABLES


def l2_penalty(weights: Sequence[Any]) -> Any:
    """Half the sum of the squares of all elements, a scalar; 0.0 for no weights.

    It is summed in float32 or, of float64 weights, in float64.

    The caller multiplies by the weight decay (1e-5), once and not per replica.

    Args:
        weights: tensors or variables of any shapes, those that `is_weight_decayed` selects.
    """
    if not weights:
        return ops.zeros((), dtype="float32")
    wide = keras.backend.result_type(*(weight.dtype for weight in weights), "float32")
    squares = [ops.sum(ops.square(ops.cast(weight, wide))) for weight in weights]
    return ops.sum(ops.stack(squares)) * 0.5
