"""Mixup: the blend by hand, the distribution of its weights, resuming in the middle."""

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.mixup import mix_batches, mixup, mixup_weights
from efficientnet_tf.errors import UsageError


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mixup_blends_with_the_mirrored_batch(dtype):
    images = np.arange(3 * 2 * 2 * 1).reshape(3, 2, 2, 1).astype(dtype)
    labels = np.eye(3, dtype=np.float32)
    mixed, mixed_labels = mixup(images, labels, np.array([0.25, 0.5, 1.0], np.float32))
    assert mixed.dtype == tf.float32
    # 0.25 counts as 0.75: the larger part stays with the example. The middle one meets itself.
    plain = images.astype(np.float32)
    expected = [0.75 * plain[0] + 0.25 * plain[2], plain[1], plain[2]]
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
    np.testing.assert_allclose(mixed_labels, [[0.75, 0, 0.25], [0, 1, 0], [0, 0, 1]], rtol=1e-6)


def test_mixup_weights_depend_on_the_seed_alone():
    first = mixup_weights(8, 0.2, (1, 2)).numpy()
    assert first.shape == (8,)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(mixup_weights(8, 0.2, (1, 2)), first)
    in_graph = tf.function(lambda n, seed: mixup_weights(n, 0.2, seed), autograph=False)
    np.testing.assert_array_equal(in_graph(tf.constant(8), tf.constant([1, 2])), first)
    for other in ((1, 3), (2, 2)):
        assert not np.any(mixup_weights(8, 0.2, other).numpy() == first)
    assert len(set(first)) == 8


@pytest.mark.parametrize("alpha", [0.001, 0.2, 1.0, 4.0])
def test_mixup_weights_are_beta_distributed(alpha):
    count = 40_000
    weights = mixup_weights(count, alpha, (7, 0)).numpy().astype(np.float64)
    assert np.all((weights >= 0) & (weights <= 1))
    variance = 1 / (4 * (2 * alpha + 1))
    # Five standard errors of a mean; the squared deviation is at most 1/4.
    assert weights.mean() == pytest.approx(0.5, abs=5 * np.sqrt(variance / count))
    assert weights.var() == pytest.approx(variance, abs=5 * 0.25 / np.sqrt(count))
    assert np.mean(weights < 0.5) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(count))


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_mixup_refuses_an_alpha_without_a_distribution(alpha):
    with pytest.raises(UsageError, match="alpha of mixup must be positive; received"):
        mixup_weights(4, alpha, (1, 2))


def test_a_resumed_stream_is_mixed_like_an_uninterrupted_one():
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4, 1, 1, 1)  # six batches of four
    batches = tf.data.Dataset.from_tensor_slices(
        {"image": images, "label": np.arange(24).reshape(6, 4) % 3}
    )
    whole = list(mix_batches(batches, 0.2, num_classes=3, seed=5).as_numpy_iterator())
    resumed = mix_batches(batches.skip(4), 0.2, num_classes=3, seed=5, first_batch=4)
    for one, other in zip(whole[4:], resumed.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["label"], other["label"])
    assert whole[0]["label"].shape == (4, 3)
    np.testing.assert_allclose(whole[0]["label"].sum(axis=1), 1.0, rtol=1e-6)


def test_pipelines_mix_differently():
    batches = tf.data.Dataset.from_tensors(
        {"image": np.eye(4)[:, :, None, None], "label": [0, 1, 2, 0]}
    )
    one, other = (
        next(mix_batches(batches, 1.0, num_classes=3, seed=0, pipeline=p).as_numpy_iterator())
        for p in (0, 1)
    )
    assert np.abs(one["label"] - other["label"]).max() > 1e-3
