"""Cutout (1708.04552) and random erasing (1708.04896): boxes painted over training images.

Both take a uint8 image [H, W, 3] and are a function of a seed. The Cutout of AutoAugment, whose
size is a level, is in geometry.py; this one is used alone.

Differences
- from the Cutout paper: the box is grey 128, not the mean of the data set.
- from the random erasing paper: aspect ratios are drawn so that a box is as often tall as wide
  (evenly on a logarithmic scale); of ten boxes the first that fits is taken, and if none does the
  image stays as it is, where the paper draws without end.
- from the official TPU code: it has neither as a step of its own.
- from Keras: its RandomErasing works on float batches and may cut boxes at the border.
"""

import dataclasses
import math
import numbers
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.augment.geometry import FILL, cutout, paste
from efficientnet_tf.data.augment.ops import as_image, as_seed
from efficientnet_tf.errors import UsageError, nearest, whole_number

# Grey level of each colour, or None for noise. "mean" is that of ImageNet, rounded.
FILLS = {"noise": None, "grey": (FILL, FILL, FILL), "mean": (124, 116, 104)}
ATTEMPTS = 10


@dataclasses.dataclass(frozen=True)
class Cutout:
    """Paints a grey square around a random pixel, cut off at the borders.

    Attributes:
        size: side in pixels, an even number; 16 is the paper's for 32x32 images of ten classes.

    Raises:
        UsageError: not an even whole number above 0.
    """

    size: int = 16

    def __post_init__(self) -> None:
        if whole_number(self.size, 2) is None or self.size % 2:
            raise UsageError(
                "size of cutout must be an even whole number of pixels, at least 2, received "
                f"{self.size!r}."
            )

    def __call__(self, image: Any, seed: Any) -> tf.Tensor:
        """uint8 [H, W, 3] -> the same, a function of `seed` [2]."""
        image = as_image(image)
        uniform = tf.random.stateless_uniform([2], as_seed(seed), alg="philox")
        centre = tf.cast(uniform * tf.cast(tf.shape(image)[:2], tf.float32), tf.int32)
        return cutout(image, self.size // 2, centre[0], centre[1])


@dataclasses.dataclass(frozen=True)
class RandomErasing:
    """Paints over a box of random size, shape and place, which lies wholly inside the image.

    Attributes:
        probability: of an image to be painted on.
        area: lowest and highest share of the image's area.
        aspect: lowest and highest height / width.
        fill: "noise" (each value of each pixel uniform in 0..255), "grey" (128) or "mean" (the mean
            colour of ImageNet).

    Defaults are the paper's.

    Raises:
        UsageError: a value is out of range.
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    fill: str = "noise"

    def __post_init__(self) -> None:
        if not _is_number(self.probability) or not 0 <= self.probability <= 1:
            raise UsageError(
                f"probability of random_erasing must be from 0 to 1, received {self.probability!r}."
            )
        _check_range("area", self.area, 1.0)
        _check_range("aspect", self.aspect, math.inf)
        if self.fill not in FILLS:
            raise UsageError(
                f"fill of random_erasing must be one of {', '.join(FILLS)}, received {self.fill!r}."
                + nearest(str(self.fill), FILLS)
            )

    def __call__(self, image: Any, seed: Any) -> tf.Tensor:
        """uint8 [H, W, 3] -> the same, a function of `seed` [2]."""
        image = as_image(image)
        seeds = tf.random.experimental.stateless_split(as_seed(seed), 2)
        # Rows are attempts; the first column of the first row decides whether to paint at all.
        uniform = tf.random.stateless_uniform([ATTEMPTS + 1, 4], seeds[0], alg="philox")
        top, left, height, width = tf.unstack(self._box(tf.shape(image), uniform[1:]))
        painted = tf.cast(uniform[0, 0] < self.probability, tf.int32)
        shape = [height * painted, width * painted, 3]
        colour = FILLS[self.fill]
        if colour is None:
            noise = tf.random.stateless_uniform(shape, seeds[1], 0, 256, tf.int32, alg="philox")
            box = tf.cast(noise, tf.uint8)
        else:
            box = tf.broadcast_to(tf.constant(colour, tf.uint8), shape)
        return paste(image, box, top, left)

    def _box(self, image_shape: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """int32 [4]: top, left, height, width of the first box that fits; else an empty one."""
        sides = tf.cast(image_shape[:2], tf.float32)
        area = _between(self.area, uniform[:, 0]) * sides[0] * sides[1]
        aspect = tf.exp(
            _between((math.log(self.aspect[0]), math.log(self.aspect[1])), uniform[:, 1])
        )
        size = tf.round(tf.stack([tf.sqrt(area * aspect), tf.sqrt(area / aspect)], axis=1))
        fits = tf.reduce_all((size >= 1.0) & (size <= sides), axis=1)
        place = tf.floor(uniform[:, 2:] * (sides - size + 1.0))
        boxes = tf.cast(tf.concat([place, size], axis=1), tf.int32)  # [attempts, 4]
        first = boxes[tf.argmax(fits)]
        return tf.where(tf.reduce_any(fits), first, tf.zeros_like(first))


def _between(ends: tuple[float, float], uniform: tf.Tensor) -> tf.Tensor:
    return ends[0] + (ends[1] - ends[0]) * uniform


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_range(name: str, ends: Any, high: float) -> None:
    pair = isinstance(ends, tuple) and len(ends) == 2 and all(_is_number(end) for end in ends)
    if not pair or not 0 < ends[0] <= ends[1] <= high or not math.isfinite(ends[1]):
        limit = " and at most 1" if high == 1 else ""
        raise UsageError(
            f"{name} of random_erasing must be two numbers (lowest, highest) above 0{limit}, "
            f"received {ends!r}."
        )
