"""AutoAugment and RandAugment against recorded pixels (golden/autoaugment_ops); the draws."""

import collections
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden.augment_cases import RECORD

from efficientnet_tf.data.augment.autoaugment import (
    OPS,
    POLICY_V0,
    RANDAUGMENT_LEVELS,
    autoaugment,
    autoaugment_batch,
    randaugment,
    randaugment_batch,
)
from efficientnet_tf.data.augment.levels import OPERATIONS
from efficientnet_tf.errors import UsageError

TABLES = json.loads((Path(__file__).parents[2] / "golden" / "autoaugment.json").read_text())
IMAGE = RECORD["input|im64"]
SEED = tf.constant([5, 6], tf.int64)


def many(augment: Any, image: np.ndarray, count: int) -> np.ndarray:
    """The image augmented with the seeds [7, 0] to [7, count - 1], in a pipeline."""
    seeds = tf.data.Dataset.range(count).map(lambda i: tf.stack([tf.constant(7, tf.int64), i]))
    results = seeds.map(lambda seed: augment(tf.constant(image), seed))
    assert results.element_spec == tf.TensorSpec(image.shape, tf.uint8)
    return next(results.batch(count).as_numpy_iterator())


def distinct(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def single(operation: str, level: float, probability: float = 1.0) -> Any:
    """A policy of one operation."""
    return [[(operation, probability, level)]]


@pytest.mark.parametrize("number", range(25))
def test_sub_policies_make_the_official_pixels(number: int) -> None:
    policy = [[(name, 1.0, level) for name, _, level in POLICY_V0[number]]]
    results = distinct(many(lambda *a: autoaugment(*a, policy=policy), IMAGE, 24))
    assert RECORD[f"im64|v0|{number}"].tobytes() in results
    # Recorded without changes of sign. Those are the only other results.
    signed = sum(name in TABLES["randomly_negated"] for name, _, level in policy[0] if level)
    assert len(results) == (1 if number == 15 else 2**signed)  # 16th: all grey


@pytest.mark.parametrize("magnitude", [9, 17, 28])
def test_randaugment_makes_the_official_pixels(magnitude: int) -> None:
    results = distinct(many(lambda *a: randaugment(*a, 1, magnitude), IMAGE, 400))
    recorded = {}
    for key, image in RECORD.items():
        if key.startswith(f"im64|rand{magnitude}|"):
            recorded[key.split("|")[-1]] = image
    assert sorted([*recorded, "Cutout"]) == sorted(OPERATIONS)
    for operation, image in recorded.items():
        assert image.tobytes() in results, operation
    # A translation to the other side leaves nothing either.
    others = results - distinct(np.stack(list(recorded.values())))
    for operation in ("Rotate", "ShearX", "ShearY"):
        negated = OPS[operation](IMAGE, -RANDAUGMENT_LEVELS[operation](magnitude))
        others.remove(negated.numpy().tobytes())
    # What is left is cut out: as before or grey.
    for other in others:
        image = np.frombuffer(other, np.uint8).reshape(IMAGE.shape)
        assert np.all((image == IMAGE) | (image == 128))
        assert np.any(np.all(image == 128, axis=-1))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_half_of_the_shifts_and_turns_go_the_other_way(operation: str) -> None:
    results = many(lambda *a: autoaugment(*a, policy=single(operation, 1)), IMAGE, 200)
    counts = collections.Counter(image.tobytes() for image in results)
    if operation == "Cutout":
        assert len(counts) > 100  # centres
    elif operation in TABLES["randomly_negated"]:
        assert len(counts) == 2
        assert min(counts.values()) > 100 - 5 * np.sqrt(200 / 4)
    else:
        assert len(counts) == 1


def test_the_centre_of_a_cut_out_square_may_be_any_pixel() -> None:
    image = np.zeros([4, 6, 3], np.uint8)
    results = many(lambda *a: autoaugment(*a, policy=single("Cutout", 0.15)), image, 2400)
    # Half a side of one pixel: the lower right one of the square's four is the centre.
    expected = {OPS["Cutout"](image, 1, y, x).numpy().tobytes() for y in range(4) for x in range(6)}
    counts = collections.Counter(result.tobytes() for result in results)
    assert set(counts) == expected
    assert len(expected) == 24
    assert min(counts.values()) > 100 - 5 * np.sqrt(100)


def test_an_operation_is_applied_with_its_probability() -> None:
    image = np.zeros([1, 1, 3], np.uint8)
    for probability in (0.0, 0.2, 0.8, 1.0):
        policy = single("Invert", 0, probability)
        share = np.mean(many(lambda *a, p=policy: autoaugment(*a, policy=p), image, 2000)) / 255
        tolerance = 5 * np.sqrt(probability * (1 - probability) / 2000)
        assert share == pytest.approx(probability, abs=tolerance + 1e-9)


def test_operations_of_a_sub_policy_are_applied_independently() -> None:
    # From black, SolarizeAdd makes 11, 22 or, of both, 33.
    policy = [[("SolarizeAdd", 0.5, 1), ("SolarizeAdd", 0.5, 2)]]
    image = np.zeros([1, 1, 3], np.uint8)
    results = many(lambda *a: autoaugment(*a, policy=policy), image, 2000)[:, 0, 0, 0]
    counts = collections.Counter(results.tolist())
    assert sorted(counts) == [0, 11, 22, 33]
    for count in counts.values():
        assert count == pytest.approx(500, abs=5 * np.sqrt(2000 * 0.25 * 0.75))


def test_choice_chance_and_sign_are_drawn_independently() -> None:
    image = IMAGE[:12, :12] // 2  # below 128, so that SolarizeAdd adds
    tolerance = 5 * np.sqrt(2000 * 0.25)
    for policy in (
        single("ShearX", 10, 0.5),  # half of the images are sheared, to either side
        [[("SolarizeAdd", 0.5, 1)], [("SolarizeAdd", 0.5, 2)]],
    ):
        results = many(lambda *a, p=policy: autoaugment(*a, policy=p), image, 2000)
        counts = collections.Counter(result.tobytes() for result in results)
        assert counts.pop(image.tobytes()) == pytest.approx(1000, abs=tolerance)
        assert list(counts.values()) == pytest.approx([500, 500], abs=tolerance)


def test_sub_policies_are_equally_likely() -> None:
    # From black, level L makes min(11 L, 255): another grey for each.
    policy = [[("SolarizeAdd", 1.0, level)] for level in range(25)]
    image = np.zeros([1, 1, 3], np.uint8)
    results = many(lambda *a: autoaugment(*a, policy=policy), image, 5000)[:, 0, 0, 0]
    counts = np.unique(results, return_counts=True)[1]
    assert len(counts) == 25
    assert np.sum((counts - 200) ** 2 / 200) < 60  # chi squared, 24 degrees of freedom: p > 1e-4


def test_randaugment_chooses_among_all_operations_alike() -> None:
    results = many(lambda *a: randaugment(*a, 1, 2), IMAGE[:32, :32], 6400)
    ordered = collections.Counter(image.tobytes() for image in results).most_common()
    counts = np.array([count for _, count in ordered])
    # Ten operations make one picture, five make one for each sign; Cutout makes the others.
    tolerance = 5 * np.sqrt(6400 / 16)
    np.testing.assert_allclose(counts[:10], 400, atol=tolerance)
    np.testing.assert_allclose(counts[10:20], 200, atol=tolerance)
    assert counts[20] < 30
    assert counts[20:].sum() == pytest.approx(400, abs=tolerance)


def test_randaugment_layers_choose_independently() -> None:
    image = np.zeros([1, 1, 3], np.uint8)
    results = many(lambda *a: randaugment(*a, 2, 3), image, 12_800)[:, 0, 0, 0]
    # SolarizeAdd adds 33: only after itself does it make 66, only Invert after it makes 222.
    for value in (66, 222):
        assert np.sum(results == value) == pytest.approx(50, abs=5 * np.sqrt(50))


@pytest.mark.parametrize("augment", [autoaugment, randaugment])
def test_results_depend_on_the_seed_alone(augment: Any) -> None:
    expected = np.stack([augment(IMAGE, tf.constant([7, number])) for number in range(60)])
    assert len(distinct(expected)) > 20
    np.testing.assert_array_equal(many(augment, IMAGE, 60), expected)  # int64 seeds, a pipeline
    seeds = tf.data.Dataset.range(60).map(lambda i: tf.stack([tf.constant(7, tf.int64), i]))
    threaded = seeds.map(lambda seed: augment(IMAGE, seed), num_parallel_calls=4)
    np.testing.assert_array_equal(list(threaded), expected)


@pytest.mark.parametrize("augment", [autoaugment, randaugment])
def test_images_of_unknown_size(augment: Any) -> None:
    images = [IMAGE, RECORD["input|rect"], IMAGE[:50, :9]] * 8
    examples = tf.data.Dataset.from_generator(
        lambda: ((image, [3, number]) for number, image in enumerate(images)),
        output_signature=(tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int32)),
    )
    results = examples.map(lambda image, seed: augment(image, seed))
    assert results.element_spec == tf.TensorSpec([None, None, 3], tf.uint8)
    for number, (image, result) in enumerate(zip(images, results, strict=True)):
        np.testing.assert_array_equal(result, augment(image, [3, number]))


@pytest.mark.parametrize(
    ("of_batch", "of_image"),
    [(autoaugment_batch, autoaugment), (randaugment_batch, randaugment)],
    ids=["autoaugment", "randaugment"],
)
def test_a_batch_is_augmented_image_by_image(of_batch: Any, of_image: Any) -> None:
    images = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]])
    seeds = tf.random.experimental.stateless_split(SEED, 3)
    expected = [of_image(image, seed) for image, seed in zip(images, seeds, strict=True)]
    np.testing.assert_array_equal(of_batch(images, [5, 6]), expected)
    batches = tf.data.Dataset.from_tensor_slices(images).batch(3)
    mapped = batches.map(lambda batch: of_batch(batch, [5, 6]))
    assert mapped.element_spec == tf.TensorSpec([None, 64, 64, 3], tf.uint8)
    np.testing.assert_array_equal(next(iter(mapped)), expected)


def test_options_of_a_batch() -> None:
    images = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]])
    ten = randaugment_batch(images, [5, 6], 1, 0, bugs="fixed")
    seeds = tf.random.experimental.stateless_split(SEED, 3)
    for image, seed, result in zip(images, seeds, ten, strict=True):
        np.testing.assert_array_equal(randaugment(image, seed, 1, 0, bugs="fixed"), result)
    inverted = autoaugment_batch(images, [5, 6], policy=single("Solarize", 10), bugs="official")
    np.testing.assert_array_equal(inverted, 255 - images)
    unchanged = autoaugment_batch(images, [5, 6], policy=single("Solarize", 10), bugs="fixed")
    np.testing.assert_array_equal(unchanged, images)


def test_the_16th_sub_policy_is_only_grey_with_the_official_bugs() -> None:
    image = np.tile(IMAGE // 2, [4, 4, 1])[:224, :224]  # darker than the fill
    policy = [[("Rotate", 1.0, 7), ("TranslateY", 1.0, 9)]]
    for seed in range(6):
        # As in the official code 225 pixels, so nothing is left of 224.
        official = autoaugment(image, [seed, 0], policy=policy)
        assert np.all(official.numpy() == 128)
        fixed = autoaugment(image, [seed, 0], policy=policy, bugs="fixed").numpy()
        shift = 0.9 * 150 / 331 * 224  # pixels, of the AutoAugment paper's share
        expected = [
            OPS["TranslateY"](OPS["Rotate"](image, degrees), pixels).numpy().tobytes()
            for degrees in (-21, 21)
            for pixels in (-shift, shift)
        ]
        assert fixed.tobytes() in expected


def test_fixed_translations_are_a_share_of_the_side() -> None:
    image = RECORD["input|rect"]  # 48 x 60: sides differ
    for operation, side in (("TranslateX", 60), ("TranslateY", 48)):
        policy = single(operation, 10)
        results = many(lambda *a, p=policy: autoaugment(*a, policy=p, bugs="fixed"), image, 20)
        pixels = np.float32(150 / 331) * np.float32(side)
        expected = np.stack([OPS[operation](image, pixels), OPS[operation](image, -pixels)])
        assert distinct(results) == distinct(expected)


def test_other_fixed_bugs() -> None:
    def fixed(operation: str, level: float) -> Any:
        return autoaugment(IMAGE, [1, 1], policy=single(operation, level), bugs="fixed")

    np.testing.assert_array_equal(fixed("Solarize", 10), IMAGE)
    np.testing.assert_array_equal(fixed("Posterize", 28), IMAGE)
    np.testing.assert_array_equal(fixed("Posterize", 2), IMAGE // 128 * 128)
    expected = OPS["Contrast"](IMAGE, 1.9, bugs="fixed")
    np.testing.assert_array_equal(fixed("Contrast", 10), expected)
    assert np.any(autoaugment(IMAGE, [1, 1], policy=single("Contrast", 10)) != expected)
    results = many(lambda *a: randaugment(*a, 1, 10, bugs="fixed"), IMAGE, 200)
    assert expected.numpy().tobytes() in distinct(results)


def test_bugs_only_matter_where_there_are_some() -> None:
    results = {
        bugs: many(functools.partial(autoaugment, bugs=bugs), IMAGE, 100)
        for bugs in ("official", "fixed")
    }
    same = np.all(results["official"] == results["fixed"], axis=(1, 2, 3))
    assert 0.85 < np.mean(same) < 1  # two of 25 sub-policies differ


@pytest.mark.parametrize("augment", [autoaugment, randaugment])
def test_a_seed_may_be_a_single_integer(augment: Any) -> None:
    for seed in (0, 5, 2**40, np.int64(9)):
        expected = augment(IMAGE, tf.constant([0, seed], tf.int64))
        np.testing.assert_array_equal(augment(IMAGE, seed), expected)
        scalar = tf.constant(seed, tf.int64)
        np.testing.assert_array_equal(augment(IMAGE, scalar), expected)


def test_other_arguments_that_cannot_be() -> None:
    for augment in (autoaugment, randaugment):
        with pytest.raises(UsageError, match=r"image must be uint8 \[H, W, 3\], received float32"):
            augment(IMAGE.astype(np.float32), [0, 0])
        with pytest.raises(UsageError, match="bugs must be"):
            augment(IMAGE, [0, 0], bugs="none")
        with pytest.raises(UsageError, match="num_layers must be a whole number"):
            randaugment(IMAGE, [0, 0], 0)
        with pytest.raises(UsageError, match="policy must have sub-policies"):
            autoaugment(IMAGE, [0, 0], policy=[])
