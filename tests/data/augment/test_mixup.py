"""Mixup and CutMix: the result by hand, the distribution of weights and boxes, resuming."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.augment.mixup import (
    CutMix,
    Mixup,
    beta_weights,
    cut_boxes,
    cutmix,
    mix_batches,
    mixup,
)
from efficientnet_tf.errors import UsageError


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mixup_blends_with_the_mirrored_batch(dtype: Any) -> None:
    images = np.arange(3 * 2 * 2 * 1).reshape(3, 2, 2, 1).astype(dtype)
    labels = np.eye(3, dtype=np.float32)
    mixed, mixed_labels = mixup(images, labels, np.array([0.25, 0.5, 1.0], np.float32))
    assert mixed.dtype == tf.float32
    # 0.25 counts as 0.75: the larger part stays with the example. The middle one meets itself.
    plain = images.astype(np.float32)
    expected = [0.75 * plain[0] + 0.25 * plain[2], plain[1], plain[2]]
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
    np.testing.assert_allclose(mixed_labels, [[0.75, 0, 0.25], [0, 1, 0], [0, 0, 1]], rtol=1e-6)


def test_beta_weights_depend_on_the_seed_alone() -> None:
    first = beta_weights(8, 0.2, (1, 2)).numpy()
    assert first.shape == (8,)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(beta_weights(8, 0.2, (1, 2)), first)
    in_graph = tf.function(lambda n, seed: beta_weights(n, 0.2, seed), autograph=False)
    np.testing.assert_array_equal(in_graph(tf.constant(8), tf.constant([1, 2])), first)
    for other in ((1, 3), (2, 2)):
        assert not np.any(beta_weights(8, 0.2, other).numpy() == first)
    assert len(set(first)) == 8


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf"), "much", True])
@pytest.mark.parametrize(("make", "name"), [(Mixup, "mixup"), (CutMix, "cutmix")])
def test_an_alpha_without_a_distribution_is_refused(make: Any, name: str, alpha: Any) -> None:
    message = f"alpha of {name} must be positive; received {alpha!r}. Leave {name} out"
    with pytest.raises(UsageError, match=message):
        make(alpha)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
def test_cutmix_pastes_a_box_of_the_mirrored_batch(dtype: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3)).astype(dtype)
    boxes = np.array([[1, 2, 4, 5], [0, 0, 6, 5], [3, 3, 3, 3]])
    expected = images.copy()
    expected[0, 1:4, 2:5] = images[2, 1:4, 2:5]  # 9 of 30 pixels
    mixed, labels = cutmix(images, np.eye(3, dtype=np.float32), boxes)
    assert mixed.dtype == dtype
    np.testing.assert_array_equal(mixed, expected)
    np.testing.assert_allclose(labels, [[0.7, 0, 0.3], [0, 1, 0], [0, 0, 1]], rtol=1e-6)


def test_cutmix_boxes_are_those_of_the_paper() -> None:
    # Equation 2 of 1905.04899: sides W sqrt(1 - lambda) and H sqrt(1 - lambda), centre uniform.
    count, shape = 20_000, np.array([20_000, 40, 60, 3])
    weights = np.full(count, 0.75, np.float32)
    top, left, bottom, right = cut_boxes(shape, weights, (3, 4)).numpy().T
    assert top.min() == left.min() == 0
    assert bottom.max() == 40
    assert right.max() == 60
    assert (bottom - top).max() == 20
    assert (right - left).max() == 30
    # Of 40 centres, half a side of 10 fits around 31 - 1 or 31: all but those near a border.
    for first, end, side in ((top, bottom, 40), (left, right, 60)):
        centre = end[(first == 0) | (end < side)]  # not cut off at the end
        assert centre.min() == side // 4  # the centre was the first pixel
        whole = np.mean(end - first == side // 2)
        assert whole == pytest.approx(1 / 2 + 1 / side, abs=5 * 0.5 / np.sqrt(count))
    none = cut_boxes(shape, np.ones(count, np.float32), (3, 4)).numpy()
    np.testing.assert_array_equal(none[:, :2], none[:, 2:])
    whole = cut_boxes(shape, np.zeros(count, np.float32), (3, 4)).numpy()
    assert np.all(whole[:, 2:] - whole[:, :2] >= [20, 30])


def test_cutmix_labels_have_the_area_that_is_seen() -> None:
    images = np.stack([np.zeros([16, 16, 1]), np.ones([16, 16, 1])] * 100).astype(np.uint8)
    labels = np.tile(np.eye(2, dtype=np.float32), [100, 1])
    mixed, mixed_labels = CutMix(1.0)(tf.constant(images), tf.constant(labels), (1, 2))
    share = mixed.numpy().mean(axis=(1, 2, 3))
    np.testing.assert_allclose(mixed_labels[:, 1], share, atol=1e-6)
    np.testing.assert_allclose(np.sum(mixed_labels, axis=1), 1, rtol=1e-6)
    assert len(np.unique(share)) > 30


def batches_of_four(count: int) -> tf.data.Dataset:
    images = np.random.default_rng(1).integers(0, 256, (count, 4, 8, 8, 3), np.uint8)
    return tf.data.Dataset.from_tensor_slices(
        {"image": images, "label": np.arange(count * 4).reshape(count, 4) % 3}
    )


@pytest.mark.parametrize("mixers", [[Mixup(0.2)], [CutMix()], [Mixup(), CutMix()]], ids=str)
def test_a_resumed_stream_is_mixed_like_an_uninterrupted_one(mixers: Any) -> None:
    batches = batches_of_four(6)
    whole = list(mix_batches(batches, mixers, num_classes=3, seed=5).as_numpy_iterator())
    resumed = mix_batches(batches.skip(4), mixers, num_classes=3, seed=5, first_batch=4)
    for one, other in zip(whole[4:], resumed.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["label"], other["label"])
    assert whole[0]["label"].shape == (4, 3)
    np.testing.assert_allclose(whole[0]["label"].sum(axis=1), 1.0, rtol=1e-6)


def test_cutmix_alone_keeps_bytes() -> None:
    mixed = mix_batches(batches_of_four(1), [CutMix()], num_classes=3, seed=5)
    assert mixed.element_spec["image"] == tf.TensorSpec([4, 8, 8, 3], tf.uint8)
    mixed = mix_batches(batches_of_four(1), [CutMix(), Mixup()], num_classes=3, seed=5)
    assert mixed.element_spec["image"] == tf.TensorSpec([4, 8, 8, 3], tf.float32)


def test_of_two_mixers_each_batch_gets_one_of_them() -> None:
    count = 400
    batches = batches_of_four(count)
    plain = np.stack([batch["image"] for batch in batches.as_numpy_iterator()]).astype(np.float32)
    mixed = mix_batches(batches, [Mixup(1.0), CutMix(0.5)], num_classes=3, seed=5)
    images = np.stack([batch["image"] for batch in mixed.as_numpy_iterator()])
    # CutMix leaves each pixel as it is or takes the partner's.
    pasted = np.all((images == plain) | (images == plain[:, ::-1]), axis=(1, 2, 3, 4))
    assert pasted.sum() == pytest.approx(count / 2, abs=5 * np.sqrt(count / 4))


def test_other_entries_of_a_batch_are_passed_on() -> None:
    batches = batches_of_four(2).map(lambda batch: {**batch, "mask": tf.ones([4]), "index": 7})
    for batch in mix_batches(batches, [Mixup()], num_classes=3, seed=5):
        np.testing.assert_array_equal(batch["mask"], np.ones(4))
        assert batch["index"] == 7


def test_no_mixers_are_refused() -> None:
    with pytest.raises(UsageError, match="mixers must name at least one of Mixup and CutMix"):
        mix_batches(batches_of_four(1), [], num_classes=3, seed=5)


@pytest.mark.parametrize("mixer", [Mixup(1.0), CutMix()])
def test_pipelines_mix_differently(mixer: Any) -> None:
    one, other = (
        next(
            mix_batches(
                batches_of_four(1), [mixer], num_classes=3, seed=0, pipeline=p
            ).as_numpy_iterator()
        )
        for p in (0, 1)
    )
    assert np.abs(one["label"] - other["label"]).max() > 1e-3
