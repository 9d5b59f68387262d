"""Mixup of batches (arXiv 1710.09412), on the host, after batching.

On the host because the gamma generator behind the Beta distribution has no kernel for XLA, so
none for TPUs.

Differences from the official code: images are mixed in float32, whatever dtype they have; weights
are a function of (seed, batch, pipeline). As there, the partner is the batch reversed, and the
larger weight goes to the example itself.
"""

from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import UsageError


def mixup(images: Any, labels_one_hot: Any, weights: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends every example with the one at the mirrored place of the batch.

    Args:
        images: [batch, height, width, channels], any dtype.
        labels_one_hot: [batch, classes], one-hot or soft.
        weights: [batch] in [0, 1], see `mixup_weights`.

    Returns:
        (float32 images, float32 labels) of the same shapes.
    """
    weights = tf.cast(weights, tf.float32)
    weights = tf.maximum(weights, 1.0 - weights)

    def blend(values: Any) -> tf.Tensor:
        values = tf.cast(values, tf.float32)
        own = tf.reshape(weights, [-1] + [1] * (len(values.shape) - 1))
        return values * own + tf.reverse(values, axis=[0]) * (1.0 - own)

    return blend(images), blend(labels_one_hot)


def mixup_weights(batch: Any, alpha: float, seed: Any) -> tf.Tensor:
    """Draws one Beta(alpha, alpha) number per example, a function of the arguments alone.

    Args:
        batch: number of examples, an integer or a scalar integer tensor.
        alpha: positive; small values keep images nearly pure, 1 is uniform.
        seed: two integers [2].

    Returns:
        Float32 [batch] in [0, 1].

    Raises:
        UsageError: alpha is not positive and finite.
    """
    if not 0 < alpha < float("inf"):
        raise UsageError(
            f"alpha of mixup must be positive; received {alpha!r}. Leave mixup out to disable it."
        )
    # x / (x + y) of two gamma(alpha) numbers is beta distributed. With a small alpha both would
    # underflow, so we take logarithms: x has the law of gamma(alpha + 1) * uniform ** (1 / alpha).
    gamma_seed, uniform_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    gammas = tf.random.stateless_gamma([2, batch], gamma_seed, alpha=alpha + 1.0)
    uniforms = tf.random.stateless_uniform([2, batch], uniform_seed, minval=1e-30)
    log_x, log_y = tf.unstack(tf.math.log(gammas) + tf.math.log(uniforms) / alpha)
    return tf.sigmoid(log_x - log_y)


def mix_batches(
    dataset: tf.data.Dataset,
    alpha: float,
    *,
    num_classes: int,
    seed: int,
    first_batch: int = 0,
    pipeline: int = 0,
) -> tf.data.Dataset:
    """Mixes each batch of {"image", "label"}; labels become float32 [batch, classes].

    Args:
        first_batch: number of the data set's first batch in the whole run, so that a resumed run
            mixes as an uninterrupted one.
        pipeline: number of the input pipeline, so that hosts mix differently.
    """

    def mix(number: tf.Tensor, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        key = tf.stack([tf.constant(seed * 2**20 + pipeline, tf.int64), number])
        weights = mixup_weights(tf.shape(batch["image"])[0], alpha, key)
        weights = tf.ensure_shape(weights, batch["image"].shape[:1])
        labels = tf.one_hot(batch["label"], num_classes)
        image, label = mixup(batch["image"], labels, weights)
        return {"image": image, "label": label}

    mixed = dataset.enumerate(first_batch).map(mix, num_parallel_calls=tf.data.AUTOTUNE)
    return mixed.prefetch(tf.data.AUTOTUNE)
