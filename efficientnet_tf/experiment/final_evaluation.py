"""The evaluation of a split with what is written and said about it, for the modes of main.py."""

import functools
from collections.abc import Mapping
from typing import Any

from efficientnet_tf.evaluation.evaluator import (
    Evaluation,
    Evaluator,
    describe,
    describe_scores,
    evaluation_path,
    predictions_path,
    record,
    record_predictions,
)
from efficientnet_tf.evaluation.imagenet_variants import describe_real
from efficientnet_tf.evaluation.scores import summary
from efficientnet_tf.experiment.run_data import RunData
from efficientnet_tf.experiment.run_model import RunModel
from efficientnet_tf.training.loop import check_finite_evaluation
from efficientnet_tf.training.metrics import Metrics
from efficientnet_tf.training.multi_worker import Workers


class FinalEvaluation:
    """Evaluates, and writes the results into the run's folder.

    Every worker takes part, for each sees a share of the images; the chief writes
    evaluation-<what>.json and predictions-<what>.npz. Before, it says what came out, so that no
    disk can lose it.
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
            check_finite_evaluation(answers.metrics.loss, what, self._model.step)
            if self._workers.is_chief:
                more = {"real": real.accuracy(split, answers.outcomes)} if real else {}
                self._tell_answers(what, weights, called, answers, {**context, **more})

    def metrics_alone(self, split: str) -> Metrics:
        """The same without the answer to each example, for a split of the run's own."""
        metrics = self._data.reading(split, lambda: self._evaluator(split, averaged=True))
        check_finite_evaluation(metrics.loss, split, self._model.step)
        if self._workers.is_chief:
            self._tell_metrics(split, self._model.weights_name, "weights", metrics, {})
        return metrics

    def _tell_answers(
        self, what: str, weights: str, called: str, answers: Evaluation, context: Mapping[str, Any]
    ) -> None:
        """Says what a split was answered in two or three lines, and then writes it."""
        names = self._data.target.answer_names
        scores = summary(answers.outcomes, names)
        model_dir = self._model.model_dir
        kept = predictions_path(model_dir, what, weights, answers.predictions)
        told = [
            f"  {describe_scores(scores, names)}  predictions: "
            f"{kept or 'not kept, there are too many'}"
        ]
        if "real" in context:
            told.append(f"  {describe_real(context['real'])}")
        more = {**context, **scores}
        self._tell_metrics(what, weights, called, answers.metrics, more, *told)
        record_predictions(model_dir, what, weights, answers.predictions)

    def _tell_metrics(
        self,
        what: str,
        weights: str,
        called: str,
        metrics: Metrics,
        more: Mapping[str, Any],
        *told: str,
    ) -> None:
        """Says the first numbers, and what is told besides, and writes evaluation-<what>.json."""
        step, model_dir = self._model.step, self._model.model_dir
        path = evaluation_path(model_dir, what, weights)
        self._workers.say(f"{what}, {called} of step {step}: {describe(metrics)} -> {path}")
        for line in told:
            self._workers.say(line)
        record(model_dir, what, weights, step, metrics, more)
