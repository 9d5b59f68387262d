"""Top-1, top-5 and loss as sums over examples, so that padding and replicas drop out exactly."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from efficientnet_tf.optim.loss import softmax_cross_entropy

SUMS = ("examples", "loss", "top1", "top5")


@dataclass(frozen=True)
class Metrics:
    """Means over `examples`: loss is plain cross-entropy in nats, top-1 and top-5 lie in [0, 1].

    `skipped` is how many examples of the split could not be used and are in no mean.
    """

    examples: int
    loss: float
    top1: float
    top5: float
    skipped: int = 0

    @classmethod
    def from_sums(cls, sums: dict[str, float]) -> "Metrics":
        count = sums["examples"]
        return cls(
            examples=round(count),
            loss=sums["loss"] / count,
            top1=sums["top1"] / count,
            top5=sums["top5"] / count,
        )


def batch_sums(logits: Any, labels: Any, mask: Any) -> dict[str, tf.Tensor]:
    """Sums over the examples of a batch whose mask is 1.

    Args:
        logits: [batch, classes], float.
        labels: [batch], int.
        mask: [batch], 1 for an example, 0 for padding.

    Returns:
        Float32 scalars by the names in `SUMS`. Of equal logits the lower class comes first. With
        fewer than five classes top-5 is always right.
    """
    mask = tf.cast(mask, tf.float32)
    logits = tf.cast(logits, tf.float32)
    # Not in_top_k, which counts ties as right: a dead network with equal logits would be perfect.
    _, best = tf.math.top_k(logits, min(5, logits.shape[-1]))  # [batch, 5], the best first
    hits = tf.cast(tf.equal(best, tf.cast(labels, tf.int32)[:, tf.newaxis]), tf.float32)
    hits *= mask[:, tf.newaxis]
    return {
        "examples": tf.reduce_sum(mask),
        "loss": tf.reduce_sum(softmax_cross_entropy(logits, labels) * mask),
        "top1": tf.reduce_sum(hits[:, 0]),
        "top5": tf.reduce_sum(hits),
    }
