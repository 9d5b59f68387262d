"""The loss: recorded values of the official code, limits of float32."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.optim.loss import (
    is_weight_decayed,
    l2_penalty,
    smooth_labels,
    softmax_cross_entropy,
)

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED = json.loads((GOLDEN / "optim_regularisation_ema.json").read_text())["label_smoothing"]
LOGITS = np.array(RECORDED["logits"], np.float32)  # [4, 10]
LABELS = np.array(RECORDED["labels"], np.int64)
SOFT_LABELS = np.array(RECORDED["soft_labels"], np.float32)
SMOOTHINGS = sorted(RECORDED["values"])


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_class_numbers_give_the_recorded_losses(smoothing):
    recorded = RECORDED["values"][smoothing]
    losses = softmax_cross_entropy(LOGITS, LABELS, float(smoothing)).numpy()
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, recorded["onehot_per_example"], rtol=1e-6)
    np.testing.assert_allclose(losses.mean(), recorded["onehot"], rtol=1e-6)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_distributions_give_the_recorded_loss(smoothing):
    losses = softmax_cross_entropy(LOGITS, SOFT_LABELS, float(smoothing)).numpy()
    assert losses.shape == (4,)
    recorded = RECORDED["values"][smoothing]["soft_labels"]
    np.testing.assert_allclose(losses.mean(), recorded, rtol=1e-6)


def test_one_hot_integers_count_as_distributions():
    one_hot = np.eye(10, dtype=np.int32)[LABELS]
    np.testing.assert_array_equal(
        softmax_cross_entropy(LOGITS, one_hot, 0.1), softmax_cross_entropy(LOGITS, LABELS, 0.1)
    )


def test_smoothing_moves_a_tenth_to_all_classes():
    smoothed = smooth_labels(np.eye(4, dtype=np.float32), 0.1)
    np.testing.assert_allclose(np.diag(smoothed), 0.925, rtol=1e-6)
    np.testing.assert_allclose(smoothed[0, 1:], 0.025, rtol=1e-6)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0])
def test_smoothing_out_of_range_is_refused(label_smoothing):
    message = rf"label_smoothing must be in \[0, 1\); received {label_smoothing}"
    with pytest.raises(UsageError, match=message):
        softmax_cross_entropy(LOGITS, LABELS, label_smoothing)


def test_large_logits_stay_finite():
    logits = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], np.float32)
    losses = softmax_cross_entropy(logits, np.array([0, 1]))
    np.testing.assert_allclose(losses, [0.0, 2e4], rtol=1e-6)


def test_bfloat16_logits_are_computed_in_float32():
    logits = tf.cast(LOGITS, tf.bfloat16)
    losses = softmax_cross_entropy(logits, LABELS, 0.1)
    assert losses.dtype == tf.float32
    expected = softmax_cross_entropy(tf.cast(logits, tf.float32), LABELS, 0.1)
    np.testing.assert_array_equal(losses, expected)


def test_gradient_is_probability_minus_label_with_an_unknown_batch():
    @tf.function(
        input_signature=[tf.TensorSpec([None, 10]), tf.TensorSpec([None], tf.int64)],
        autograph=False,
    )
    def gradient(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = tf.reduce_sum(softmax_cross_entropy(logits, labels, 0.1))
        return tape.gradient(loss, logits)

    exponentials = np.exp(LOGITS.astype(np.float64))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    expected = probabilities - (0.9 * np.eye(10)[LABELS] + 0.01)
    np.testing.assert_allclose(gradient(LOGITS, LABELS), expected, atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((4, 11), np.float32),  # another number of classes
        np.zeros((4, 1), np.int64),
        np.zeros(4, np.float32),  # class numbers must be integers
        np.zeros(5, np.int64),  # another batch
        np.zeros(1, np.int64),  # would broadcast
    ],
)
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(UsageError, match=r"labels must be .*and logits \(4, 10\)\. Check"):
        softmax_cross_entropy(LOGITS, labels)


def test_logits_must_be_a_matrix():
    with pytest.raises(UsageError, match=r"labels must be .*and logits \(4, 10, 1\)"):
        softmax_cross_entropy(LOGITS[..., None], LABELS)


@pytest.mark.parametrize(
    ("path", "decayed"),
    [
        ("stem_conv/kernel", True),
        ("block1a_dwconv/depthwise_kernel", True),
        ("block2a_se/reduce_bias", True),
        ("predictions/bias", True),
        ("efficientnet-b0/predictions/kernel", True),
        ("stem_bn/gamma", False),
        ("stem_bn/beta", False),
        ("stem_bn/moving_mean", False),
        ("stem_bn/moving_variance", False),
        ("gamma/kernel", True),  # only the last part decides
        ("kernel", True),
    ],
)
def test_all_but_batch_norm_is_decayed(path, decayed):
    assert is_weight_decayed(path) is decayed
    assert is_weight_decayed(SimpleNamespace(path=path, trainable=True)) is decayed


def test_variables_of_layers_are_told_apart():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="frozen", trainable=False),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.Dense(2, name="predictions"),
        ]
    )
    paths = {weight.path.split("/", 1)[-1] for weight in model.weights if is_weight_decayed(weight)}
    assert {path.split("/")[-1] for path in paths} == {"kernel", "bias"}
    assert all("predictions" in path for path in paths)


def test_l2_is_half_the_sum_of_squares_and_its_gradient_the_weight():
    random = np.random.default_rng(3)
    shapes = [(3, 3, 8, 16), (16,), (), (1, 1, 16, 4)]
    weights = [tf.Variable(random.standard_normal(shape).astype(np.float32)) for shape in shapes]
    with tf.GradientTape() as tape:
        penalty = l2_penalty(weights)
    expected = sum((weight.numpy().astype(np.float64) ** 2).sum() / 2 for weight in weights)
    assert penalty.dtype == tf.float32
    assert float(penalty) == pytest.approx(expected, rel=1e-6)
    for weight, gradient in zip(weights, tape.gradient(penalty, weights), strict=True):
        np.testing.assert_allclose(gradient, weight.numpy(), rtol=1e-6)


def test_l2_of_nothing_is_zero():
    assert l2_penalty([]).dtype == tf.float32
    assert float(l2_penalty([])) == 0.0


def test_l2_of_bfloat16_is_summed_in_float32():
    weights = [keras.ops.ones((1001,), "bfloat16")]
    assert float(l2_penalty(weights)) == 500.5  # bfloat16 has steps of 2 there
