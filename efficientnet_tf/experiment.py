"""Builds an experiment from its configuration, layer by layer, and runs one of the modes.

`train_and_evaluate`, `train`, `evaluate` and `export` are what `main.py` calls. The only file that
knows all others.
"""

import os
import platform
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import __version__, durations
from efficientnet_tf import config as config_lib
from efficientnet_tf import export as export_lib
from efficientnet_tf.checkpoint import Checkpointer, claim_model_dir, write_json
from efficientnet_tf.data.autoaugment import get_augment
from efficientnet_tf.data.diagnose import explain_data_error
from efficientnet_tf.data.mixup import mix_batches
from efficientnet_tf.data.pipeline import train_dataset
from efficientnet_tf.data.preprocessing import Preprocessing
from efficientnet_tf.data.sources import load_source
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluate import Evaluator, describe, record
from efficientnet_tf.models.architecture import make_architecture
from efficientnet_tf.models.registry import create_model
from efficientnet_tf.optim.ema import ema_enabled
from efficientnet_tf.optim.schedule import Schedule, scaled_learning_rate
from efficientnet_tf.training import distribution
from efficientnet_tf.training.loop import Plan, StopRequest, run, stop_on_signal
from efficientnet_tf.training.reporting import Reporter
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import StepOptions, TrainStep

_CHECKED_IMAGES = 32
# Largest difference of a probability between the export (always float32) and the model in memory.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}


class Experiment:
    """Everything a mode needs: strategy, data, model, state, checkpoints.

    Args:
        config: finished, see `config.finish`.
        model_dir: of the run.
        tpu: the --tpu flag.
    """

    def __init__(
        self, config: config_lib.ExperimentConfig, model_dir: str, tpu: str | None
    ) -> None:
        self.config = config
        self.model_dir = model_dir
        self.strategy = distribution.connect(tpu)  # first: a TPU must be set up before all else
        self._check_batch_sizes()
        self.architecture = make_architecture(**self._model_arguments())
        self.source = load_source(
            config.data.source,
            config.data.data_dir,
            minival_shards=config.data.minival_shards,
            image_size=self.architecture.resolution,
        )
        self.augment = get_augment(config.data.augment)
        self.preprocessing = Preprocessing(
            image_size=self.architecture.resolution,
            train_crop=config.data.train_crop,
            flip=config.data.flip,
            eval_crop=config.data.eval_crop,
            crop_fraction=config.data.crop_fraction,
            interpolation=config.data.interpolation,
        )
        claim_model_dir(model_dir, config)
        self.precision = config.train.precision
        if self.precision == "auto":
            self.precision = "bfloat16" if distribution.is_tpu(self.strategy) else "float32"
        keras.utils.set_random_seed(config.train.seed)
        with self.strategy.scope():
            model = self._create_model(
                None, "mixed_bfloat16" if self.precision == "bfloat16" else "float32"
            )
            self.state = TrainState(model, with_average=ema_enabled(config.optimizer.ema_decay))
        self.checkpointer = Checkpointer(model_dir, self.state, config.train.keep_checkpoints)

    def _model_arguments(self) -> dict[str, Any]:
        model = self.config.model
        return {
            "name": model.name,
            "width_coefficient": model.width_coefficient,
            "depth_coefficient": model.depth_coefficient,
            "resolution": model.resolution,
            "dropout_rate": model.dropout_rate,
            "survival_prob": model.survival_prob,
            "blocks_args": model.blocks_args,
        }

    def _create_model(self, activation: str | None, dtype: str) -> keras.Model:
        return create_model(
            **self._model_arguments(),
            classes=self.source.num_classes,
            classifier_activation=activation,
            dtype=dtype,
        )

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

    def introduce(self) -> None:
        """Three lines: what runs on what, and where it lies."""
        params = self.state.model.count_params()
        size = self.architecture.resolution
        print(
            f"{self.architecture.name}, {self.source.num_classes} classes, {size}x{size} pixels, "
            f"{params / 1e6:.2f} M weights, on {distribution.describe(self.strategy)} in "
            f"{self.precision}"
        )
        sizes = self.source.num_examples
        counts = ", ".join(f"{sizes[split]} {split}" for split in ("train", "minival", "test"))
        print(f"data: {self.source.name} ({counts} images)")
        print(f"run: {self.model_dir}", flush=True)

    def evaluator(self) -> Evaluator:
        train = self.config.train
        return Evaluator(
            self.state,
            self.strategy,
            self.source,
            self.preprocessing,
            train.eval_batch_size or train.global_batch_size,
        )

    def reading(self, split: str, call: Callable[[], Any]) -> Any:
        """Calls something that reads `split`; bad data becomes a RunError that names the file."""
        try:
            return call()
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
            raise explain_data_error(error, self.source, split) from error

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
            batch_norm_group=distribution.batch_norm_group_size(self.strategy.num_replicas_in_sync),
        )
        return TrainStep(self.state, options, self.strategy)

    def train_iterator(self) -> Any:
        """Batches for each replica, from the step of the state on."""
        return iter(self.strategy.distribute_datasets_from_function(self._train_dataset))

    def _train_dataset(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        config, train = self.config, self.config.train
        dataset = train_dataset(
            self.source,
            self.preprocessing,
            global_batch_size=train.global_batch_size,
            seed=train.seed,
            start_example=self.step * train.global_batch_size,
            deterministic=config.data.deterministic,
            input_context=context,
            shuffle_buffer=config.data.shuffle_buffer,
            augment=self.augment,
        )
        if config.optimizer.mixup_alpha > 0:
            replicas = context.num_replicas_in_sync // context.num_input_pipelines
            dataset = mix_batches(
                dataset,
                config.optimizer.mixup_alpha,
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


def train_and_evaluate(
    config: config_lib.ExperimentConfig, model_dir: str, tpu: str | None, export_dir: str | None
) -> None:
    """Trains with evaluations on minival; then tests and exports the best checkpoint."""
    experiment = Experiment(config, model_dir, tpu)
    directory = _export_directory(model_dir, export_dir)
    experiment.introduce()
    if _train(experiment, with_evaluation=True):
        _test(experiment, "test")
        _export(experiment, directory)


def train(
    config: config_lib.ExperimentConfig, model_dir: str, tpu: str | None, export_dir: str | None
) -> None:
    """Trains without evaluating."""
    experiment = Experiment(config, model_dir, tpu)
    experiment.introduce()
    _train(experiment, with_evaluation=False)


def evaluate(
    config: config_lib.ExperimentConfig, model_dir: str, tpu: str | None, export_dir: str | None
) -> None:
    """Evaluates the best checkpoint on minival and test."""
    experiment = Experiment(config, model_dir, tpu)
    experiment.introduce()
    for split in ("minival", "test"):
        if experiment.source.num_examples[split]:
            _test(experiment, split)


def export(
    config: config_lib.ExperimentConfig, model_dir: str, tpu: str | None, export_dir: str | None
) -> None:
    """Exports the best checkpoint as a SavedModel."""
    experiment = Experiment(config, model_dir, tpu)
    directory = _export_directory(model_dir, export_dir)
    experiment.introduce()
    experiment.restore_for_use()
    _export(experiment, directory)


def _train(experiment: Experiment, *, with_evaluation: bool) -> bool:
    """Trains to the end of the plan; returns False if a signal ended it before."""
    config, state = experiment.config.train, experiment.state
    resumed = experiment.restore()
    patience_over = 0 < config.patience <= int(state.evaluations_without_gain.numpy())
    if experiment.step >= experiment.total_steps or (with_evaluation and patience_over):
        print(f"already trained: step {experiment.step} of {experiment.total_steps}")
        return True
    write_json(os.path.join(experiment.model_dir, "versions.json"), _versions())
    schedule = experiment.schedule()
    per_loop = 100 if distribution.is_tpu(experiment.strategy) else 10
    evaluates = with_evaluation and experiment.source.num_examples["minival"] > 0
    plan = Plan(
        total_steps=experiment.total_steps,
        steps_per_loop=config.steps_per_loop or per_loop,
        eval_every=experiment._steps(config.eval_every_epochs) if evaluates else 0,
        checkpoint_every=experiment._steps(config.checkpoint_every_epochs),
    )
    reporter = Reporter(
        experiment.model_dir,
        total_steps=plan.total_steps,
        global_batch_size=config.global_batch_size,
        first_step=experiment.step,
        learning_rate=schedule,
    )
    if resumed:
        reporter.say(f"resumed at step {experiment.step} of {plan.total_steps}")
    try:
        with stop_on_signal() as stop:
            last = _run(experiment, plan, schedule, reporter, evaluates, stop)
    finally:
        reporter.close()
    if stop and last < plan.total_steps:
        print(f"stopped by {stop.reason} at step {last}; the same command goes on from there")
        return False
    return True


def _run(
    experiment: Experiment,
    plan: Plan,
    schedule: Schedule,
    reporter: Reporter,
    evaluates: bool,
    stop: StopRequest,
) -> int:
    state, config = experiment.state, experiment.config.train
    train_step = experiment.train_step(schedule)
    iterator = experiment.train_iterator()
    evaluator = experiment.evaluator()
    saved_weights = "average" if state.average else "raw"

    def minival(step: int) -> bool:
        if not evaluates:
            return False
        distribution.average_batch_norm_statistics(experiment.strategy, state.moving_statistics())
        metrics = experiment.reading("minival", lambda: evaluator("minival", averaged=True))
        reporter.evaluation(step, "minival", saved_weights, metrics.__dict__)
        reporter.say(f"step {step}: minival {describe(metrics)}")
        if config.eval_raw_weights and state.average:
            raw = experiment.reading("minival", lambda: evaluator("minival", averaged=False))
            reporter.evaluation(step, "minival", "raw", raw.__dict__)
            reporter.say(f"step {step}: minival, raw weights, {describe(raw)}")
        if metrics.top1 > float(state.best_top1.numpy()):
            state.best_top1.assign(metrics.top1)
            state.best_step.assign(step)
            state.evaluations_without_gain.assign(0)
            experiment.checkpointer.save_best(step)
        else:
            state.evaluations_without_gain.assign_add(1)
        if 0 < config.patience <= int(state.evaluations_without_gain.numpy()):
            reporter.say(f"no better minival top-1 in {config.patience} evaluations: stopping")
            return True
        return False

    def save(step: int) -> None:
        distribution.average_batch_norm_statistics(experiment.strategy, state.moving_statistics())
        experiment.checkpointer.save(step)

    return run(
        plan,
        experiment.step,
        train=lambda steps: experiment.reading("train", lambda: train_step(iterator, steps)),
        log=reporter.progress,
        evaluate=minival,
        save=save,
        stop=stop,
    )


def _test(experiment: Experiment, split: str) -> None:
    experiment.restore_for_use()
    step = experiment.step
    evaluator = experiment.evaluator()
    averaged = bool(experiment.state.average)
    metrics = experiment.reading(split, lambda: evaluator(split, averaged=averaged))
    weights = "average" if averaged else "raw"
    path = record(experiment.model_dir, split, weights, step, metrics)
    print(f"{split}, weights of step {step}: {describe(metrics)} -> {path}", flush=True)
    if experiment.config.train.eval_raw_weights and averaged:
        raw = experiment.reading(split, lambda: evaluator(split, averaged=False))
        path = record(experiment.model_dir, split, "raw", step, raw)
        print(f"{split}, raw weights of step {step}: {describe(raw)} -> {path}", flush=True)


def _export_directory(model_dir: str, export_dir: str | None) -> str:
    """Where the SavedModel goes; refused now rather than after days of training."""
    directory = export_dir or os.path.join(model_dir, "export")
    export_lib.check_directory(directory)
    return directory


def _export(experiment: Experiment, directory: str) -> None:
    """Writes the averaged weights as a SavedModel, reloads it and compares."""
    model = experiment._create_model("softmax", "float32")
    experiment.state.copy_average_to(model)
    source = experiment.source
    metadata = {
        "model": experiment.architecture.name,
        "step": experiment.step,
        "image_size": experiment.architecture.resolution,
        "classes": source.num_classes,
        "class_names": source.class_names,
        "weights": "average" if experiment.state.average else "raw",
        "input": "values 0..255, normalised inside",
        "config": config_lib.to_dict(experiment.config),
        **_versions(),
    }
    export_lib.save(
        model,
        directory,
        experiment.preprocessing,
        class_names=source.class_names,
        metadata=metadata,
    )
    images = [
        example["image"]
        for example in source.examples("test", epoch=0, seed=0, shuffle=False)
        .take(_CHECKED_IMAGES)
        .as_numpy_iterator()
    ]
    worst = export_lib.check(
        directory,
        images,
        _probabilities(experiment, images),
        experiment.preprocessing,
        _TOLERANCE[experiment.precision],
    )
    print(
        f"SavedModel: {directory} (reloaded, largest difference of a probability on "
        f"{len(images)} test images: {worst:.1g})",
        flush=True,
    )


def _probabilities(experiment: Experiment, images: list[Any]) -> np.ndarray:
    """Answers of the model in memory, the one that was trained, for undecoded images."""
    batch = np.stack(
        [experiment.preprocessing.for_eval(tf.constant(image)).numpy() for image in images]
    )
    with keras.StatelessScope(state_mapping=experiment.state.evaluation_weights(averaged=True)):
        logits = experiment.state.model(batch, training=False)
    return tf.nn.softmax(tf.cast(logits, tf.float32)).numpy()


def _versions() -> dict[str, str]:
    return {
        "efficientnet_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
