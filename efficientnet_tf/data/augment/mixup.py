"""Mixup (1710.09412) and CutMix (1905.04899) of batches, on the host, after batching.

On the host because the gamma generator behind the Beta distribution has no kernel for XLA, so
none for TPUs.

Differences
- from the papers: each example has a number of its own from Beta(alpha, alpha), not each batch;
  the partner is the batch reversed, not shuffled, which is as good after a shuffled stream.
- from the official TPU code: images are mixed in float32, whatever dtype they have; numbers are a
  function of (seed, batch, pipeline). As there, the partner is the batch reversed, and the larger
  weight goes to the example itself. It has no CutMix.
- from Keras: its layers draw from the state of a generator.
"""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import UsageError

Mixed = tuple[tf.Tensor, tf.Tensor]  # images, labels


@dataclasses.dataclass(frozen=True)
class Mixup:
    """Blends each example with its partner.

    Attributes:
        alpha: of Beta(alpha, alpha); small values keep images nearly pure, 1 is uniform.

    Raises:
        UsageError: alpha is not positive and finite.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check_alpha("mixup", self.alpha)

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: Any) -> Mixed:
        """[B, H, W, C] and [B, classes] -> the same in float32, a function of `seed` [2]."""
        weights = beta_weights(tf.shape(images)[0], self.alpha, seed)
        return mixup(images, labels, tf.ensure_shape(weights, images.shape[:1]))


@dataclasses.dataclass(frozen=True)
class CutMix:
    """Replaces a random box of each example by what its partner shows there.

    Attributes:
        alpha: of Beta(alpha, alpha), the share of an example that stays; 1, the paper's, is
            uniform.

    Raises:
        UsageError: alpha is not positive and finite.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check_alpha("cutmix", self.alpha)

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, seed: Any) -> Mixed:
        """[B, H, W, C] and [B, classes] -> images of their dtype, float32 labels."""
        seeds = tf.random.experimental.stateless_split(seed, 2)
        shape = tf.shape(images)
        boxes = cut_boxes(shape, beta_weights(shape[0], self.alpha, seeds[0]), seeds[1])
        return cutmix(images, labels, boxes)


Mixer = Mixup | CutMix


def mixup(images: Any, labels_one_hot: Any, weights: Any) -> Mixed:
    """Blends every example with the one at the mirrored place of the batch.

    Args:
        images: [batch, height, width, channels], any dtype.
        labels_one_hot: [batch, classes], one-hot or soft.
        weights: [batch] in [0, 1], see `beta_weights`.

    Returns:
        (float32 images, float32 labels) of the same shapes.
    """
    weights = tf.cast(weights, tf.float32)
    weights = tf.maximum(weights, 1.0 - weights)
    return _blend(images, weights), _blend(labels_one_hot, weights)


def cutmix(images: Any, labels_one_hot: Any, boxes: Any) -> Mixed:
    """Pastes a box of the example at the mirrored place of the batch into every example.

    Labels are weighted by the area that each of the two really has.

    Args:
        images: [batch, height, width, channels], a numeric dtype.
        labels_one_hot: [batch, classes], one-hot or soft.
        boxes: int32 [batch, 4]: top, left, bottom, right; bottom and right are not painted.

    Returns:
        (images of the same dtype, float32 labels) of the same shapes.
    """
    images = tf.convert_to_tensor(images)
    shape = tf.shape(images)
    top, left, bottom, right = tf.unstack(tf.cast(boxes, tf.int32)[:, tf.newaxis], axis=2)

    def inside(count: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:  # [batch, count]
        places = tf.range(count)[tf.newaxis]
        return tf.cast((places >= first) & (places < end), images.dtype)

    # A multiplication with 0 or 1 is exact in each dtype, and much faster than tf.where. Columns
    # and colours are one axis, because broadcasting over three colours is slow.
    columns = tf.repeat(inside(shape[2], left, right), shape[3], axis=1)
    mask = inside(shape[1], top, bottom)[:, :, tf.newaxis] * columns[:, tf.newaxis]
    own = tf.reshape(images, tf.shape(mask))
    mixed = own * (tf.ones([], images.dtype) - mask) + tf.reverse(own, axis=[0]) * mask
    area = tf.cast((bottom - top) * (right - left), tf.float32)[:, 0]
    weights = 1.0 - area / tf.cast(shape[1] * shape[2], tf.float32)
    return tf.ensure_shape(tf.reshape(mixed, shape), images.shape), _blend(labels_one_hot, weights)


def beta_weights(batch: Any, alpha: float, seed: Any) -> tf.Tensor:
    """Draws one Beta(alpha, alpha) number per example, a function of the arguments alone.

    Args:
        batch: number of examples, an integer or a scalar integer tensor.
        alpha: positive.
        seed: two integers [2].

    Returns:
        Float32 [batch] in [0, 1].
    """
    # x / (x + y) of two gamma(alpha) numbers is beta distributed. With a small alpha both would
    # underflow, so we take logarithms: x has the law of gamma(alpha + 1) * uniform ** (1 / alpha).
    gamma_seed, uniform_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    gammas = tf.random.stateless_gamma([2, batch], gamma_seed, alpha=alpha + 1.0)
    uniforms = tf.random.stateless_uniform([2, batch], uniform_seed, minval=1e-30)
    log_x, log_y = tf.unstack(tf.math.log(gammas) + tf.math.log(uniforms) / alpha)
    return tf.sigmoid(log_x - log_y)


def cut_boxes(image_shape: Any, weights: Any, seed: Any) -> tf.Tensor:
    """Boxes of 1 - weight of the area around a random pixel, cut off at the borders.

    Args:
        image_shape: int32 [4]: batch, height, width, channels.
        weights: float32 [batch] in [0, 1].
        seed: two integers [2].

    Returns:
        int32 [batch, 4] as `cutmix` takes them.
    """
    sides = tf.cast(image_shape[1:3], tf.float32)[tf.newaxis]  # height, width
    half = tf.floor(tf.floor(sides * tf.sqrt(1.0 - weights)[:, tf.newaxis]) / 2.0)
    uniform = tf.random.stateless_uniform([image_shape[0], 2], seed, alg="philox")
    centre = tf.floor(uniform * sides)
    start, end = tf.maximum(centre - half, 0.0), tf.minimum(centre + half, sides)
    return tf.cast(tf.concat([start, end], axis=1), tf.int32)


def mix_batches(
    dataset: tf.data.Dataset,
    mixers: Sequence[Mixer],
    *,
    num_classes: int,
    seed: int,
    first_batch: int = 0,
    pipeline: int = 0,
) -> tf.data.Dataset:
    """Mixes each batch of {"image", "label", ...}; labels become float32 [batch, classes].

    Of several mixers each batch gets one, all equally likely. Images become float32 if one of
    them is Mixup, else keep their dtype. Other entries of a batch stay as they are.

    Args:
        first_batch: number of the data set's first batch in the whole run, so that a resumed run
            mixes as an uninterrupted one.
        pipeline: number of the input pipeline, so that hosts mix differently.

    Raises:
        UsageError: `mixers` is empty.
    """
    if not mixers:
        raise UsageError("mixers must name at least one of Mixup and CutMix, received none.")

    def mix(number: tf.Tensor, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        key = tf.stack([tf.constant(seed * 2**20 + pipeline, tf.int64), number])
        images, labels = batch["image"], tf.one_hot(batch["label"], num_classes)
        if len(mixers) == 1:
            images, labels = mixers[0](images, labels, key)
        else:
            if any(isinstance(mixer, Mixup) for mixer in mixers):
                images = tf.cast(images, tf.float32)
            choice, key = tf.unstack(tf.random.experimental.stateless_split(key, 2))
            index = tf.random.stateless_uniform([], choice, 0, len(mixers), tf.int32)
            branches = [lambda m=mixer: m(images, labels, key) for mixer in mixers]
            images, labels = tf.switch_case(index, branches)
        return {**batch, "image": images, "label": labels}

    mixed = dataset.enumerate(first_batch).map(mix, num_parallel_calls=tf.data.AUTOTUNE)
    return mixed.prefetch(tf.data.AUTOTUNE)


def _blend(values: Any, weights: tf.Tensor) -> tf.Tensor:
    """float32 of `weights` [batch] times each example, and the rest times its partner."""
    values = tf.cast(values, tf.float32)
    own = tf.reshape(weights, [-1] + [1] * (len(values.shape) - 1))
    return values * own + tf.reverse(values, axis=[0]) * (1.0 - own)


def _check_alpha(name: str, alpha: Any) -> None:
    number = isinstance(alpha, numbers.Real) and not isinstance(alpha, bool)
    if not number or not 0 < alpha < float("inf"):
        raise UsageError(
            f"alpha of {name} must be positive; received {alpha!r}. Leave {name} out to disable it."
        )
