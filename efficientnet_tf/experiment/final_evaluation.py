"""The evaluation of a split with what is written and said about it, for the modes of main.py."""

import functools
from collections.abc import Mapping
from typing import Any

from efficientnet_tf.evaluation.evaluator import (
    Answers,
    Evaluator,
    describe,
    describe_scores,
    record,
    record_predictions,
)
from efficientnet_tf.evaluation.imagenet_variants import describe_real
from efficientnet_tf.evaluation.scores import summary
from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.training.metrics import Metrics


def evaluate_split(experiment: Experiment, evaluator: Evaluator, split: str) -> None:
    """Evaluates a split with the weights in place, and the raw ones if the configuration asks.

    Every worker takes part, for each sees a share of the images; the chief writes
    evaluation-<what>.json and predictions-<what>.npz and says so.
    """
    target, real = experiment.target, experiment.target.real_labels
    if real:
        experiment.reading(split, lambda: real.check(split))
    what, context = target.result_name(split), target.described(split)
    averaged = bool(experiment.state.average)
    passes = [(averaged, "average" if averaged else "raw", "weights")]
    if experiment.config.train.eval_raw_weights and averaged:
        passes.append((False, "raw", "raw weights"))
    for with_average, weights, called in passes:
        answers = experiment.reading(
            split, functools.partial(evaluator.answers, split, averaged=with_average)
        )
        if experiment.workers.is_chief:
            more = {"real": real.accuracy(split, answers.outcomes)} if real else {}
            _write_answers(experiment, what, weights, called, answers, {**context, **more})


def _write_answers(
    experiment: Experiment,
    what: str,
    weights: str,
    called: str,
    answers: Answers,
    context: Mapping[str, Any],
) -> None:
    """Writes what a split was answered and says it in two or three lines."""
    model_dir, names = experiment.model_dir, experiment.target.answer_names
    scores = summary(answers.outcomes, names)
    file = record_predictions(model_dir, what, weights, answers.predictions)
    write_metrics(experiment, what, weights, called, answers.metrics, {**context, **scores})
    kept = file or "not kept, there are too many"
    experiment.say(f"  {describe_scores(scores, names)}  predictions: {kept}")
    if "real" in context:
        experiment.say(f"  {describe_real(context['real'])}")


def write_metrics(
    experiment: Experiment,
    what: str,
    weights: str,
    called: str,
    metrics: Metrics,
    more: Mapping[str, Any] | None = None,
) -> None:
    """The chief writes evaluation-<what>.json and says its first numbers."""
    if experiment.workers.is_chief:
        step = experiment.step
        path = record(experiment.model_dir, what, weights, step, metrics, more)
        experiment.say(f"{what}, {called} of step {step}: {describe(metrics)} -> {path}")
