"""Every operation by name against the official pixels (golden/autoaugment_ops); plans in graphs."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden import augment_cases
from golden.augment_cases import CASES, noise

from efficientnet_tf.data.augment.levels import LEVELS, OPERATIONS, RANDAUGMENT_LEVELS
from efficientnet_tf.data.augment.plan import OPS, Plan


def test_the_record_covers_every_operation() -> None:
    assert sorted(CASES) == sorted(OPS) == sorted(OPERATIONS)
    assert min(len(cases) for cases in CASES.values()) >= 4
    assert sum(len(cases) for cases in CASES.values()) == 154


@pytest.mark.parametrize("name", OPERATIONS)
def test_pixels_are_the_official_ones_eagerly(name: str) -> None:
    for image, arguments, expected in CASES[name]:
        result = OPS[name](augment_cases.image(image), *arguments)
        assert result.dtype == tf.uint8
        np.testing.assert_array_equal(result, expected, err_msg=f"{image} {arguments}")


@pytest.mark.parametrize("known_size", [True, False], ids=["known-size", "unknown-size"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_pixels_are_the_official_ones_in_tf_data(name: str, known_size: bool) -> None:
    cases = [case for case in CASES[name] if case[0] == "im64" or not known_size]
    shape = (64, 64, 3) if known_size else (None, None, 3)
    dtype = tf.int32 if name == "Cutout" else tf.float32
    examples = tf.data.Dataset.from_generator(
        lambda: ((augment_cases.image(image), arguments) for image, arguments, _ in cases),
        output_signature=(
            tf.TensorSpec(shape, tf.uint8),
            tf.TensorSpec([len(cases[0][1])], dtype),
        ),
    )
    results = examples.map(
        lambda image, arguments: OPS[name](image, *tf.unstack(arguments)), num_parallel_calls=2
    )
    assert results.element_spec == tf.TensorSpec(shape, tf.uint8)
    for result, (image, arguments, expected) in zip(results, cases, strict=True):
        np.testing.assert_array_equal(result, expected, err_msg=f"{image} {arguments}")


@pytest.mark.parametrize("name", ["AutoContrast", "Equalize", "Invert"])
def test_an_argument_that_means_nothing_is_ignored(name: str) -> None:
    for image, _, expected in CASES[name]:
        for argument in (None, 7.0):
            result = OPS[name](augment_cases.image(image), argument)
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 5), (3, 2)], ids=str)
def test_smallest_images(name: str, size: tuple[int, int]) -> None:
    result = OPS[name](noise(*size), *CASES[name][-1][1])
    assert result.shape == (*size, 3)


STEPS = [(name, 1.0, level) for name in OPERATIONS for level in (0, 3, 4.5, 10, 28)]


@pytest.mark.parametrize("bugs", ["official", "fixed"])
@pytest.mark.parametrize("known_size", [True, False], ids=["known-size", "unknown-size"])
def test_a_step_in_a_graph_is_its_operation(known_size: bool, bugs: str) -> None:
    image = noise(40, 56)
    shape = (40, 56, 3) if known_size else (None, None, 3)

    def apply(image: tf.Tensor, row: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        uniform = [[0.5, tf.where(negative, 0.0, 0.5), 0.26, 0.99]]  # centre: 10, 55
        return Plan(STEPS, LEVELS, bugs, image).apply(row[tf.newaxis], tf.stack(uniform))

    rows = tf.data.Dataset.range(2 * len(STEPS))
    images = tf.data.Dataset.from_generator(
        lambda: iter([image] * (2 * len(STEPS))), output_signature=tf.TensorSpec(shape, tf.uint8)
    )
    results = tf.data.Dataset.zip(images, rows).map(
        lambda image, row: apply(image, tf.cast(row // 2, tf.int32), row % 2 == 1)
    )
    assert results.element_spec == tf.TensorSpec(shape, tf.uint8)
    for number, result in enumerate(results):
        name, _, level = STEPS[number // 2]
        arguments = expected_arguments(name, level, number % 2 == 1, bugs)
        options = {"bugs": bugs} if name in ("Posterize", "Solarize", "Contrast") else {}
        expected = OPS[name](image, *arguments, **options)
        np.testing.assert_array_equal(result, expected, err_msg=f"{name} {level} {arguments}")


def expected_arguments(name: str, level: float, negative: bool, bugs: str) -> list[Any]:
    argument = LEVELS[name](level)
    if name in ("TranslateX", "TranslateY") and bugs == "fixed":
        share = np.float32(min(level / 10, 1) * 150 / 331)
        argument = share * np.float32({"TranslateX": 56, "TranslateY": 40}[name])
    if name in ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"):
        # As a tensor, since a graph has float32 angles.
        return [tf.constant(-argument if negative else argument, tf.float32)]
    return [argument, 10, 55] if name == "Cutout" else [argument]


def test_a_step_is_left_out_by_its_probability() -> None:
    image = noise(8, 8)
    plan = Plan([("Invert", 0.3, 0)], LEVELS, "official", image)
    for uniform, expected in ((0.69, image), (0.71, 255 - image)):
        values = tf.constant([[uniform, 0, 0, 0]], tf.float32)
        np.testing.assert_array_equal(plan.apply(tf.constant([0]), values), expected)


def test_layers_follow_each_other() -> None:
    image = noise(30, 31)
    steps = [("ShearX", 1.0, 5), ("Posterize", 1.0, 3), ("TranslateY", 1.0, 0.55)]
    uniform = tf.tile([[0.5, 0.9, 0.0, 0.0]], [3, 1])

    @tf.function(autograph=False)
    def apply(rows: tf.Tensor) -> tf.Tensor:
        return Plan(steps, RANDAUGMENT_LEVELS, "official", tf.constant(image)).apply(rows, uniform)

    for rows in ([0, 1, 2], [2, 0, 1], [1, 1, 0]):
        expected = image
        for row in rows:
            name, _, level = steps[row]
            expected = OPS[name](expected, RANDAUGMENT_LEVELS[name](level))
        np.testing.assert_array_equal(apply(tf.constant(rows)), expected)
