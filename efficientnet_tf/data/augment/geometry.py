"""The geometric operations of AutoAugment and RandAugment, and filled boxes, on one uint8 image.

As in ops.py every function takes and returns uint8 [H, W, 3], is a pure function, and
gives the pixels of the official code bit for bit. What comes from outside the image is grey 128.

Offsets and angles move the place that is read, so the picture moves the other way. Pixels are
moved in two steps: which pixel goes where (`pixel_numbers`, which depends on size and argument
only, so that a policy can have it ready), and moving them (`read_pixels`). Whole numbers of
pixels are moved by slicing, ten times as fast.

Differences
- from the AutoAugment paper (1805.09501): that names operations and ranges only; fill, nearest
  neighbour and rounding are the official code's.
- from the official TPU code: no pixel. There a fourth channel marks what is outside.
- from Keras: its layers work in float32, interpolate and mirror at the border.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.augment.ops import Scalar, image_op

FILL = 128  # grey level of pixels that come from outside the image, and of cut-out squares

# The first six entries of a projection: (x, y) gets what is at (a x + b y + c, d x + e y + f).
Matrix = list[Any]


def _shear_x(level: Scalar, height: Scalar, width: Scalar) -> Matrix:
    return [1.0, level, 0.0, 0.0, 1.0, 0.0]


def _shear_y(level: Scalar, height: Scalar, width: Scalar) -> Matrix:
    return [1.0, 0.0, 0.0, level, 1.0, 0.0]


def _translate_x(pixels: Scalar, height: Scalar, width: Scalar) -> Matrix:
    return [1.0, 0.0, pixels, 0.0, 1.0, 0.0]


def _translate_y(pixels: Scalar, height: Scalar, width: Scalar) -> Matrix:
    return [1.0, 0.0, 0.0, 0.0, 1.0, pixels]


def _rotate(degrees: Scalar, height: Scalar, width: Scalar) -> Matrix:
    # The official code multiplies what it is given: a tensor in float32, a number in float64.
    # The last bit of the angle decides which of two pixels is the nearest.
    if isinstance(degrees, numbers.Real):
        degrees = float(degrees)
    radians = tf.cast(degrees * (math.pi / 180.0), tf.float32)
    cos, sin = tf.cos(radians), tf.sin(radians)
    bottom, right = tf.cast(height - 1, tf.float32), tf.cast(width - 1, tf.float32)
    x_offset = (right - (cos * right - sin * bottom)) / 2.0
    y_offset = (bottom - (sin * right + cos * bottom)) / 2.0
    return [cos, -sin, x_offset, sin, cos, y_offset]


# (argument, height, width) -> matrix. Integers and floats may be numbers or tensors.
MATRICES: dict[str, Callable[[Scalar, Scalar, Scalar], Matrix]] = {
    "Rotate": _rotate,
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
}


def pixel_numbers(matrix: Matrix, height: Scalar, width: Scalar) -> tf.Tensor:
    """The number of the pixel, nearest, that each place of a projected image reads.

    Returns:
        int32 [H, W]; 0 is outside, the pixel in row y and column x has number y * W + x + 1.
    """
    numbered = tf.reshape(tf.range(1, height * width + 1), [1, height, width, 1])
    entries = tf.stack([tf.cast(entry, tf.float32) for entry in [*matrix, 0.0, 0.0]])
    projected = tf.raw_ops.ImageProjectiveTransformV3(
        images=numbered,
        transforms=entries[tf.newaxis],
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    return tf.reshape(projected, [height, width])


def read_pixels(image: tf.Tensor, numbered: tf.Tensor) -> tf.Tensor:
    """The pixels of uint8 [H, W, 3] that `numbered` [H, W] of `pixel_numbers` names."""
    fill = tf.fill([1, 3], tf.constant(FILL, tf.uint8))
    return tf.gather(tf.concat([fill, tf.reshape(image, [-1, 3])], axis=0), numbered)


@image_op
def shear_x(image: tf.Tensor, level: Scalar) -> tf.Tensor:
    """Reads (x + level * y, y) at (x, y): the top row stays."""
    return _project(image, "ShearX", level)


@image_op
def shear_y(image: tf.Tensor, level: Scalar) -> tf.Tensor:
    """Reads (x, y + level * x) at (x, y): the left column stays."""
    return _project(image, "ShearY", level)


@image_op
def rotate(image: tf.Tensor, degrees: Scalar) -> tf.Tensor:
    """Turns the picture about its centre, counter-clockwise if positive."""
    return _project(image, "Rotate", degrees)


@image_op
def translate_x(image: tf.Tensor, pixels: Scalar) -> tf.Tensor:
    """Reads (x + pixels, y) at (x, y): positive moves the picture to the left."""
    whole = _whole(pixels)
    if whole is None:
        return _project(image, "TranslateX", pixels)
    height, width = tf.unstack(tf.shape(image)[:2])
    to_left, to_right = tf.unstack(tf.clip_by_value([whole, -whole], 0, width))
    left, right = (_filled([height, columns, 3]) for columns in (to_right, to_left))
    return tf.concat([left, image[:, to_left : width - to_right], right], axis=1)


@image_op
def translate_y(image: tf.Tensor, pixels: Scalar) -> tf.Tensor:
    """Reads (x, y + pixels) at (x, y): positive moves the picture up."""
    whole = _whole(pixels)
    if whole is None:
        return _project(image, "TranslateY", pixels)
    height, width = tf.unstack(tf.shape(image)[:2])
    up, down = tf.unstack(tf.clip_by_value([whole, -whole], 0, height))
    top, bottom = (_filled([rows, width, 3]) for rows in (down, up))
    return tf.concat([top, image[up : height - down], bottom], axis=0)


@image_op
def cutout(
    image: tf.Tensor,
    half_side: Scalar,
    centre_y: Scalar | None = None,
    centre_x: Scalar | None = None,
) -> tf.Tensor:
    """Fills rows and columns from centre - half_side up to, not with, centre + half_side.

    The centre is that of the image (for an even side, the pixel after it) if not given.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    half_side = tf.cast(half_side, tf.int32)
    centre_y = height // 2 if centre_y is None else tf.cast(centre_y, tf.int32)
    centre_x = width // 2 if centre_x is None else tf.cast(centre_x, tf.int32)
    top, bottom = tf.unstack(
        tf.clip_by_value([centre_y - half_side, centre_y + half_side], 0, height)
    )
    left, right = tf.unstack(
        tf.clip_by_value([centre_x - half_side, centre_x + half_side], 0, width)
    )
    return paste(image, _filled([bottom - top, right - left, 3]), top, left)


@image_op
def paste(image: tf.Tensor, box: tf.Tensor, top: Scalar, left: Scalar) -> tf.Tensor:
    """The image with `box`, uint8 [h, w, 3], in place of what is from row `top`, column `left` on.

    The box must fit; it may be empty.
    """
    bottom, right = top + tf.shape(box)[0], left + tf.shape(box)[1]
    middle = image[top:bottom]
    middle = tf.concat([middle[:, :left], box, middle[:, right:]], axis=1)
    return tf.concat([image[:top], middle, image[bottom:]], axis=0)


def _project(image: tf.Tensor, operation: str, argument: Scalar) -> tf.Tensor:
    height, width = tf.unstack(tf.shape(image)[:2])
    matrix = MATRICES[operation](argument, height, width)
    return read_pixels(image, pixel_numbers(matrix, height, width))


def _whole(pixels: Scalar) -> Scalar | None:
    """int32, if `pixels` is a whole number and known to be so: by its value or by its dtype."""
    if isinstance(pixels, numbers.Real):
        value = float(pixels)
        # Below 2**24 adding a whole number is exact in float32, and no image is that wide.
        return int(value) if value.is_integer() and abs(value) < 2**24 else None
    pixels = tf.convert_to_tensor(pixels)
    return tf.cast(pixels, tf.int32) if pixels.dtype.is_integer else None


def _filled(shape: list[Any]) -> tf.Tensor:
    return tf.fill(shape, tf.constant(FILL, tf.uint8))
