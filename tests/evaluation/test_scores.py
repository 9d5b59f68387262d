"""Scores against scikit-learn on the same predictions, against hand computation, at their edges."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from efficientnet_tf.evaluation.scores import confusion_matrix, outcomes, scores, summary
from efficientnet_tf.runs.predictions import Predictions


def made(labels: Any, probabilities: Any) -> Predictions:
    table = np.asarray(probabilities, np.float32)
    return Predictions(np.arange(len(table)), np.asarray(labels, np.int32), table)


def drawn(seed: int, count: int, classes: int, present: int, skill: float) -> Predictions:
    """Random answers, better than chance by `skill`; only the first classes have examples."""
    chance = np.random.RandomState(seed)
    labels = chance.randint(0, present, count)
    logits = chance.standard_normal((count, classes)) * 2
    logits[np.arange(count), labels] += skill
    logits[:, -1] -= 20.0  # of which one class is never predicted
    powers = np.exp(logits)
    return made(labels, powers / powers.sum(1, keepdims=True))


SETS = {
    "many classes": drawn(0, 2000, 30, 30, 2.0),
    "classes without examples": drawn(1, 500, 12, 7, 1.0),
    "one example a class at most": drawn(2, 9, 40, 40, 3.0),
    "two classes": drawn(3, 300, 3, 2, 0.5),
    "nothing right": made([1, 2, 0, 2], np.eye(3)[[0, 0, 1, 1]] * 0.7 + 0.1),
    "all right": made([0, 1, 2, 1], np.eye(3)[[0, 1, 2, 1]] * 0.7 + 0.1),
}


@pytest.fixture(params=SETS)
def predictions(request: pytest.FixtureRequest) -> Predictions:
    return SETS[request.param]


def test_precision_recall_and_f1_are_those_of_scikit_learn(predictions: Predictions) -> None:
    classes = predictions.probabilities.shape[1]
    expected = sklearn_metrics.precision_recall_fscore_support(
        predictions.labels,
        predictions.probabilities.argmax(1),
        labels=range(classes),
        zero_division=0,
    )
    found = scores(predictions, None)["per_class"]
    for key, values in zip(("precision", "recall", "f1", "examples"), expected, strict=True):
        np.testing.assert_allclose([row[key] for row in found], values, rtol=0, atol=1e-6)
    assert [row["class"] for row in found] == list(range(classes))


def test_accuracies_and_loss_are_those_of_scikit_learn(predictions: Predictions) -> None:
    labels, table = predictions.labels, predictions.probabilities.astype(np.float64)
    classes = table.shape[1]
    found = scores(predictions, None)
    predicted = table.argmax(1)
    assert found["examples"] == len(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted but have no examples
        balanced = sklearn_metrics.balanced_accuracy_score(labels, predicted)
    expected = {
        "top1": sklearn_metrics.accuracy_score(labels, predicted),
        "top5": sklearn_metrics.top_k_accuracy_score(labels, table, k=5, labels=range(classes))
        if classes > 5
        else 1.0,
        "mean_per_class_accuracy": balanced,
        "loss": sklearn_metrics.log_loss(
            labels, table / table.sum(1, keepdims=True), labels=range(classes)
        ),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-6)


def test_confusion_is_that_of_scikit_learn(predictions: Predictions) -> None:
    expected = sklearn_metrics.confusion_matrix(
        predictions.labels,
        predictions.probabilities.argmax(1),
        labels=range(predictions.probabilities.shape[1]),
    )
    found = confusion_matrix(predictions)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)
    pairs = scores(predictions, None)["most_confused"]
    counts = [pair["examples"] for pair in pairs]
    assert counts == sorted(counts, reverse=True)
    for pair in pairs:
        assert pair["true"] != pair["predicted"]
        assert expected[pair["true"], pair["predicted"]] == pair["examples"] > 0
    wrong = expected - np.diag(np.diag(expected))
    assert counts == sorted(wrong[wrong > 0], reverse=True)[:20]


def test_calibration_is_that_of_its_definition(predictions: Predictions) -> None:
    """The sum of |accuracy - confidence| over the bins, weighted, by loops over the examples."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for label, row in zip(predictions.labels, predictions.probabilities, strict=True):
        confidence = float(row.max())
        (number,) = (m for m in range(15) if m / 15 < confidence <= (m + 1) / 15)
        bins.setdefault(number, []).append((confidence, row.argmax() == label))
    expected = sum(
        len(inside)
        / len(predictions.labels)
        * abs(np.mean([right for _, right in inside]) - np.mean([c for c, _ in inside]))
        for inside in bins.values()
    )
    found = scores(predictions, None)["calibration"]
    assert found["ece"] == pytest.approx(expected, abs=1e-6)
    assert [row["examples"] for row in found["bins"]] == [
        len(bins.get(number, ())) for number in range(15)
    ]


def test_calibration_by_hand() -> None:
    """Four at 0.9, three of them right; two at 0.58, one right: 4/6 * 0.15 + 2/6 * 0.08."""
    rows = [[0.9, 0.1]] * 4 + [[0.58, 0.42]] * 2
    found = scores(made([0, 0, 0, 1, 0, 1], rows), None)["calibration"]
    assert found["ece"] == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.08, abs=1e-6)
    filled = {number: row for number, row in enumerate(found["bins"]) if row["examples"]}
    assert list(filled) == [8, 13]  # 8/15 < 0.58 <= 9/15 and 13/15 < 0.9 <= 14/15
    assert filled[13] == {
        "low": pytest.approx(13 / 15),
        "high": pytest.approx(14 / 15),
        "examples": 4,
        "confidence": pytest.approx(0.9),
        "accuracy": 0.75,
    }
    for row, following in itertools.pairwise(found["bins"]):
        assert row["high"] == following["low"]
    assert found["bins"][0] == {
        "low": 0.0,
        "high": pytest.approx(1 / 15),
        "examples": 0,
        "confidence": 0.0,
        "accuracy": 0.0,
    }


def test_certainty_falls_into_the_last_bin() -> None:
    found = scores(made([0, 1], [[1.0, 0.0], [0.0, 1.0]]), None)["calibration"]
    assert found["bins"][-1]["examples"] == 2
    assert found["ece"] == 0


def test_names_are_those_of_the_classes() -> None:
    predictions = made([0, 1], [[0.8, 0.2], [0.6, 0.4]])
    assert [row["name"] for row in scores(predictions, ("cat", "dog"))["per_class"]] == [
        "cat",
        "dog",
    ]
    assert [row["name"] for row in scores(predictions, None)["per_class"]] == ["0", "1"]
    assert scores(predictions, None)["most_confused"] == [
        {"true": 1, "predicted": 0, "examples": 1}
    ]


def test_ties_go_to_the_lower_class() -> None:
    found = scores(made(range(10), np.full((10, 10), 0.1)), None)
    assert (found["top1"], found["top5"]) == (0.1, 0.5)
    assert found["loss"] == pytest.approx(np.log(10), rel=1e-6)


def test_a_probability_of_zero_has_a_finite_loss_and_no_number_is_never_right() -> None:
    found = scores(made([1], [[1.0, 0.0]]), None)
    assert found["loss"] == pytest.approx(103.28, abs=0.01)  # of float32's smallest number
    lost = outcomes(made([3] * 4, np.full((4, 10), np.nan)))
    assert not lost.in_top5.any()
    assert summary(lost, None)["top1"] == 0
