"""Cutout and random erasing: what is painted, how often, how large, with what."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.augment.erasing import Cutout, RandomErasing
from efficientnet_tf.errors import UsageError

BLACK = np.zeros([32, 48, 3], np.uint8)


def many(augment: Any, image: np.ndarray, count: int, shape: Any = None) -> np.ndarray:
    """The image augmented with the seeds [7, 0] to [7, count - 1], in a pipeline."""
    seeds = tf.data.Dataset.range(count).map(lambda i: tf.stack([tf.constant(7, tf.int64), i]))
    results = seeds.map(lambda seed: augment(tf.constant(image), seed))
    assert results.element_spec == tf.TensorSpec(image.shape, tf.uint8)
    return next(results.batch(count).as_numpy_iterator())


def painted_boxes(images: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of what is not 0, which must be a box."""
    boxes = []
    for image in images:
        mask = np.any(image != 0, axis=-1)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (0, 0, 0, 0)
        if len(rows):
            box = (rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
            assert mask.sum() == box[2] * box[3]
        boxes.append(box)
    return boxes


def test_cutout_paints_a_grey_square_around_any_pixel() -> None:
    results = many(Cutout(size=2), np.zeros([4, 6, 3], np.uint8), 2400)
    assert set(np.unique(results)) == {0, 128}
    # The centre is the lower right of the square's four pixels; the square may be cut off.
    expected = {
        (max(y - 1, 0), max(x - 1, 0), min(y + 1, 2), min(x + 1, 2))
        for y in range(4)
        for x in range(6)
    }
    boxes = painted_boxes(results)
    assert set(boxes) == expected
    counts = np.array([boxes.count(box) for box in expected])
    assert len(counts) == 24
    assert counts.min() > 100 - 5 * np.sqrt(100)


def test_cutout_has_the_size_it_says() -> None:
    boxes = painted_boxes(many(Cutout(), BLACK, 300))
    assert max(box[2] for box in boxes) == max(box[3] for box in boxes) == 16
    assert min(box[2] for box in boxes) < 16


def test_random_erasing_paints_inside_the_ranges() -> None:
    erase = RandomErasing(probability=1.0, area=(0.05, 0.3), aspect=(0.5, 2.0), fill="grey")
    boxes = np.array(painted_boxes(many(erase, BLACK, 2000)))
    top, left, height, width = boxes.T
    # Sides are rounded to whole pixels: half a pixel to either side.
    assert np.all((height - 0.5) * (width - 0.5) <= 0.3 * BLACK[..., 0].size)
    assert np.all((height + 0.5) * (width + 0.5) >= 0.05 * BLACK[..., 0].size)
    assert np.all((height - 0.5) / (width + 0.5) <= 2.0)
    assert np.all((height + 0.5) / (width - 0.5) >= 0.5)
    for first, size, side in ((top, height, 32), (left, width, 48)):
        assert first.min() == 0
        assert (first + size).max() == side
        # The place of what is left over is uniform: mean 1/2, five standard errors.
        assert np.mean((first + 0.5) / (side - size + 1)) == pytest.approx(0.5, abs=0.04)
    # As often taller than wide as wider than tall: sqrt(2000) / 2 is a standard error.
    assert np.sum(height > width) == pytest.approx(np.sum(height < width), abs=5 * np.sqrt(2000))
    share = height * width / BLACK[..., 0].size
    assert share.mean() == pytest.approx(0.175, abs=5 * 0.0722 / np.sqrt(2000) + 0.002)


def test_random_erasing_has_its_probability() -> None:
    boxes = painted_boxes(many(RandomErasing(probability=0.25, fill="grey"), BLACK, 2000))
    erased = sum(box[2] > 0 for box in boxes)
    assert erased == pytest.approx(500, abs=5 * np.sqrt(2000 * 0.25 * 0.75))
    assert not np.any(many(RandomErasing(probability=0.0), BLACK, 20))


def test_a_box_that_never_fits_leaves_the_image() -> None:
    erase = RandomErasing(probability=1.0, area=(0.9, 0.9), aspect=(4.0, 4.0))
    assert not np.any(many(erase, BLACK, 20))


def test_fills() -> None:
    erase = {
        fill: many(RandomErasing(1.0, (0.2, 0.4), fill=fill), BLACK, 200)
        for fill in ("noise", "grey", "mean")
    }
    assert {tuple(pixel) for pixel in erase["grey"].reshape(-1, 3)} == {(0, 0, 0), (128,) * 3}
    assert {tuple(pixel) for pixel in erase["mean"].reshape(-1, 3)} == {
        (0, 0, 0),
        (124, 116, 104),  # 0.485, 0.456, 0.406 of 255
    }
    where = np.any(erase["grey"] != 0, axis=-1)
    noise = erase["noise"][where].reshape(-1)
    assert not np.any(erase["noise"][~where])  # the fill does not change the box
    counts = np.bincount(noise, minlength=256)
    expected = len(noise) / 256
    assert np.sum((counts - expected) ** 2 / expected) < 350  # chi squared, 255: p > 1e-4


@pytest.mark.parametrize("augment", [Cutout(), RandomErasing(0.5)], ids=["cutout", "erasing"])
def test_results_depend_on_the_seed_alone(augment: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    mapped = many(augment, image, 30)
    eager = np.stack([augment(image, [7, number]) for number in range(30)])
    np.testing.assert_array_equal(mapped, eager)
    assert len({result.tobytes() for result in eager}) > 8
    unknown = tf.data.Dataset.from_generator(
        lambda: iter([image]), output_signature=tf.TensorSpec([None, None, 3], tf.uint8)
    ).map(lambda x: augment(x, [7, 3]))
    np.testing.assert_array_equal(next(iter(unknown)), eager[3])


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Cutout, {"size": 0}, "size of cutout must be an even whole number .* received 0"),
        (Cutout, {"size": 15}, "size of cutout must be an even whole number .* received 15"),
        (Cutout, {"size": 16.0}, "size of cutout must be an even whole number .* received 16.0"),
        (RandomErasing, {"probability": 1.5}, "probability of random_erasing must be from 0 to 1"),
        (RandomErasing, {"probability": "x"}, "probability of random_erasing .* received 'x'"),
        (
            RandomErasing,
            {"area": (0.0, 0.4)},
            r"area .* above 0 and at most 1, received \(0.0, 0.4\)",
        ),
        (
            RandomErasing,
            {"area": (0.2, 1.4)},
            r"area .* above 0 and at most 1, received \(0.2, 1.4\)",
        ),
        (
            RandomErasing,
            {"area": 0.2},
            "area of random_erasing must be two numbers .* received 0.2",
        ),
        (RandomErasing, {"aspect": (3.0, 0.3)}, r"aspect .* above 0, received \(3.0, 0.3\)"),
        (RandomErasing, {"aspect": (1, float("inf"))}, r"aspect .* above 0, received \(1, inf\)"),
        (
            RandomErasing,
            {"fill": "gray"},
            'fill .* noise, grey, mean, received .* Did you mean "grey"',
        ),
    ],
)
def test_options_out_of_range(make: Any, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(**options)
