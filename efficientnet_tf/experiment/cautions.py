"""What is said before training because it was probably not meant, with the numbers."""

from collections.abc import Iterator

import numpy as np

from efficientnet_tf import config as config_lib
from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.experiment.durations import steps_per_epoch
from efficientnet_tf.experiment.updates import schedule
from efficientnet_tf.runs import data_record
from efficientnet_tf.runs.stored_config import read_config

_SHOWN = 3  # class names


def any_run(experiment: Experiment) -> Iterator[str]:
    """About the configuration and the data set."""
    config, source = experiment.config, experiment.data.source
    batch, images = config.train.global_batch_size, source.num_examples["train"]
    rates = experiment.updates.schedule()
    if batch > images:
        yield (
            f"the global batch has {batch} images and train {images}: one step is "
            f"{batch / images:.3g} passes over them, at a learning rate of up to {rates.peak:.3g}. "
            "Lower --config.train.global_batch_size."
        )
    if rates.warmup_steps >= rates.total_steps:
        yield (
            f"the warm-up has {rates.warmup_steps} steps and the run {rates.total_steps}: the "
            f"learning rate ends at {rates(rates.total_steps - 1):.3g} and never reaches "
            f"{rates.peak:.3g}. Lower --config.optimizer.warmup_epochs, or train longer."
        )
    if config.data.balanced_sampling and config.transfer.class_weights != "none":
        yield (
            f"data.balanced_sampling and transfer.class_weights={config.transfer.class_weights} "
            "both make up for rare classes: together they do it twice. Set one of them."
        )
    for split in ("train", "minival", "test"):
        labels = source.labels_of(split)
        if labels is None or not len(labels):
            continue
        without = np.flatnonzero(np.bincount(labels, minlength=source.num_classes) == 0)
        if len(without):
            names = source.class_names or [str(number) for number in range(source.num_classes)]
            more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
            shown = ", ".join(f'"{names[number]}"' for number in without[:_SHOWN])
            yield (
                f"{split} has no image of {len(without)} of {source.num_classes} classes "
                f"({shown}{more}). Its numbers say nothing about them."
            )


def resumed_run(experiment: Experiment) -> Iterator[str]:
    """About a run that goes on with other images or another length than it began with."""
    model_dir, step = experiment.model.model_dir, experiment.model.step
    if not step:
        return
    config = experiment.config
    images = experiment.data.source.num_examples["train"]
    before = data_record.read(model_dir)
    images_before = images if before is None else before["splits"]["train"]["images"]
    batch = config.train.global_batch_size
    if images != images_before:
        now, then = (steps_per_epoch(count, batch) for count in (images, images_before))
        yield (
            f"an epoch is now {now:.4g} steps, before {then:.4g}: step {step} ends epoch "
            f"{step / now:.3g}, before {step / then:.3g}."
        )
    epochs = read_config(model_dir).get("train.epochs", config.train.epochs)
    rates = schedule(config, images)
    earlier = schedule(config_lib.with_fields(config, {"train.epochs": epochs}), images_before)
    if rates.total_steps != earlier.total_steps:
        yield (
            f"the run now ends at step {rates.total_steps}, before {earlier.total_steps}: the "
            f"learning rate of step {step} is {rates(step):.3g}, before {earlier(step):.3g}."
        )
