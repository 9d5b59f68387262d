"""The colour operations against plain NumPy; test_plan.py has the official pixels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden.augment_cases import noise

from efficientnet_tf.data.augment import ops
from efficientnet_tf.errors import UsageError

F = np.float32
# 224 x 224 fills no whole rows of vector registers less than others do; the rest are awkward.
SIZES = [(1, 1), (1, 7), (3, 2), (64, 64), (224, 224), (333, 500)]
FACTORS = (0.0, 0.1, 0.28, 0.5, 1.0, 1.36, 1.9, 3.16, 5.14)


def blended(other: Any, image: np.ndarray, factor: float) -> np.ndarray:
    other = np.asarray(other, F)
    values = other + F(factor) * (image.astype(F) - other)
    return np.clip(values, 0, 255).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    scaled = image.astype(F) * F(1 / 255)
    level = scaled[..., 0] * F(0.2989) + scaled[..., 1] * F(0.587)
    return np.floor((level + scaled[..., 2] * F(0.114)) * F(255.5))[..., np.newaxis]


def sharpened(image: np.ndarray, factor: float) -> np.ndarray:
    height, width, _ = image.shape
    total = np.zeros([max(height - 2, 0), max(width - 2, 0), 3], F)
    for row in range(3):
        for column in range(3):
            weight = F(5 / 13) if row == column == 1 else F(1 / 13)
            part = image[row : row + total.shape[0], column : column + total.shape[1]]
            total = total + part.astype(F) * weight
    smooth = image.copy()
    smooth[1:-1, 1:-1] = np.clip(total, 0, 255).astype(np.uint8)
    return blended(smooth, image, factor)


def stretched(image: np.ndarray) -> np.ndarray:
    result = image.copy()
    for colour in range(3):
        plane = image[..., colour]
        low, high = F(plane.min()), F(plane.max())
        if high > low:
            scale = F(255.0) / (high - low)
            values = plane.astype(F) * scale + -low * scale
            result[..., colour] = np.clip(values, 0, 255).astype(np.uint8)
    return result


def equalized(image: np.ndarray) -> np.ndarray:
    result = image.copy()
    for colour in range(3):
        plane = image[..., colour]
        histogram = np.bincount(plane.ravel(), minlength=256)
        step = (histogram.sum() - histogram[histogram > 0][-1]) // 255
        if step:
            table = (np.concatenate([[0], histogram.cumsum()[:-1]]) + step // 2) // step
            result[..., colour] = np.minimum(table, 255).astype(np.uint8)[plane]
    return result


def in_tf_data(function: Callable[..., Any], image: np.ndarray) -> np.ndarray:
    images = tf.data.Dataset.from_tensors(image).map(function)
    return next(images.as_numpy_iterator())


def pictures(size: tuple[int, int]) -> list[np.ndarray]:
    """Noise of all values, of few values, dark, of one value; all values in a smooth ramp."""
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).astype(np.uint8).reshape(*size, 3)
    every = noise(*size)
    return [every, every // 100 * 70 + 30, every // 8, np.full_like(every, 77), ramp]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("function", "reference"),
    [(ops.equalize, equalized), (ops.auto_contrast, stretched), (ops.invert, lambda x: 255 - x)],
    ids=["equalize", "auto_contrast", "invert"],
)
def test_operations_without_an_argument(function: Any, reference: Any, size: Any) -> None:
    for number, image in enumerate(pictures(size)):
        expected = reference(image)
        np.testing.assert_array_equal(function(image), expected, err_msg=str(number))
        np.testing.assert_array_equal(in_tf_data(function, image), expected, err_msg=str(number))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (ops.brightness, lambda image, factor: blended(0, image, factor)),
        (
            ops.contrast,
            lambda image, factor: blended(min(image.size // 3 // 256, 255), image, factor),
        ),
        (ops.color, lambda image, factor: blended(grey(image), image, factor)),
        (ops.sharpness, sharpened),
    ],
    ids=["brightness", "contrast", "color", "sharpness"],
)
def test_blends(function: Any, reference: Any, size: tuple[int, int]) -> None:
    image = noise(*size)
    factors = tf.data.Dataset.from_tensor_slices(np.array(FACTORS, F))
    mapped = factors.map(lambda factor: function(tf.constant(image), factor))
    for factor, result in zip(FACTORS, mapped, strict=True):
        expected = reference(image, factor)
        np.testing.assert_array_equal(function(image, factor), expected, err_msg=str(factor))
        np.testing.assert_array_equal(result, expected, err_msg=str(factor))


def test_every_value_with_every_threshold_addition_and_number_of_bits() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    wide = image.astype(int)
    for level in (*range(0, 257, 3), 255, 256, 300, 435, 716):
        expected = np.where(wide >= level % 256, 255 - wide, wide)
        np.testing.assert_array_equal(ops.solarize(image, level), expected)
        expected = np.where(wide < 128, np.minimum(wide + level, 255), wide)
        np.testing.assert_array_equal(ops.solarize_add(image, level), expected)
    for bits in range(1, 9):
        expected = wide >> (8 - bits) << (8 - bits)
        np.testing.assert_array_equal(ops.posterize(image, bits), expected)


def test_sharpness_leaves_borders_alone() -> None:
    for image in (noise(2, 2), noise(1, 7), noise(6, 5)):
        result = ops.sharpness(image, 0.0).numpy()
        border = np.ones(image.shape[:2], bool)
        border[1:-1, 1:-1] = False
        np.testing.assert_array_equal(result[border], image[border])
        assert np.all(border) or np.any(result != image)


def test_grey_levels_are_those_of_float32_in_the_official_order() -> None:
    # Integers would round some colours otherwise, and so does a matrix product with fused adds.
    red, green, blue = np.meshgrid(
        np.arange(0, 256, 5), np.arange(256), np.arange(256), indexing="ij"
    )
    image = np.stack([red, green, blue], axis=-1).astype(np.uint8).reshape(-1, 256, 3)
    scaled = image.astype(np.float32) * np.float32(1 / 255)
    grey = scaled[..., 0] * np.float32(0.2989) + scaled[..., 1] * np.float32(0.587)
    grey = (grey + scaled[..., 2] * np.float32(0.114)) * np.float32(255.5)
    expected = np.repeat(grey.astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    result = next(iter(tf.data.Dataset.from_tensors(image).map(lambda x: ops.color(x, 0.0))))
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("size", "level"), [((224, 224), 196), ((256, 256), 255), ((300, 300), 255)]
)
def test_official_contrast_blends_with_a_level_that_only_depends_on_the_size(
    size: tuple[int, int], level: int
) -> None:
    # The official code has 196 at 224 x 224, saturated from 256 x 256 on.
    assert np.all(ops.contrast(noise(*size), 0.0).numpy() == level)


def test_fixed_contrast_blends_with_the_mean() -> None:
    image = noise(50, 61) // 3
    grey = tf.image.rgb_to_grayscale(image).numpy().astype(np.float64)
    mean = np.floor(grey.mean() + 0.5)
    result = ops.contrast(image, 0.0, bugs="fixed").numpy()
    assert np.all(result == mean)
    half = ops.contrast(image, 0.5, bugs="fixed").numpy()
    np.testing.assert_array_equal(half, np.floor(mean + 0.5 * (image - mean)))
    # Rounded to the nearest: 1 of 4 and 3 of 4 white pixels make 64 and 191.
    for white, level in ((1, 64), (3, 191)):
        quarter = np.zeros([4, 1, 3], np.uint8)
        quarter[:white] = 255
        assert np.all(ops.contrast(quarter, 0.0, bugs="fixed").numpy() == level)


def test_solarize_from_256_on() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    for threshold in (256, 300, 716):
        wrapped = ops.solarize(image, threshold % 256)
        np.testing.assert_array_equal(ops.solarize(image, threshold), wrapped)
        np.testing.assert_array_equal(ops.solarize(image, threshold, bugs="fixed"), image)
    for threshold in (0, 1, 128, 255):
        expected = np.where(image >= threshold, 255 - image, image)
        np.testing.assert_array_equal(ops.solarize(image, threshold, bugs="fixed"), expected)


def test_posterize_outside_1_to_8_bits() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    one_bit = image // 128 * 128
    for bits in (0, 9, 11, 12):
        np.testing.assert_array_equal(ops.posterize(image, bits), one_bit)
    np.testing.assert_array_equal(ops.posterize(image, 0, bugs="fixed"), one_bit)
    for bits in (8, 9, 11):
        np.testing.assert_array_equal(ops.posterize(image, bits, bugs="fixed"), image)
    np.testing.assert_array_equal(ops.posterize(image, 3, bugs="fixed"), image // 32 * 32)


def test_solarize_add_saturates() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    expected = np.where(image < 128, 255, image)
    np.testing.assert_array_equal(ops.solarize_add(image, 308), expected)


@pytest.mark.parametrize(
    "image",
    [np.zeros([4, 4, 3], np.float32), np.zeros([4, 4, 1], np.uint8), np.zeros([4, 3], np.uint8)],
)
def test_images_of_another_kind_are_refused(image: np.ndarray) -> None:
    with pytest.raises(
        UsageError, match=r"image must be uint8 \[H, W, 3\], received .*Crop and resize"
    ):
        ops.invert(image)


@pytest.mark.parametrize("seed", [(3, 4), [3, 4], np.int32([3, 4]), tf.constant([3, 4])], ids=str)
def test_seeds_are_two_int64(seed: Any) -> None:
    result = ops.as_seed(seed)
    assert result.dtype == tf.int64
    np.testing.assert_array_equal(result, [3, 4])


def test_a_single_seed_is_the_second_of_two() -> None:
    for seed in (5, 2**40, np.uint8(9), tf.constant(7)):
        np.testing.assert_array_equal(ops.as_seed(seed), [0, int(seed)])


@pytest.mark.parametrize(
    ("seed", "received"),
    [
        ([1, 2, 3], r"int64 \(3,\)"),
        ([[1, 2]], r"int64 \(1, 2\)"),
        (0.5, r"float64 \(\)"),
        (tf.constant([1.0, 2.0]), r"float32 \(2,\)"),
    ],
    ids=str,
)
def test_other_seeds_are_refused(seed: Any, received: str) -> None:
    with pytest.raises(
        UsageError, match=f"seed must be an integer or two of them, received {received}"
    ):
        ops.as_seed(seed)


@pytest.mark.parametrize("function", [ops.solarize, ops.posterize, ops.contrast])
def test_bugs_are_official_or_fixed(function: Callable[..., Any]) -> None:
    message = r'bugs must be "official" or "fixed", received \'fix\'. Did you mean "fixed"\?'
    with pytest.raises(UsageError, match=message):
        function(noise(2, 2), 1.0, bugs="fix")
