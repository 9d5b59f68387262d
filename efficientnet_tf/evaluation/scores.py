"""What predictions are worth: accuracy by class, confusion, calibration.

Conventions, all those of scikit-learn where it has the number (the tests compare): precision of a
class that was never predicted and recall of a class without examples are 0; the mean per class
leaves out classes without examples; of equal probabilities the lower class comes first.

The expected calibration error is that of Guo et al. 2017 (arXiv 1706.04599, equation 3): 15 equal
bins of the confidence, each with its upper edge; the mean over the examples of the distance
between confidence and accuracy of their bin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efficientnet_tf.runs.predictions import Predictions

BINS = 15
_TOP = 5
_PAIRS = 20
_PER_CLASS = ("class", "name", "examples", "precision", "recall", "f1")
# A probability of 0 is one that float32 has no number for.
_SMALLEST = np.finfo(np.float32).smallest_subnormal


@dataclass(frozen=True)
class Outcomes:
    """What the scores need of each of n examples, however many classes there are.

    Attributes:
        places: int64 [n], see Predictions.
        labels: int32 [n].
        predicted: int32 [n], the most probable class.
        confidence: float32 [n], its probability.
        of_label: float32 [n], the probability of the true class.
        in_top5: bool [n].
        classes: how many there are.
    """

    places: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    of_label: np.ndarray
    in_top5: np.ndarray
    classes: int


def outcomes(predictions: Predictions) -> Outcomes:
    """Reduces each row of probabilities to what the scores need of it."""
    labels, probabilities = predictions.labels, predictions.probabilities
    rows = np.arange(len(labels))
    predicted = probabilities.argmax(axis=1)
    of_label = probabilities[rows, labels]
    threshold = of_label[:, np.newaxis]
    earlier = np.arange(probabilities.shape[1]) < labels[:, np.newaxis]
    before = (probabilities > threshold) | ((probabilities == threshold) & earlier)
    return Outcomes(
        places=predictions.places,
        labels=labels,
        predicted=predicted.astype(np.int32),
        confidence=probabilities[rows, predicted],
        of_label=of_label,
        in_top5=(before.sum(axis=1) < _TOP) & np.isfinite(of_label),
        classes=probabilities.shape[1],
    )


def scores(predictions: Predictions, class_names: Sequence[str] | None) -> dict[str, Any]:
    """All scores as plain values for JSON, see `summary`."""
    return summary(outcomes(predictions), class_names)


def summary(found: Outcomes, class_names: Sequence[str] | None) -> dict[str, Any]:
    """All scores as plain values for JSON.

    Args:
        class_names: one per class; None: their numbers.

    Returns:
        "examples"; "loss", cross-entropy in nats; "top1", "top5" and "mean_per_class_accuracy" in
        [0, 1], the last one over "classes_with_examples" of the "classes"; "per_class",
        "calibration" and "most_confused" (at most 20 pairs).
    """
    labels = found.labels
    matrix = _confusion(found)
    right, examples, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    recall = right / np.maximum(examples, 1)
    columns = (
        np.arange(found.classes),
        np.array(class_names or [str(number) for number in range(found.classes)], object),
        examples,
        right / np.maximum(predicted, 1),
        recall,
        2 * right / np.maximum(predicted + examples, 1),
    )
    return {
        "examples": len(labels),
        "loss": float(-np.log(np.maximum(found.of_label, _SMALLEST).astype(np.float64)).mean()),
        "top1": float((found.predicted == labels).mean()),
        "top5": float(found.in_top5.mean()),
        "mean_per_class_accuracy": float(recall[examples > 0].mean()),
        "classes": found.classes,
        "classes_with_examples": int((examples > 0).sum()),
        "per_class": _rows(_PER_CLASS, columns),
        "calibration": _calibration(found.confidence, found.predicted == labels),
        "most_confused": _most_confused(matrix),
    }


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """int64 [classes, classes]: how often a row's class was taken for a column's."""
    return _confusion(outcomes(predictions))


def _confusion(found: Outcomes) -> np.ndarray:
    cells = found.labels.astype(np.int64) * found.classes + found.predicted
    counts = np.bincount(cells, minlength=found.classes**2)
    return counts.astype(np.int64).reshape(found.classes, found.classes)


def _calibration(confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    edges = np.linspace(0, 1, BINS + 1)
    confidence = confidence.astype(np.float64)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    examples = np.bincount(bins, minlength=BINS)
    divisor = np.maximum(examples, 1)
    confident = np.bincount(bins, confidence, minlength=BINS) / divisor
    accurate = np.bincount(bins, right, minlength=BINS) / divisor
    columns = (edges[:-1], edges[1:], examples, confident, accurate)
    keys = ("low", "high", "examples", "confidence", "accuracy")
    return {
        "ece": float((examples / len(right) * np.abs(accurate - confident)).sum()),
        "bins": _rows(keys, columns),
    }


def _most_confused(matrix: np.ndarray) -> list[dict[str, Any]]:
    """The pairs of classes that are taken for each other most often; of equals the lower first."""
    off = matrix - np.diag(np.diag(matrix))
    true, predicted = np.nonzero(off)
    counts = off[true, predicted]
    order = np.argsort(-counts, kind="stable")[:_PAIRS]
    columns = (true[order], predicted[order], counts[order])
    return _rows(("true", "predicted", "examples"), columns)


def _rows(keys: Sequence[str], columns: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """A dictionary of plain values for each row of a table."""
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [dict(zip(keys, row, strict=True)) for row in rows]
