"""Evaluation of a whole split, every image once, and its record as JSON.

Two ways: the metrics alone, summed on the device, as during training; or the answer to each
example besides, as at the end of a run. Top-1, top-5 and loss are the same sums in both.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import eval_dataset
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import RunError
from efficientnet_tf.evaluation.scores import Outcomes, outcomes
from efficientnet_tf.runs import predictions as predictions_lib
from efficientnet_tf.runs.predictions import MAX_VALUES, Predictions
from efficientnet_tf.storage.files import write_json
from efficientnet_tf.terminal.shown import shown
from efficientnet_tf.training.metrics import SUMS, Metrics
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import EvalStep


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A split evaluated example by example.

    Attributes:
        metrics: the sums of the device.
        outcomes: of each example, in the order of the places.
        predictions: None if they would be more than `predictions.MAX_VALUES` numbers.
    """

    metrics: Metrics
    outcomes: Outcomes
    predictions: Predictions | None


class Evaluator:
    """Evaluates a state on the splits of a source.

    Args:
        global_batch_size: over all replicas; rounded up to a multiple of them.
        bad: per split, where examples that cannot be used are noted and passed over; a split
            that is not there stops at the first.
        classes: those that may be answered, see EvalStep.

    Attributes:
        steps: by whether the averaged weights are evaluated.
    """

    def __init__(
        self,
        state: TrainState,
        strategy: tf.distribute.Strategy,
        source: Source,
        preprocessing: Preprocessing,
        global_batch_size: int,
        bad: Mapping[str, BadExamples] | None = None,
        classes: Sequence[int] | None = None,
    ) -> None:
        self._strategy = strategy
        self._source = source
        self._preprocessing = preprocessing
        replicas = strategy.num_replicas_in_sync
        self._batch_size = -(-global_batch_size // replicas) * replicas
        self.steps = {
            averaged: EvalStep(state, strategy, averaged=averaged, classes=classes)
            for averaged in (False, True)
        }
        self._bad = bad or {}
        self._pipelines = 1
        self._datasets: dict[str, Any] = {}

    def __call__(self, split: str, *, averaged: bool) -> Metrics:
        """Metrics of `split` with the averaged weights (raw ones if the run keeps no averages).

        Raises:
            RunError: not every image was counted exactly once, or masked out as bad.
        """
        if split not in self._datasets:
            self._datasets[split] = self._distributed(split, with_index=False)
        sums = self.steps[averaged](self._datasets[split])
        return self._checked(split, Metrics.from_sums(sums))

    def answers(self, split: str, *, averaged: bool) -> Evaluation:
        """The same with the answer to each example, for which every worker gathers those of all.

        Raises:
            RunError: as above.
        """
        totals = dict.fromkeys(SUMS, 0.0)
        found: list[Predictions] = []
        reduced: list[Outcomes] = []
        dataset = self._distributed(split, with_index=True)
        for sums, rows in self.steps[averaged].with_answers(dataset):
            for name, value in sums.items():
                totals[name] += value
            part = Predictions(rows["index"], rows["label"], rows["probabilities"])
            if part.probabilities.shape[1] * self._source.num_examples[split] > MAX_VALUES:
                reduced.append(outcomes(part))
            else:
                found.append(part)
        metrics = self._checked(split, Metrics.from_sums(totals))
        if reduced:
            return Evaluation(metrics, _joined(reduced), None)
        predictions = _joined(found)
        return Evaluation(metrics, outcomes(predictions), predictions)

    def _distributed(self, split: str, *, with_index: bool) -> Any:
        dataset = functools.partial(self.dataset, split, with_index=with_index)
        return self._strategy.distribute_datasets_from_function(dataset)

    def _checked(self, split: str, metrics: Metrics) -> Metrics:
        """The metrics with the number of skipped examples, if all are accounted for."""
        expected = self._source.num_examples[split]
        noted = len(self._bad.get(split, ()))  # by this host
        skipped = expected - metrics.examples
        by_others = noted < skipped and split in self._bad and self._pipelines > 1
        if skipped != noted and not by_others:
            raise RunError(
                f'evaluation counted {metrics.examples} images of split "{split}", expected '
                f'{expected}: the files of "{self._source.name}" do not hold what they should.'
            )
        return dataclasses.replace(metrics, skipped=skipped)

    def dataset(
        self, split: str, context: tf.distribute.InputContext, *, with_index: bool = False
    ) -> tf.data.Dataset:
        """What one input pipeline yields of a split."""
        self._pipelines = context.num_input_pipelines
        return eval_dataset(
            self._source,
            split,
            self._preprocessing,
            global_batch_size=self._batch_size,
            input_context=context,
            bad=self._bad.get(split),
            with_index=with_index,
        )


def _joined(parts: Sequence[Any]) -> Any:
    """Predictions, or outcomes, of all batches in the order of their places."""
    order = np.argsort(np.concatenate([part.places for part in parts]))
    first = parts[0]
    values = {field.name: getattr(first, field.name) for field in dataclasses.fields(first)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    joined = {name: np.concatenate([getattr(p, name) for p in parts])[order] for name in arrays}
    return dataclasses.replace(first, **joined)


def describe(metrics: Metrics) -> str:
    """`top-1 98.61 %  top-5 100.00 %  loss 0.0712  (360 images)`."""
    skipped = f", {metrics.skipped} skipped" if metrics.skipped else ""
    return (
        f"top-1 {100 * metrics.top1:.2f} %  top-5 {100 * metrics.top5:.2f} %  "
        f"loss {metrics.loss:.4f}  ({metrics.examples} images{skipped})"
    )


def describe_scores(scores: Mapping[str, Any], class_names: Sequence[str] | None) -> str:
    """`mean per class 98.58 %  ECE 0.0213  most confused: 1 taken for 8 (2 times)`."""
    number, of = scores["classes_with_examples"], scores["classes"]
    over = "" if number == of else f" over {number} of {of} classes"
    parts = [
        f"mean per class {100 * scores['mean_per_class_accuracy']:.2f} %{over}",
        f"ECE {scores['calibration']['ece']:.4f}",
    ]
    if scores["most_confused"]:
        pair = scores["most_confused"][0]
        true, predicted = (
            shown(class_names[pair[key]]) if class_names else str(pair[key])
            for key in ("true", "predicted")
        )
        times = f"{pair['examples']} time{'s' if pair['examples'] > 1 else ''}"
        parts.append(f"most confused: {true} taken for {predicted} ({times})")
    return "  ".join(parts)


def record(
    model_dir: str,
    what: str,
    weights: str,
    step: int,
    metrics: Metrics,
    more: Mapping[str, Any] | None = None,
) -> str:
    """Writes evaluation-<what>.json (or ...-raw.json) into model_dir; returns its path.

    Args:
        what: the split, and what else makes the evaluation another than the run's own.
        more: further keys; those of `metrics` stay as they are.
    """
    path = evaluation_path(model_dir, what, weights)
    content = {"split": what, "weights": weights, "step": step, **(more or {})}
    content.update(dataclasses.asdict(metrics))
    write_json(path, content)
    return path


def record_predictions(
    model_dir: str, what: str, weights: str, predictions: Predictions | None
) -> str | None:
    """Writes predictions-<what>.npz (or ...-raw.npz) into model_dir; returns its path.

    If there are too many to be kept, an older file of that name is removed, as it would not belong
    to evaluation-<what>.json.
    """
    path = predictions_path(model_dir, what, weights, predictions)
    if path is not None and predictions is not None:
        predictions_lib.save(path, predictions)
    else:
        older = _path(model_dir, "predictions", what, weights, "npz")
        if tf.io.gfile.exists(older):
            tf.io.gfile.remove(older)
    return path


def evaluation_path(model_dir: str, what: str, weights: str) -> str:
    """Where `record` writes."""
    return _path(model_dir, "evaluation", what, weights, "json")


def predictions_path(
    model_dir: str, what: str, weights: str, predictions: Predictions | None
) -> str | None:
    """Where `record_predictions` writes; None if there are too many."""
    return None if predictions is None else _path(model_dir, "predictions", what, weights, "npz")


def _path(model_dir: str, kind: str, what: str, weights: str, ending: str) -> str:
    suffix = "" if weights == "average" else f"-{weights}"
    return os.path.join(model_dir, f"{kind}-{what}{suffix}.{ending}")
