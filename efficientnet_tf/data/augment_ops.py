"""The sixteen image operations of AutoAugment and RandAugment, each on one uint8 image.

Every function takes and returns uint8 [H, W, 3] in 0..255, H and W known or not, and is a pure
function: eagerly, in a graph and in `tf.data` the same arguments give the same pixels, those of
the official code bit for bit. Arguments other than the image may be numbers or scalar tensors.

Two things are avoided because TensorFlow's CPU kernels are several times slower at them than at
the alternatives used here: selecting pixels with `tf.where`, and broadcasting [3] over [H, W, 3].

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
import math
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import tensorflow as tf

from efficientnet_tf.errors import UsageError, nearest

FILL = 128  # grey level of pixels that come from outside the image, and of cut-out squares
BUGS = ("official", "fixed")

Scalar = Any  # a Python number or a scalar tensor
P = ParamSpec("P")


def as_image(image: Any) -> tf.Tensor:
    """The argument as a tensor.

    Raises:
      UsageError: it is not uint8 [H, W, 3].
    """
    image = tf.convert_to_tensor(image)
    if image.dtype != tf.uint8 or not image.shape.is_compatible_with([None, None, 3]):
        raise UsageError(
            f"image must be uint8 [H, W, 3], got {image.dtype.name} {image.shape}. Crop and resize "
            "first, then convert with efficientnet_tf.data.preprocessing.to_uint8."
        )
    return image


def check_bugs(bugs: str) -> None:
    """Raises UsageError unless `bugs` is "official" or "fixed"."""
    if bugs not in BUGS:
        raise UsageError(
            f'bugs must be "official" or "fixed", got {bugs!r}.' + nearest(str(bugs), BUGS)
        )


def _image_op(
    function: Callable[Concatenate[tf.Tensor, P], tf.Tensor],
) -> Callable[Concatenate[Any, P], tf.Tensor]:
    """Checks the image that goes in; the one that comes out has the same static shape."""

    @functools.wraps(function)
    def checked(image: Any, *args: P.args, **kwargs: P.kwargs) -> tf.Tensor:
        image = as_image(image)
        result = function(image, *args, **kwargs)
        result.set_shape(image.shape)
        return result

    return checked


# Colour: bits, stretches and look-up tables.


@_image_op
def invert(image: tf.Tensor) -> tf.Tensor:
    """255 - image."""
    return tf.bitwise.invert(image)


@_image_op
def solarize(image: tf.Tensor, threshold: Scalar, *, bugs: str = "official") -> tf.Tensor:
    """Inverts pixels of at least `threshold`, a whole number from 0 on; 256: see Differences."""
    check_bugs(bugs)
    threshold = tf.cast(threshold, tf.int32)
    bits = tf.where(threshold > 255, 0, 255) if bugs == "fixed" else 255
    bright = tf.cast(image >= tf.cast(threshold % 256, tf.uint8), tf.uint8)
    return tf.bitwise.bitwise_xor(image, bright * tf.cast(bits, tf.uint8))


@_image_op
def solarize_add(image: tf.Tensor, addition: Scalar) -> tf.Tensor:
    """Adds `addition`, a whole number from 0 on, to pixels below 128; at most 255."""
    addition = tf.cast(tf.minimum(tf.cast(addition, tf.int32), 255), tf.uint8)
    dark = tf.cast(image < tf.constant(128, tf.uint8), tf.uint8)
    return image + dark * tf.minimum(255 - image, addition)


@_image_op
def posterize(image: tf.Tensor, bits: Scalar, *, bugs: str = "official") -> tf.Tensor:
    """Keeps the highest `bits` of each value, a whole number; 0 keeps one, see Differences."""
    check_bugs(bugs)
    bits = tf.cast(bits, tf.int32)
    if bugs == "official":
        bits = tf.where(bits > 8, 1, bits)
    dropped = 8 - tf.clip_by_value(bits, 1, 8)
    return tf.bitwise.bitwise_and(image, tf.cast(256 - tf.bitwise.left_shift(1, dropped), tf.uint8))


@_image_op
def auto_contrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each colour so that its darkest value is 0 and its brightest 255.

    A colour with one value stays as it is.
    """
    planes = _planes(image)
    low = tf.cast(tf.reduce_min(planes, axis=1, keepdims=True), tf.float32)  # [3, 1]
    high = tf.cast(tf.reduce_max(planes, axis=1, keepdims=True), tf.float32)
    scale = tf.where(high > low, tf.math.divide_no_nan(255.0, high - low), 1.0)
    offset = tf.where(high > low, -low * scale, 0.0)
    return _from_planes(_to_uint8(tf.cast(planes, tf.float32) * scale + offset), image)


@_image_op
def equalize(image: tf.Tensor) -> tf.Tensor:
    """Flattens the histogram of each colour with the whole-number rule of PIL."""
    planes = tf.cast(_planes(image), tf.int32) + tf.constant([[0], [256], [512]])
    flat = tf.reshape(planes, [-1])
    no_weights = tf.constant([], tf.int32)
    histogram = tf.raw_ops.Bincount(arr=flat, size=tf.constant(768), weights=no_weights)
    below = tf.cumsum(tf.reshape(histogram, [3, 256]), axis=1, exclusive=True)
    # Pixels darker than the brightest value: the last count before all are counted.
    pixels = tf.size(planes) // 3
    step = tf.reduce_max(tf.where(below < pixels, below, 0), axis=1, keepdims=True) // 255
    lut = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    lut = tf.where(step > 0, lut, tf.range(256)[tf.newaxis])  # [3, 256]
    lut = tf.cast(tf.reshape(lut, [-1]), tf.uint8)
    return _from_planes(tf.gather_nd(lut, planes[..., tf.newaxis]), image)


# Colour: blends. Factor 0 gives the other image, 1 this one; beyond 1 moves away from the other.


@_image_op
def brightness(image: tf.Tensor, factor: Scalar) -> tf.Tensor:
    """Blends with black."""
    return _blend(0.0, tf.cast(image, tf.float32), factor)


@_image_op
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


@_image_op
def color(image: tf.Tensor, factor: Scalar) -> tf.Tensor:
    """Blends with the grey image."""
    pixels = tf.cast(tf.reshape(image, [-1, 3]), tf.float32)
    # Repeats [H * W, 1] three times; exact, and four times as fast as broadcasting.
    grey = tf.matmul(tf.reshape(_grey(image), [-1, 1]), tf.ones([1, 3]))
    return tf.reshape(_blend(grey, pixels, factor), tf.shape(image))


@_image_op
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


# Geometry. Offsets and angles move the place that is read, so the picture moves the other way.


@_image_op
def shear_x(image: tf.Tensor, level: Scalar) -> tf.Tensor:
    """Reads (x + level * y, y) at (x, y): the top row stays."""
    return _project(image, [1.0, level, 0.0, 0.0, 1.0, 0.0])


@_image_op
def shear_y(image: tf.Tensor, level: Scalar) -> tf.Tensor:
    """Reads (x, y + level * x) at (x, y): the left column stays."""
    return _project(image, [1.0, 0.0, 0.0, level, 1.0, 0.0])


@_image_op
def translate_x(image: tf.Tensor, pixels: Scalar) -> tf.Tensor:
    """Reads (x + pixels, y) at (x, y): positive moves the picture to the left."""
    return _project(image, [1.0, 0.0, pixels, 0.0, 1.0, 0.0])


@_image_op
def translate_y(image: tf.Tensor, pixels: Scalar) -> tf.Tensor:
    """Reads (x, y + pixels) at (x, y): positive moves the picture up."""
    return _project(image, [1.0, 0.0, 0.0, 0.0, 1.0, pixels])


@_image_op
def rotate(image: tf.Tensor, degrees: Scalar) -> tf.Tensor:
    """Turns the picture about its centre, counter-clockwise if positive."""
    radians = tf.cast(degrees, tf.float32) * (math.pi / 180.0)
    cos, sin = tf.cos(radians), tf.sin(radians)
    bottom, right = tf.unstack(tf.cast(tf.shape(image)[:2] - 1, tf.float32))
    x_offset = (right - (cos * right - sin * bottom)) / 2.0
    y_offset = (bottom - (sin * right + cos * bottom)) / 2.0
    return _project(image, [cos, -sin, x_offset, sin, cos, y_offset])


@_image_op
def cutout(image: tf.Tensor, half_side: Scalar, centre_y: Scalar, centre_x: Scalar) -> tf.Tensor:
    """Fills rows and columns from centre - half_side up to, not with, centre + half_side."""
    shape = tf.shape(image)
    half_side = tf.cast(half_side, tf.int32)
    top, bottom = (tf.clip_by_value(centre_y + d, 0, shape[0]) for d in (-half_side, half_side))
    left, right = (tf.clip_by_value(centre_x + d, 0, shape[1]) for d in (-half_side, half_side))
    middle = image[top:bottom]
    square = tf.fill([bottom - top, right - left, 3], tf.constant(FILL, tf.uint8))
    middle = tf.concat([middle[:, :left], square, middle[:, right:]], axis=1)
    return tf.concat([image[:top], middle, image[bottom:]], axis=0)


def _planes(image: tf.Tensor) -> tf.Tensor:
    """[3, H * W]."""
    return tf.transpose(tf.reshape(image, [-1, 3]))


def _from_planes(planes: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """[3, H * W] in the shape of `image`."""
    return tf.reshape(tf.transpose(planes), tf.shape(image))


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


def _project(image: tf.Tensor, matrix: list[Any]) -> tf.Tensor:
    """Reads (a x + b y + c, d x + e y + f) at (x, y), nearest pixel; `matrix` is [a, ..., f].

    The numbers of the pixels are moved, then the pixels gathered: less work than moving three
    colours. Number 0 is the fill.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    numbers = tf.reshape(tf.range(1, height * width + 1), [1, height, width, 1])
    matrix = tf.stack([tf.cast(entry, tf.float32) for entry in [*matrix, 0.0, 0.0]])
    numbers = tf.raw_ops.ImageProjectiveTransformV3(
        images=numbers,
        transforms=matrix[tf.newaxis],
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    fill = tf.fill([1, 3], tf.constant(FILL, tf.uint8))
    pixels = tf.concat([fill, tf.reshape(image, [-1, 3])], axis=0)
    return tf.gather(pixels, tf.reshape(numbers, [height, width]))
