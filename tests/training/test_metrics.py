"""Metrics as sums over examples: padding drops out, and the sums equal a plain count."""

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.training.metrics import SUMS, Metrics, batch_sums


def sums(logits: np.ndarray, labels: list[int], mask: list[float]) -> dict[str, float]:
    found = batch_sums(
        tf.constant(logits, tf.float32), tf.constant(labels, tf.int32), tf.constant(mask)
    )
    assert tuple(found) == SUMS
    return {name: float(value) for name, value in found.items()}


def test_sums_equal_a_count_by_hand() -> None:
    chance = np.random.RandomState(0)
    logits = chance.standard_normal((64, 20)).astype(np.float32)
    labels = chance.randint(0, 20, 64)
    found = sums(logits, labels, [1.0] * 64)
    order = np.argsort(-logits, axis=1)
    exact = logits.astype(np.float64)
    log_probability = exact - np.log(np.exp(exact).sum(1, keepdims=True))
    assert found["examples"] == 64
    assert found["top1"] == (order[:, 0] == labels).sum()
    assert found["top5"] == (order[:, :5] == labels[:, None]).any(1).sum()
    assert 0 < found["top1"] < found["top5"] < 64
    assert found["loss"] == pytest.approx(-log_probability[range(64), labels].sum(), rel=1e-6)


def test_padding_is_ignored_whatever_it_holds() -> None:
    chance = np.random.RandomState(1)
    logits = chance.standard_normal((6, 10)).astype(np.float32)
    labels = [3, 1, 4, 1, 5, 9]
    alone = sums(logits[:4], labels[:4], [1.0] * 4)
    logits[4:] = [[1e4] * 5 + [-1e4] * 5, range(10)]  # the second would be right
    assert sums(logits, labels, [1.0] * 4 + [0.0] * 2) == pytest.approx(alone, rel=1e-6)


def test_a_batch_of_padding_counts_nothing() -> None:
    found = sums(np.ones((2, 10), np.float32), [0, 1], [0.0, 0.0])
    assert found == dict.fromkeys(SUMS, 0.0)


def test_with_fewer_than_five_classes_top5_is_always_right() -> None:
    found = sums(np.array([[3.0, 2, 1], [1, 2, 3]], np.float32), [2, 2], [1.0, 1.0])
    assert found["top5"] == 2
    assert found["top1"] == 1


def test_ties_go_to_the_lower_class_so_a_dead_network_is_at_chance() -> None:
    found = sums(np.zeros((10, 10), np.float32), list(range(10)), [1.0] * 10)
    assert found["top1"] == 1
    assert found["top5"] == 5
    assert found["loss"] == pytest.approx(10 * np.log(10), rel=1e-6)


def test_logits_that_are_no_numbers_are_at_chance_too() -> None:
    found = sums(np.full((10, 10), np.nan, np.float32), list(range(10)), [1.0] * 10)
    assert found["top1"] <= 1
    assert found["top5"] <= 5
    assert np.isnan(found["loss"])


def test_bfloat16_logits_are_counted_in_float32() -> None:
    logits = tf.constant([[2.0, 1.0], [1.0, 2.0]], tf.bfloat16)
    found = batch_sums(logits, tf.constant([0, 0]), tf.constant([1.0, 1.0]))
    assert all(value.dtype == tf.float32 for value in found.values())
    expected = -2 + np.log(np.exp(1) + np.exp(2)) + -1 + np.log(np.exp(1) + np.exp(2))
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-6)


def test_means_are_taken_over_the_examples() -> None:
    metrics = Metrics.from_sums({"examples": 8.0, "loss": 4.0, "top1": 2.0, "top5": 6.0})
    assert metrics == Metrics(examples=8, loss=0.5, top1=0.25, top5=0.75)
    assert isinstance(metrics.examples, int)
