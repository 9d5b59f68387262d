"""Shears, shifts, turns and boxes; test_plan.py has the official pixels."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden.augment_cases import noise

from efficientnet_tf.data.augment import geometry
from efficientnet_tf.errors import UsageError


def whole_image_projection(image: np.ndarray, matrix: Any) -> np.ndarray:
    """TensorFlow's operation on the three colours, filled with 128."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[np.newaxis],
        transforms=np.array([[*matrix, 0.0, 0.0]], np.float32),
        output_shape=image.shape[:2],
        fill_value=128.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )[0].numpy()


@pytest.mark.parametrize(
    "matrix",
    [
        (0.83, -0.4, 50.3, 0.21, 1.1, -37.5),
        (-1.0, 0.0, 300.0, 0.0, 1.0, 0.5),
        (0.5, 0.0, -40.5, 0.0, 0.5, 0.49999997),
    ],
)
def test_projection_is_that_of_the_op_on_the_whole_image(matrix: tuple[float, ...]) -> None:
    image = noise(300, 401)
    expected = whole_image_projection(image, matrix)
    assert 0.1 < np.mean(expected == 128) < 0.9  # both image and fill are seen
    numbered = geometry.pixel_numbers(list(matrix), 300, 401)
    np.testing.assert_array_equal(geometry.read_pixels(tf.constant(image), numbered), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (224, 224), (333, 500)], ids=str)
def test_shears_and_shifts_read_where_they_say(size: tuple[int, int]) -> None:
    image = noise(*size)
    for level in (-0.84, -0.27, 0.0, 0.03, 0.3, 0.51):
        for function, matrix in (
            (geometry.shear_x, (1, level, 0, 0, 1, 0)),
            (geometry.shear_y, (1, 0, 0, level, 1, 0)),
        ):
            expected = whole_image_projection(image, matrix)
            np.testing.assert_array_equal(function(image, level), expected)
    for pixels in (-280, -100, -1, 0, 1, 25, 225, 500, 2.0, 0.5, -0.5, 1.49999997, -112.5, 1e9):
        for function, matrix in (
            (geometry.translate_x, (1, 0, pixels, 0, 1, 0)),
            (geometry.translate_y, (1, 0, 0, 0, 1, pixels)),
        ):
            expected = whole_image_projection(image, matrix)
            for argument in (pixels, tf.constant(pixels)):  # integers stay integers
                result = function(image, argument)
                np.testing.assert_array_equal(result, expected, err_msg=str(pixels))


def test_a_quarter_turn_is_counter_clockwise() -> None:
    image = noise(31, 31)
    np.testing.assert_array_equal(geometry.rotate(image, 90.0), np.rot90(image))
    np.testing.assert_array_equal(geometry.rotate(image, -90), np.rot90(image, -1))
    np.testing.assert_array_equal(geometry.rotate(image, 0.0), image)


def test_a_turn_is_about_the_centre() -> None:
    image = np.zeros([101, 101, 3], np.uint8)
    image[50, 50] = 255
    for degrees in (-84, -30, 12.5, 51):
        result = geometry.rotate(image, degrees).numpy()
        assert result[50, 50, 0] == 255
        np.testing.assert_array_equal(result[0, 0], [128] * 3 if degrees % 90 else [0] * 3)


@pytest.mark.parametrize("degrees", [27, 27.0, -27.0, np.float32(27.0)])
def test_angles_are_rounded_as_the_official_code_rounds_them(degrees: float) -> None:
    # A number becomes radians in float64, a tensor in float32. At level 9 they differ by a bit.
    exact = np.float32(float(degrees) * (math.pi / 180.0))
    single = np.float32(degrees) * np.float32(math.pi / 180.0)
    assert exact != single
    for argument, radians in ((degrees, exact), (tf.constant(degrees, tf.float32), single)):
        cos, minus_sin, _, sin, *_ = geometry.MATRICES["Rotate"](argument, 5, 1)
        assert (cos, sin, minus_sin) == (tf.cos(radians), tf.sin(radians), -tf.sin(radians))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (20, 31)], ids=str)
def test_cutout_fills_a_square(size: tuple[int, int]) -> None:
    image = noise(*size) // 2
    height, width = size
    for half, y, x in ((0, 0, 0), (1, 0, 0), (2, 10, 30), (5, 19, 3), (112, 2, 2)):
        expected = image.copy()
        expected[max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 128
        np.testing.assert_array_equal(geometry.cutout(image, half, y, x), expected)
    middle = geometry.cutout(image, 2, height // 2, width // 2)
    np.testing.assert_array_equal(geometry.cutout(image, 2), middle)
    assert np.any(middle != image)


def test_paste_puts_a_box_in_place() -> None:
    image, box = noise(9, 7), noise(3, 2, seed=1)
    expected = image.copy()
    expected[4:7, 5:7] = box
    np.testing.assert_array_equal(geometry.paste(image, box, 4, 5), expected)
    np.testing.assert_array_equal(geometry.paste(image, box[:0, :0], 9, 7), image)


def test_arguments_may_be_tensors_or_numbers() -> None:
    image = noise(12, 14)
    for function, arguments in ((geometry.rotate, [11.0]), (geometry.cutout, [2, 5, 6])):
        expected = function(image, *arguments)
        result = function(tf.constant(image), *map(tf.constant, arguments))
        np.testing.assert_array_equal(result, expected)


def test_images_of_another_kind_are_refused() -> None:
    with pytest.raises(UsageError, match=r"image must be uint8 \[H, W, 3\], received float32"):
        geometry.rotate(np.zeros([4, 4, 3], np.float32), 3.0)
