"""The colour operations of AutoAugment and RandAugment, each on one uint8 image.

Every function takes and returns uint8 [H, W, 3] in 0..255, H and W known or not, and is a pure
function: eagerly, in a graph and in `tf.data` the same arguments give the same pixels, those of
the official code bit for bit. Arguments other than the image may be numbers or scalar tensors.

A new operation is a function here, or in geometry.py if it moves pixels, a name and its levels in
levels.py, and a row of `OPS` in plan.py.

Two things are avoided because TensorFlow's CPU kernels are several times slower at them than at
the alternatives used here: selecting pixels with `tf.where`, and broadcasting [3] over [H, W, 3]
(a row of [W * 3] over [H, W * 3] is cheap). Operations on uint8 cost a fifth of those on float32.

Differences
- from the AutoAugment paper (1805.09501): that names operations and ranges only; fill, nearest
  neighbour, rounding and, with `bugs="official"`, three mistakes are the official code's.
- from the official TPU code: no pixel with `bugs="official"`, the default. With `bugs="fixed"`
  * `contrast` blends with the mean grey level, rounded (theirs is H * W / 256, whatever the image
    shows: 196 at 224 x 224, white from 256 x 256 on);
  * `solarize` from 256 on changes nothing (theirs is modulo 256: 256 inverts all);
  * `posterize` above 8 bits changes nothing (theirs keeps 1 bit).
  `posterize` to 0 bits keeps 1 either way: there a shift saturates, here because 0 bits would be
  a black image. `sharpness` adds up in a fixed order; their `depthwise_conv2d` gives some other
  pixels where TensorFlow uses oneDNN.
- from Keras: its layers work in float32 and draw their own strengths.
"""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import numpy as np
import tensorflow as tf

from efficientnet_tf.errors import UsageError, nearest

BUGS = ("official", "fixed")
PAIRS = 192  # of bytes, in a row of `_look_up`; a multiple of 3, since colours take turns

Scalar = Any  # a Python number or a scalar tensor
P = ParamSpec("P")


def as_image(image: Any) -> tf.Tensor:
    """The argument as a tensor; raises UsageError unless it is uint8 [H, W, 3]."""
    image = tf.convert_to_tensor(image)
    if image.dtype != tf.uint8 or not image.shape.is_compatible_with([None, None, 3]):
        raise UsageError(
            f"image must be uint8 [H, W, 3], received {image.dtype.name} {image.shape}. Crop and "
            "resize first, then convert with efficientnet_tf.data.images.preprocessing.to_uint8."
        )
    return image


def as_seed(seed: Any) -> tf.Tensor:
    """Two integers as int64 [2]; a single one becomes the second of two.

    One dtype, because `stateless_split` gives other numbers for int32 than for int64. Raises
    UsageError for anything else.
    """
    if not tf.is_tensor(seed):
        seed = np.asarray(seed)  # of a Python number TensorFlow would make int32
    dtype, shape = tf.as_dtype(seed.dtype), tf.TensorShape(seed.shape)
    if not dtype.is_integer or not (shape.rank == 0 or shape.is_compatible_with([2])):
        raise UsageError(f"seed must be an integer or two of them, received {dtype.name} {shape}.")
    seed = tf.cast(seed, tf.int64)
    return tf.stack([tf.zeros_like(seed), seed]) if shape.rank == 0 else seed


def check_bugs(bugs: str) -> None:
    """Raises UsageError unless `bugs` is "official" or "fixed"."""
    if bugs not in BUGS:
        raise UsageError(
            f'bugs must be "official" or "fixed", received {bugs!r}.' + nearest(str(bugs), BUGS)
        )


def image_op(
    function: Callable[Concatenate[tf.Tensor, P], tf.Tensor],
) -> Callable[Concatenate[Any, P], tf.Tensor]:
    """A decorator: checks the image that goes in; what comes out has the same static shape."""

    @functools.wraps(function)
    def checked(image: Any, *args: P.args, **kwargs: P.kwargs) -> tf.Tensor:
        image = as_image(image)
        result = function(image, *args, **kwargs)
        result.set_shape(image.shape)
        return result

    return checked


# Colour: bits, stretches and look-up tables.


@image_op
def invert(image: tf.Tensor) -> tf.Tensor:
    """255 - image."""
    return tf.bitwise.invert(image)


@image_op
def solarize(image: tf.Tensor, threshold: Scalar, *, bugs: str = "official") -> tf.Tensor:
    """Inverts pixels of at least `threshold`, a whole number from 0 on; 256: see Differences."""
    check_bugs(bugs)
    threshold = tf.cast(threshold, tf.int32)
    bits = tf.where(threshold > 255, 0, 255) if bugs == "fixed" else 255
    bright = tf.cast(image >= tf.cast(threshold % 256, tf.uint8), tf.uint8)
    return tf.bitwise.bitwise_xor(image, bright * tf.cast(bits, tf.uint8))


@image_op
def solarize_add(image: tf.Tensor, addition: Scalar) -> tf.Tensor:
    """Adds `addition`, a whole number from 0 on, to pixels below 128; at most 255."""
    addition = tf.cast(tf.minimum(tf.cast(addition, tf.int32), 255), tf.uint8)
    dark = tf.cast(image < tf.constant(128, tf.uint8), tf.uint8)
    return image + dark * tf.minimum(255 - image, addition)


@image_op
def posterize(image: tf.Tensor, bits: Scalar, *, bugs: str = "official") -> tf.Tensor:
    """Keeps the highest `bits` of each value, a whole number; 0 keeps one, see Differences."""
    check_bugs(bugs)
    bits = tf.cast(bits, tf.int32)
    if bugs == "official":
        bits = tf.where(bits > 8, 1, bits)
    dropped = 8 - tf.clip_by_value(bits, 1, 8)
    return tf.bitwise.bitwise_and(image, tf.cast(256 - tf.bitwise.left_shift(1, dropped), tf.uint8))


@image_op
def auto_contrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each colour so that its darkest value is 0 and its brightest 255.

    A colour with one value stays as it is.
    """
    planes = tf.transpose(tf.reshape(image, [-1, 3]))
    low = tf.cast(tf.reduce_min(planes, axis=1), tf.float32)  # [3]
    high = tf.cast(tf.reduce_max(planes, axis=1), tf.float32)
    scale = tf.where(high > low, tf.math.divide_no_nan(255.0, high - low), 1.0)
    offset = tf.where(high > low, -low * scale, 0.0)
    width = tf.shape(image)[1]
    rows = tf.cast(tf.reshape(image, [-1, width * 3]), tf.float32)
    # Not clipped: rounding takes no value as far as -1 or 256.
    stretched = tf.cast(rows * tf.tile(scale, [width]) + tf.tile(offset, [width]), tf.uint8)
    return tf.reshape(stretched, tf.shape(image))


@image_op
def equalize(image: tf.Tensor) -> tf.Tensor:
    """Flattens the histogram of each colour with the whole-number rule of PIL."""
    width = tf.shape(image)[1]
    # One histogram for the three colours: values from 0, from 256 and from 512 on.
    colours = tf.tile(tf.constant([0, 256, 512]), [width])
    values = tf.cast(tf.reshape(image, [-1, width * 3]), tf.int32) + colours
    histogram = tf.raw_ops.Bincount(
        arr=tf.reshape(values, [-1]), size=tf.constant(768), weights=tf.constant([], tf.int32)
    )
    below = tf.cumsum(tf.reshape(histogram, [3, 256]), axis=1, exclusive=True)
    # Pixels darker than the brightest value: the last count before all are counted.
    pixels = tf.size(image) // 3
    step = tf.reduce_max(tf.where(below < pixels, below, 0), axis=1, keepdims=True) // 255
    lut = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    return _look_up(image, tf.where(step > 0, lut, tf.range(256)[tf.newaxis]))


# Colour: blends. Factor 0 gives the other image, 1 this one; beyond 1 moves away from the other.


@image_op
def brightness(image: tf.Tensor, factor: Scalar) -> tf.Tensor:
    """Blends with black."""
    return _blend(0.0, tf.cast(image, tf.float32), factor)


@image_op
def contrast(image: tf.Tensor, factor: Scalar, *, bugs: str = "official") -> tf.Tensor:
    """Blends with one grey level, see Differences."""
    check_bugs(bugs)
    if bugs == "official":
        pixels = tf.cast(tf.size(image) // 3, tf.float32)
        level = tf.floor(tf.minimum(pixels / 256.0, 255.0))
    else:
        total = tf.reduce_sum(tf.cast(_grey(image), tf.int64))
        count = tf.size(image, tf.int64) // 3
        level = tf.cast((total + count // 2) // count, tf.float32)  # rounded, as PIL does
    return _blend(level, tf.cast(image, tf.float32), factor)


@image_op
def color(image: tf.Tensor, factor: Scalar) -> tf.Tensor:
    """Blends with the grey image."""
    pixels = tf.cast(tf.reshape(image, [-1, 3]), tf.float32)
    grey = tf.reshape(_grey(image), [-1])
    # Each level three times: products with 0 and 1 of four levels at a time are exact, and take
    # a quarter of the time of broadcasting.
    fours = tf.reshape(tf.pad(grey, [[0, -tf.size(grey) % 4]]), [-1, 4])
    triples = tf.reshape(tf.matmul(fours, tf.repeat(tf.eye(4), 3, axis=1)), [-1, 3])
    return tf.reshape(_blend(triples[: tf.size(grey)], pixels, factor), tf.shape(image))


@image_op
def sharpness(image: tf.Tensor, factor: Scalar) -> tf.Tensor:
    """Blends with the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13, but for borders."""
    pixels = tf.cast(image, tf.float32)
    outer, centre = pixels * (-1 / 13), pixels * (-5 / 13)
    # Negative terms are subtracted in turn, from left to right and down. The order decides values
    # that should be whole but for rounding, and tf.data changes it in chains of additions.
    total: Any = 0.0
    for rows in (slice(0, -2), slice(1, -1), slice(2, None)):
        for columns in (slice(0, -2), slice(1, -1), slice(2, None)):
            weighted = centre if rows.start == columns.start == 1 else outer
            total = total - weighted[rows, columns]
    smooth = tf.floor(tf.minimum(total, 255.0))
    inner = _blend(smooth, pixels[1:-1, 1:-1], factor)
    middle = image[1:-1]
    middle = tf.concat([middle[:, :1], inner, middle[:, 1:][:, -1:]], axis=1)
    return tf.concat([image[:1], middle, image[1:][-1:]], axis=0)


def _look_up(image: tf.Tensor, lut: tf.Tensor) -> tf.Tensor:
    """lut[colour, value], int32 [3, 256], for each colour of each pixel.

    Two neighbouring bytes at a time: a look-up costs the same in a large table as in a small one,
    and half as many are left. In memory pairs of bytes are red green, blue red, green blue.
    """
    lut = tf.cast(lut, tf.uint16)
    first, second = tf.gather(lut, [0, 2, 1]), tf.gather(lut, [1, 0, 2]) * 256  # as in memory
    table = second[:, :, tf.newaxis] + first[:, tf.newaxis]  # [3, 256, 256]
    size = tf.size(image)
    padded = tf.pad(tf.reshape(image, [-1]), [[0, -size % (2 * PAIRS)]])
    pairs = tf.cast(tf.bitcast(tf.reshape(padded, [-1, PAIRS, 2]), tf.uint16), tf.int32)
    pairs += tf.tile(tf.constant([0, 2**16, 2**17]), [PAIRS // 3])
    # With gather_nd: for single values it is faster than gather.
    found = tf.gather_nd(tf.reshape(table, [-1]), pairs[..., tf.newaxis])
    return tf.reshape(tf.reshape(tf.bitcast(found, tf.uint8), [-1])[:size], tf.shape(image))


def _to_uint8(values: tf.Tensor) -> tf.Tensor:
    """Clipped, then rounded down."""
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)


def _blend(other: Any, pixels: tf.Tensor, factor: Scalar) -> tf.Tensor:
    """uint8 of other + factor * (pixels - other); float32 whole numbers come in."""
    return _to_uint8(other + tf.cast(factor, tf.float32) * (pixels - other))


def _grey(image: tf.Tensor) -> tf.Tensor:
    """Whole grey levels, float32 [H, W]: tf.image.rgb_to_grayscale for any colour."""
    red, green, blue = tf.unstack(tf.cast(image, tf.float32) * (1 / 255), axis=2)
    # Minus, so that the order stays: see sharpness.
    return tf.floor((red * 0.2989 + green * 0.587 - blue * -0.114) * 255.5)
