"""Evaluation of a whole split, every image once, and its record as JSON."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from efficientnet_tf.checkpoint import write_json
from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.pipeline import eval_dataset
from efficientnet_tf.data.preprocessing import Preprocessing
from efficientnet_tf.data.source import Source
from efficientnet_tf.errors import RunError
from efficientnet_tf.training.metrics import Metrics
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import EvalStep


class Evaluator:
    """Evaluates a state on the splits of a source.

    Args:
        global_batch_size: over all replicas; rounded up to a multiple of them.
        bad: per split, where examples that cannot be used are noted and passed over; a split
            that is not there stops at the first.

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
    ) -> None:
        self._strategy = strategy
        self._source = source
        self._preprocessing = preprocessing
        replicas = strategy.num_replicas_in_sync
        self._batch_size = -(-global_batch_size // replicas) * replicas
        self.steps = {
            averaged: EvalStep(state, strategy, averaged=averaged) for averaged in (False, True)
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
            self._datasets[split] = self._strategy.distribute_datasets_from_function(
                functools.partial(self.dataset, split)
            )
        metrics = Metrics.from_sums(self.steps[averaged](self._datasets[split]))
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

    def dataset(self, split: str, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """What one input pipeline yields of a split."""
        self._pipelines = context.num_input_pipelines
        return eval_dataset(
            self._source,
            split,
            self._preprocessing,
            global_batch_size=self._batch_size,
            input_context=context,
            bad=self._bad.get(split),
        )


def describe(metrics: Metrics) -> str:
    """`top-1 98.61 %  top-5 100.00 %  loss 0.0712  (360 images)`."""
    skipped = f", {metrics.skipped} skipped" if metrics.skipped else ""
    return (
        f"top-1 {100 * metrics.top1:.2f} %  top-5 {100 * metrics.top5:.2f} %  "
        f"loss {metrics.loss:.4f}  ({metrics.examples} images{skipped})"
    )


def record(model_dir: str, split: str, weights: str, step: int, metrics: Metrics) -> str:
    """Writes evaluation-<split>.json (or ...-raw.json) into model_dir; returns its path."""
    suffix = "" if weights == "average" else f"-{weights}"
    path = os.path.join(model_dir, f"evaluation-{split}{suffix}.json")
    content = {"split": split, "weights": weights, "step": step, **dataclasses.asdict(metrics)}
    write_json(path, content)
    return path
