"""The operations against the pixels that the official code produced (golden/autoaugment_ops)."""

import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data import augment_ops as ops
from efficientnet_tf.errors import UsageError

GOLDEN = Path(__file__).parents[1] / "golden" / "autoaugment_ops.npz.xz"
RECORD = dict(np.load(io.BytesIO(lzma.decompress(GOLDEN.read_bytes()))))
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "AutoContrast": ops.auto_contrast,
    "Brightness": ops.brightness,
    "Color": ops.color,
    "Contrast": ops.contrast,
    "Cutout": ops.cutout,
    "Equalize": ops.equalize,
    "Invert": ops.invert,
    "Posterize": ops.posterize,
    "Rotate": ops.rotate,
    "Sharpness": ops.sharpness,
    "ShearX": ops.shear_x,
    "ShearY": ops.shear_y,
    "Solarize": ops.solarize,
    "SolarizeAdd": ops.solarize_add,
    "TranslateX": ops.translate_x,
    "TranslateY": ops.translate_y,
}


def recorded_arguments(argument: str) -> list[float]:
    """Of `0.28`, of `pad=10,cy=20,cx=33`, of nothing."""
    numbers = [float(part.split("=")[-1]) for part in argument.split(",") if part]
    return [int(n) for n in numbers] if "=" in argument else numbers


# Operation -> list of (image name, arguments, expected image).
CASES: dict[str, list[tuple[str, list[float], np.ndarray]]] = {name: [] for name in FUNCTIONS}
for key, expected in RECORD.items():
    image_name, operation, *rest = key.split("|")
    if operation in CASES:
        CASES[operation].append((image_name, recorded_arguments(rest[0]), expected))


def source(name: str) -> np.ndarray:
    return RECORD[f"input|{name}"]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_the_record_covers_every_operation() -> None:
    assert min(len(cases) for cases in CASES.values()) >= 4
    assert sum(len(cases) for cases in CASES.values()) == 154


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pixels_are_the_official_ones_eagerly(name: str) -> None:
    for image, arguments, expected in CASES[name]:
        result = FUNCTIONS[name](source(image), *arguments)
        assert result.dtype == tf.uint8
        np.testing.assert_array_equal(result, expected, err_msg=f"{image} {arguments}")


@pytest.mark.parametrize("known_size", [True, False], ids=["known-size", "unknown-size"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_pixels_are_the_official_ones_in_tf_data(name: str, known_size: bool) -> None:
    cases = [case for case in CASES[name] if case[0] == "im64" or not known_size]
    shape = (64, 64, 3) if known_size else (None, None, 3)
    dtype = tf.int32 if name == "Cutout" else tf.float32
    examples = tf.data.Dataset.from_generator(
        lambda: ((source(image), arguments) for image, arguments, _ in cases),
        output_signature=(
            tf.TensorSpec(shape, tf.uint8),
            tf.TensorSpec([len(cases[0][1])], dtype),
        ),
    )
    results = examples.map(
        lambda image, arguments: FUNCTIONS[name](image, *tf.unstack(arguments)),
        num_parallel_calls=2,
    )
    assert results.element_spec == tf.TensorSpec(shape, tf.uint8)
    for result, (image, arguments, expected) in zip(results, cases, strict=True):
        np.testing.assert_array_equal(result, expected, err_msg=f"{image} {arguments}")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 5), (5, 2)])
def test_smallest_images(name: str, size: tuple[int, int]) -> None:
    arguments = CASES[name][-1][1]
    result = FUNCTIONS[name](noise(*size), *arguments)
    assert result.shape == (*size, 3)


def test_sharpness_leaves_borders_alone() -> None:
    for image in (noise(2, 2), noise(1, 7), noise(6, 5)):
        result = ops.sharpness(image, 0.0).numpy()
        border = np.ones(image.shape[:2], bool)
        border[1:-1, 1:-1] = False
        np.testing.assert_array_equal(result[border], image[border])
        assert np.all(border) or np.any(result != image)


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
    expected = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[np.newaxis],
        transforms=np.array([[*matrix, 0.0, 0.0]], np.float32),
        output_shape=image.shape[:2],
        fill_value=128.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )[0]
    assert 0.1 < np.mean(expected == 128) < 0.9  # both image and fill are seen
    np.testing.assert_array_equal(ops._project(image, list(matrix)), expected)


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
    # official.md 3.4: 196 at 224 x 224, saturated from 256 x 256 on.
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


def test_arguments_may_be_tensors_or_numbers() -> None:
    image = noise(12, 14)
    for name, arguments in (("Rotate", [11.0]), ("Posterize", [3]), ("Cutout", [2, 5, 6])):
        expected = FUNCTIONS[name](image, *arguments)
        result = FUNCTIONS[name](tf.constant(image), *map(tf.constant, arguments))
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "image",
    [np.zeros([4, 4, 3], np.float32), np.zeros([4, 4, 1], np.uint8), np.zeros([4, 3], np.uint8)],
)
@pytest.mark.parametrize("name", ["Invert", "Rotate"])
def test_images_of_another_kind_are_refused(name: str, image: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"image must be uint8 \[H, W, 3\], got .*Crop and resize"):
        FUNCTIONS[name](image, *CASES[name][0][1])


@pytest.mark.parametrize("function", [ops.solarize, ops.posterize, ops.contrast])
def test_bugs_are_official_or_fixed(function: Callable[..., Any]) -> None:
    message = r'bugs must be "official" or "fixed", got \'fix\'. Did you mean "fixed"\?'
    with pytest.raises(UsageError, match=message):
        function(noise(2, 2), 1.0, bugs="fix")
