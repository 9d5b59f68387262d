"""The text of `augment=`: what it means, and what is refused."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.augment.augmentation import (
    NAMES,
    Augmentation,
    AutoAugment,
    RandAugment,
    parse_augment,
)
from efficientnet_tf.data.augment.autoaugment import autoaugment, randaugment
from efficientnet_tf.data.augment.erasing import Cutout, RandomErasing
from efficientnet_tf.data.augment.mixup import CutMix, Mixup, mix_batches
from efficientnet_tf.errors import UsageError

IMAGE = np.random.default_rng(3).integers(0, 256, (24, 24, 3), np.uint8)


@pytest.mark.parametrize(
    ("spec", "steps", "mixers"),
    [
        ("none", (), ()),
        ("autoaugment", (AutoAugment("official"),), ()),
        ("autoaugment()", (AutoAugment("official"),), ()),
        ("autoaugment(bugs='fixed')", (AutoAugment("fixed"),), ()),
        (" autoaugment( bugs = fixed ) ", (AutoAugment("fixed"),), ()),
        ("randaugment", (RandAugment(2, 10, "official"),), ()),
        ("randaugment(magnitude=17.5, num_layers=3)", (RandAugment(3, 17.5),), ()),
        ("cutout(size=8)", (Cutout(8),), ()),
        ("random_erasing(probability=0.25)", (RandomErasing(0.25),), ()),
        (
            "random_erasing(area=(0.1, 0.2), fill=mean)",
            (RandomErasing(area=(0.1, 0.2), fill="mean"),),
            (),
        ),
        ("mixup", (), (Mixup(0.2),)),
        ("cutmix(alpha=0.5)+mixup(alpha=1)", (), (CutMix(0.5), Mixup(1))),
        (
            "randaugment(num_layers=2, magnitude=17) + random_erasing+mixup",
            (RandAugment(2, 17), RandomErasing()),
            (Mixup(),),
        ),
    ],
)
def test_what_a_text_means(spec: str, steps: Any, mixers: Any) -> None:
    assert parse_augment(spec) == Augmentation(spec, steps, mixers)


def test_nothing_to_do_is_none() -> None:
    nothing = parse_augment("none")
    assert nothing.image is None
    assert nothing.batch is None
    assert parse_augment("cutout").batch is None
    assert parse_augment("mixup").image is None


def test_single_steps_are_the_functions_of_their_names() -> None:
    for seed in ([7, 1], [7, 2], [7, 5]):
        for spec, expected in (
            ("autoaugment", autoaugment(IMAGE, seed)),
            ("autoaugment(bugs=fixed)", autoaugment(IMAGE, seed, bugs="fixed")),
            ("randaugment", randaugment(IMAGE, seed, 2, 10)),
            (
                "randaugment(num_layers=3, magnitude=28, bugs='fixed')",
                randaugment(IMAGE, seed, 3, 28, bugs="fixed"),
            ),
            ("cutout(size=4)", Cutout(4)(IMAGE, seed)),
        ):
            image = parse_augment(spec).image
            assert image is not None
            np.testing.assert_array_equal(image(IMAGE, seed), expected)


def test_steps_follow_each_other_with_seeds_of_their_own() -> None:
    erase = "random_erasing(probability=1, fill=grey)"
    image = parse_augment(f"autoaugment+{erase}+{erase}").image
    assert image is not None
    results = tf.data.Dataset.range(12).map(
        lambda i: image(IMAGE, tf.stack([tf.constant(7, tf.int64), i]))
    )
    assert results.element_spec == tf.TensorSpec([24, 24, 3], tf.uint8)
    painted_twice = 0
    for number, result in enumerate(results):
        seeds = tf.random.experimental.stateless_split(tf.constant([7, number], tf.int64), 3)
        painted = RandomErasing(1, fill="grey")
        once = painted(autoaugment(IMAGE, seeds[0]), seeds[1])
        expected = painted(once, seeds[2])
        np.testing.assert_array_equal(result, expected)
        painted_twice += bool(np.any(once != expected))
    assert painted_twice > 4  # else both steps had one seed


def test_batches_are_mixed_as_the_text_says() -> None:
    batches = tf.data.Dataset.from_tensors(
        {"image": np.stack([IMAGE, IMAGE[::-1]]), "label": [0, 1]}
    ).repeat(3)
    batch = parse_augment("cutout+cutmix(alpha=0.7)+mixup").batch
    assert batch is not None
    options = {"num_classes": 2, "seed": 4, "first_batch": 8, "pipeline": 1}
    mixed = batch(batches, **options)
    expected = mix_batches(batches, [CutMix(0.7), Mixup()], **options)
    for one, other in zip(mixed, expected, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["label"], other["label"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "autoagument",
            r"augment must name none, .*, received 'autoagument'. Did you mean \"autoaug",
        ),
        ("mixup+cutmx", r"received 'cutmx'. Did you mean \"cutmix\""),
        (
            "cutout(sice=3)",
            r"augment: cutout has the options size, received 'sice'. Did you mean \"size",
        ),
        (
            "randaugment(num_layer=3)",
            r"options num_layers, magnitude, bugs, received 'num_layer'. Did",
        ),
        ("cutout(size=3.5)", "size of cutout must be an even whole number"),
        ("randaugment(magnitude=-1)", "magnitude must be from 0 on"),
        ("randaugment(num_layers=0)", "num_layers must be a whole number"),
        ("autoaugment(bugs=fix)", 'bugs must be "official" or "fixed"'),
        ("randaugment(bugs=fix)", 'bugs must be "official" or "fixed"'),
        ("random_erasing(probability=2)", "probability of random_erasing must be from 0 to 1"),
        ("mixup(alpha=0)", "alpha of mixup must be positive"),
        ("cutmix(alpha='a')", "alpha of cutmix must be positive; received 'a'"),
        ("mixup+cutout+mixup", "augment must name mixup at most once"),
        ("none+mixup", 'augment: "none" stands alone and has no options'),
        ("none(size=3)", 'augment: "none" stands alone and has no options'),
    ],
)
def test_names_and_options_that_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_augment(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "mixup+",
        "mixup-cutmix",
        "mixup,cutmix",
        "mixup(0.2)",
        "mixup(**{})",
        "mixup(alpha=__import__('os'))",
        "mixup(alpha=1e)",
        "mixup.alpha",
        "mixup()()",
        "'mixup'",
        "mixup+" + "(" * 500,
        "cutout(size=" + "-" * 100_000 + "1)",
        "mixup\0",
        None,
        3,
    ],
)
def test_other_texts_are_refused_with_an_example(spec: Any) -> None:
    with pytest.raises(
        UsageError, match=r"augment must be names joined by \+, options in .* received"
    ):
        parse_augment(spec)


def test_every_name_can_stand_alone() -> None:
    assert len(NAMES) == 7
    for name in NAMES:
        assert parse_augment(name).spec == name
