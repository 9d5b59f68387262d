"""What a run reads: its images on their way into batches, and whose fault it is if that fails."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from efficientnet_tf.config import ExperimentConfig, TrainConfig
from efficientnet_tf.data.augment.augmentation import parse_augment
from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.diagnose import explain_data_error, fault
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import train_dataset
from efficientnet_tf.data.sources.by_name import training_source
from efficientnet_tf.data.sources.resampling import class_counts
from efficientnet_tf.data.sources.source import Pass
from efficientnet_tf.errors import RunError
from efficientnet_tf.evaluation.target import Target
from efficientnet_tf.training.multi_worker import Workers
from efficientnet_tf.transfer import fine_tuning

_DATA_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,  # an exception of Python code in the pipeline: too many bad examples
)


class RunData:
    """The images of a run.

    Args:
        config: finished.

    Attributes:
        target: what evaluations read and compare with.
        source: that of the target; its counts make steps and epochs.
        preprocessing: of all images.
        bad: by split, what cannot be used and is passed over; empty if the first one ends the run.
    """

    def __init__(self, config: ExperimentConfig, target: Target, workers: Workers) -> None:
        data = config.data
        self._config, self._workers = data, workers
        self._class_weights = config.transfer.class_weights
        self._augmentation = parse_augment(data.augment)
        self.target = target
        self.source = self._train_source = target.source
        if target.is_own:
            # The real ones need the counts; a wrong list is refused before anything is written.
            fine_tuning.class_weights(self._class_weights, [1] * self.source.num_classes)
            self._train_source = training_source(self.source, data)
        self.preprocessing = Preprocessing.of(target.resolution, data)
        self.bad = {
            split: BadExamples(partial(self.source.place, split), data.max_bad_examples)
            for split in self.source.num_examples
            if data.on_error == "skip"
        }

    def reading(self, split: str, call: Callable[[], Any]) -> Any:
        """Calls something that reads `split`; bad data becomes a RunError that names the file."""
        try:
            return call()
        except tf.errors.ResourceExhaustedError as error:
            raise RunError(
                "out of memory. Lower --config.train.global_batch_size, or compute each update in "
                "parts with --config.train.accumulation_steps; checkpoints are kept."
            ) from error
        except _DATA_ERRORS as error:
            if self._workers.lost(error):
                raise
            if split in self.bad:
                self.bad[split].check()
            raise explain_data_error(error, self.source, split) from error

    def some_examples(self, split: str, count: int) -> list[tuple[Any, int]]:
        """The first images of a split that can be decoded, as stored, with their labels."""
        skips = split in self.bad
        found: list[tuple[Any, int]] = []
        for example in self.source.examples(split, Pass(skip_errors=skips)).as_numpy_iterator():
            if not (skips and fault(example["image"])):
                found.append((example["image"], int(example["label"])))
            if len(found) == count:
                break
        return found

    def class_weights(self) -> list[float] | None:
        """Of the loss, if the configuration asks for any."""
        if self._class_weights == "none":
            return None
        counts = self.reading("train", lambda: class_counts(self.source))
        return fine_tuning.class_weights(self._class_weights, counts)

    def train_dataset(
        self, train: TrainConfig, step: int, context: tf.distribute.InputContext
    ) -> tf.data.Dataset:
        """What one input pipeline yields for training, from a step on."""
        preprocessing = self.preprocessing
        if self._augmentation.image is not None:
            # Augmented images are whole numbers anyway, and a quarter of the bytes as uint8.
            preprocessing = dataclasses.replace(preprocessing, image_dtype="uint8")
        dataset = train_dataset(
            self._train_source,
            preprocessing,
            global_batch_size=train.global_batch_size,
            seed=train.seed,
            start_example=step * train.global_batch_size,
            deterministic=self._config.deterministic,
            input_context=context,
            shuffle_buffer=self._config.shuffle_buffer,
            augment=self._augmentation.image,
            bad=self.bad.get("train"),
        )
        if self._augmentation.batch is None:
            return dataset
        return self._augmentation.batch(
            dataset,
            num_classes=self.source.num_classes,
            seed=train.seed,
            first_batch=step * (context.num_replicas_in_sync // context.num_input_pipelines),
            pipeline=context.input_pipeline_id,
        )
