"""The evaluation of a split with what is written and said about it, for the modes of main.py."""

import functools
from collections.abc import Mapping
from typing import Any

from efficientnet_tf.evaluation.evaluator import (
    Evaluation,
    Evaluator,
    describe,
    describe_scores,
    record,
    record_predictions,
)
from efficientnet_tf.evaluation.imagenet_variants import describe_real
from efficientnet_tf.evaluation.scores import summary
from efficientnet_tf.experiment.run_data import RunData
from efficientnet_tf.experiment.run_model import RunModel
from efficientnet_tf.training.metrics import Metrics
from efficientnet_tf.training.multi_worker import Workers


class FinalEvaluation:
    """Evaluates, and writes the results into the run's folder.

    Every worker takes part, for each sees a share of the images; the chief writes
    evaluation-<what>.json and predictions-<what>.npz and says so.
    """

    def __init__(
        self, evaluator: Evaluator, data: RunData, model: RunModel, workers: Workers
    ) -> None:
        self._evaluator = evaluator
        self._data = data
        self._model = model
        self._workers = workers

    def __call__(self, split: str, *, raw: bool) -> None:
        """Evaluates a split of the target with the weights in place, and `raw` ones besides."""
        target = self._data.target
        real = target.real_labels
        if real:
            self._data.reading(split, lambda: real.check(split))
        what, context = target.result_name(split), target.described(split)
        passes = [(True, self._model.weights_name, "weights")]
        if raw and self._model.state.average:
            passes.append((False, "raw", "raw weights"))
        for averaged, weights, called in passes:
            answers = self._data.reading(
                split, functools.partial(self._evaluator.answers, split, averaged=averaged)
            )
            if self._workers.is_chief:
                more = {"real": real.accuracy(split, answers.outcomes)} if real else {}
                self._write_answers(what, weights, called, answers, {**context, **more})

    def metrics_alone(self, split: str) -> Metrics:
        """The same without the answer to each example, for a split of the run's own."""
        metrics = self._data.reading(split, lambda: self._evaluator(split, averaged=True))
        if self._workers.is_chief:
            self._write_metrics(split, self._model.weights_name, "weights", metrics, {})
        return metrics

    def _write_answers(
        self, what: str, weights: str, called: str, answers: Evaluation, context: Mapping[str, Any]
    ) -> None:
        """Writes what a split was answered and says it in two or three lines."""
        names = self._data.target.answer_names
        scores = summary(answers.outcomes, names)
        file = record_predictions(self._model.model_dir, what, weights, answers.predictions)
        self._write_metrics(what, weights, called, answers.metrics, {**context, **scores})
        kept = file or "not kept, there are too many"
        self._workers.say(f"  {describe_scores(scores, names)}  predictions: {kept}")
        if "real" in context:
            self._workers.say(f"  {describe_real(context['real'])}")

    def _write_metrics(
        self, what: str, weights: str, called: str, metrics: Metrics, more: Mapping[str, Any]
    ) -> None:
        """Writes evaluation-<what>.json and says its first numbers."""
        step = self._model.step
        path = record(self._model.model_dir, what, weights, step, metrics, more)
        self._workers.say(f"{what}, {called} of step {step}: {describe(metrics)} -> {path}")
