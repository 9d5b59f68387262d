"""Everything a run needs, built in order from its configuration: the parts of an experiment."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.data.augment.augmentation import parse_augment
from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.diagnose import explain_data_error, fault
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import train_dataset
from efficientnet_tf.data.sources.resampling import class_counts
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.evaluation.evaluator import Evaluator
from efficientnet_tf.evaluation.request import EvaluationRequest
from efficientnet_tf.experiment import durations
from efficientnet_tf.experiment.run_data import load_run_data
from efficientnet_tf.machine.device import THIS_MACHINE, Device
from efficientnet_tf.models.networks import configured
from efficientnet_tf.optim.ema import ema_enabled
from efficientnet_tf.optim.schedule import Schedule, scaled_learning_rate
from efficientnet_tf.runs.checkpoint import Checkpointer, check_model_dir, newest_checkpoint
from efficientnet_tf.runs.init_record import read_record
from efficientnet_tf.training.connect import connect, describe, is_tpu
from efficientnet_tf.training.distribution import batch_norm_group_size
from efficientnet_tf.training.loop import Plan
from efficientnet_tf.training.multi_worker import Workers
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import StepOptions, TrainStep
from efficientnet_tf.transfer import fine_tuning
from efficientnet_tf.zoo import create_model

_DATA_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,  # an exception of Python code in the pipeline: too many bad examples
)


class Experiment:
    """Everything a mode needs: strategy, data, model, state, checkpoints.

    Args:
        config: finished, see `config.finish`.
        model_dir: of the run.
        device: what to compute on.
        request: what is to be evaluated instead of the run's own data set, and how.
    """

    def __init__(
        self,
        config: config_lib.ExperimentConfig,
        model_dir: str,
        device: Device = THIS_MACHINE,
        request: EvaluationRequest | None = None,
    ) -> None:
        self.config = config
        self.model_dir = model_dir
        # First: a TPU must be set up before all else.
        self.strategy = connect(device)
        self.workers = Workers(self.strategy)
        self._check_batch_sizes()
        request = request or EvaluationRequest()
        self._network_fields = dataclasses.asdict(self.config.model)
        if request.eval_resolution is not None:  # no weight depends on it
            self._network_fields["resolution"] = request.eval_resolution
        self.network = configured(**self._network_fields)
        data = config.data
        self.augmentation = parse_augment(data.augment)
        read = load_run_data(config, model_dir, request, self.network.resolution)
        self.source, self.train_source, self.target = read
        self.bad = {
            split: BadExamples(partial(self.source.place, split), data.max_bad_examples)
            for split in self.source.num_examples
            if data.on_error == "skip"
        }
        self.preprocessing = Preprocessing(
            image_size=self.network.resolution,
            train_crop=config.data.train_crop,
            flip=config.data.flip,
            eval_crop=config.data.eval_crop,
            crop_fraction=config.data.crop_fraction,
            interpolation=config.data.interpolation,
            exif_rotation=config.data.exif_rotation,
        )
        check_model_dir(model_dir, config)
        begun = newest_checkpoint(model_dir) is not None
        self.initial = read_record(model_dir) if begun else None
        self.precision = config.train.precision
        if self.precision == "auto":
            self.precision = "bfloat16" if is_tpu(self.strategy) else "float32"
        keras.utils.set_random_seed(config.train.seed)
        with self.strategy.scope():
            model = self.create_model(
                None, "mixed_bfloat16" if self.precision == "bfloat16" else "float32"
            )
            fine_tuning.prepare(model, config.transfer)
            if config.init_from and not begun:
                self.initial = fine_tuning.load_initial(
                    model,
                    config.init_from,
                    name=self.network.name,
                    class_names=self.source.class_names,
                    new_head=config.transfer.new_head,
                )
            self.state = TrainState(
                model,
                with_average=ema_enabled(config.optimizer.ema_decay),
                with_mean_square=config.optimizer.kind == "rmsprop",
            )
        self.checkpointer = Checkpointer(
            model_dir, self.state, config.train.keep_checkpoints, self.workers
        )

    def create_model(self, activation: str | None, dtype: str) -> keras.Model:
        model = create_model(
            **self._network_fields,
            classes=self.target.num_classes,
            classifier_activation=activation,
            dtype=dtype,
        )
        if self.initial is not None:
            self.initial.apply(model)
        return model

    def _check_batch_sizes(self) -> None:
        train = self.config.train
        parts = self.strategy.num_replicas_in_sync * train.accumulation_steps
        if train.global_batch_size % parts:
            raise UsageError(
                f"config field train.global_batch_size must be a multiple of {parts} (replicas x "
                f"accumulation_steps), received {train.global_batch_size}."
            )

    @property
    def step(self) -> int:
        return int(self.state.step.numpy())

    @property
    def total_steps(self) -> int:
        return self._steps(self.config.train.epochs)

    def _steps(self, epochs: float) -> int:
        batch = self.config.train.global_batch_size
        return durations.epochs_to_steps(epochs, self.source.num_examples["train"], batch)

    def plan(self, *, with_evaluation: bool) -> Plan:
        """When the run evaluates, saves and ends."""
        train = self.config.train
        per_loop = 100 if is_tpu(self.strategy) else 10
        return Plan(
            total_steps=self.total_steps,
            steps_per_loop=train.steps_per_loop or per_loop,
            eval_every=self._steps(train.eval_every_epochs) if with_evaluation else 0,
            checkpoint_every=self._steps(train.checkpoint_every_epochs),
        )

    def introduce(self) -> None:
        """Three lines: what runs on what, and where it lies."""
        params = self.state.model.count_params()
        trained = sum(weight.shape.num_elements() for weight in self.state.trainable.values())
        frozen = self.config.transfer.freeze_until
        share = f" ({trained / 1e6:.2f} M trained, above {frozen})" if frozen else ""
        size = self.network.resolution
        self.say(
            f"{self.network.name}, {self.target.num_classes} classes, {size}x{size} pixels, "
            f"{params / 1e6:.2f} M weights{share}, on {describe(self.strategy)} in "
            f"{self.precision}"
        )
        sizes = self.source.num_examples
        counts = ", ".join(f"{sizes[split]} {split}" for split in ("train", "minival", "test"))
        self.say(f"data: {self.source.name} ({counts} images)")
        if self.target.answers is not None:
            self.say(f"answers: {len(self.target.answers)} of the network's classes, no other")
        if self.initial is not None:
            self.say(str(self.initial))
        self.say(f"run: {self.model_dir}")

    def say(self, text: str) -> None:
        """A line for people; one of several workers speaks."""
        if self.workers.is_chief:
            print(text, flush=True)

    def evaluator(self) -> Evaluator:
        train = self.config.train
        return Evaluator(
            self.state,
            self.strategy,
            self.source,
            self.preprocessing,
            train.eval_batch_size or train.global_batch_size,
            self.bad,
            self.target.answers,
        )

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
            if self.workers.lost(error):
                raise
            if split in self.bad:
                self.bad[split].check()
            raise explain_data_error(error, self.source, split) from error

    def some_examples(self, split: str, count: int) -> list[tuple[Any, int]]:
        """The first images of a split that can be decoded, as stored, with their labels."""
        skips = split in self.bad
        found: list[tuple[Any, int]] = []
        for example in self.source.examples(
            split, epoch=0, seed=0, shuffle=False, skip_errors=skips
        ).as_numpy_iterator():
            if not (skips and fault(example["image"])):
                found.append((example["image"], int(example["label"])))
            if len(found) == count:
                break
        return found

    def schedule(self) -> Schedule:
        optimizer, batch = self.config.optimizer, self.config.train.global_batch_size
        return Schedule(
            kind=optimizer.schedule,
            peak=scaled_learning_rate(optimizer.base_learning_rate, batch),
            steps_per_epoch=durations.steps_per_epoch(self.source.num_examples["train"], batch),
            total_steps=self.total_steps,
            warmup_epochs=optimizer.warmup_epochs,
            decay_epochs=optimizer.decay_epochs,
            decay_factor=optimizer.decay_factor,
            staircase=optimizer.staircase,
        )

    def train_step(self, schedule: Schedule) -> TrainStep:
        optimizer, train = self.config.optimizer, self.config.train
        options = StepOptions(
            global_batch_size=train.global_batch_size,
            learning_rate=schedule,
            seed=train.seed,
            weight_decay=optimizer.weight_decay,
            label_smoothing=optimizer.label_smoothing,
            accumulation_steps=train.accumulation_steps,
            clip_norm=optimizer.clip_norm,
            rho=optimizer.rho,
            momentum=optimizer.momentum,
            epsilon=optimizer.epsilon,
            ema_decay=optimizer.ema_decay,
            batch_norm_group=batch_norm_group_size(
                self.strategy.num_replicas_in_sync, train.batch_norm
            ),
            rematerialise=train.rematerialise,
            optimizer=optimizer.kind,
            rates=fine_tuning.learning_rates(self.state.model, self.config.transfer),
            class_weights=self.class_weights(),
        )
        return TrainStep(self.state, options, self.strategy)

    def class_weights(self) -> list[float] | None:
        """Of the loss, if the configuration asks for any."""
        asked = self.config.transfer.class_weights
        if asked == "none":
            return None
        counts = self.reading("train", lambda: class_counts(self.source))
        return fine_tuning.class_weights(asked, counts)

    def train_iterator(self) -> Any:
        """Batches for each replica, from the step of the state on."""
        return iter(self.strategy.distribute_datasets_from_function(self.train_dataset_of))

    def train_dataset_of(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """What one input pipeline yields, from the step of the state on."""
        config, train = self.config, self.config.train
        preprocessing = self.preprocessing
        if self.augmentation.image is not None:
            # Augmented images are whole numbers anyway, and a quarter of the bytes as uint8.
            preprocessing = dataclasses.replace(preprocessing, image_dtype="uint8")
        dataset = train_dataset(
            self.train_source,
            preprocessing,
            global_batch_size=train.global_batch_size,
            seed=train.seed,
            start_example=self.step * train.global_batch_size,
            deterministic=config.data.deterministic,
            input_context=context,
            shuffle_buffer=config.data.shuffle_buffer,
            augment=self.augmentation.image,
            bad=self.bad.get("train"),
        )
        mix = self.augmentation.batch
        if mix is not None:
            replicas = context.num_replicas_in_sync // context.num_input_pipelines
            dataset = mix(
                dataset,
                num_classes=self.source.num_classes,
                seed=train.seed,
                first_batch=self.step * replicas,
                pipeline=context.input_pipeline_id,
            )
        return dataset

    def restore(self) -> bool:
        """Continues from the newest checkpoint in model_dir, if there is one."""
        if self.checkpointer.newest is None:
            return False
        self.checkpointer.restore(self.checkpointer.newest)
        return True

    def restore_for_use(self) -> None:
        """Takes the best checkpoint, or the newest if the run kept no best."""
        path = self.checkpointer.best or self.checkpointer.newest
        if path is None:
            raise UsageError(
                f'--model_dir: no checkpoint in "{self.model_dir}" to use. Train first '
                "(--mode=train_and_eval), with the same --model_dir."
            )
        self.checkpointer.restore(path)
