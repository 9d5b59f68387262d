"""The training of a run from its newest checkpoint to its end, with evaluations on minival."""

import os
import platform
import shlex
import sys
import time
from typing import Any

from efficientnet_tf.errors import Stopped
from efficientnet_tf.evaluation.evaluator import describe
from efficientnet_tf.experiment import cautions as cautions_for
from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.experiment.exporting import versions
from efficientnet_tf.machine import computer
from efficientnet_tf.runs import data_record
from efficientnet_tf.runs.checkpoint import claim_model_dir
from efficientnet_tf.runs.checkpoint_files import remove_unfinished
from efficientnet_tf.runs.init_record import write_record
from efficientnet_tf.storage.files import write_json
from efficientnet_tf.training.connect import describe as describe_devices
from efficientnet_tf.training.distribution import BatchNormStatistics
from efficientnet_tf.training.loop import (
    STEPS,
    StopRequest,
    check_finite_evaluation,
    judge,
    patience_is_over,
    run,
    stop_on_signal,
)
from efficientnet_tf.training.multi_worker import SharedStop
from efficientnet_tf.training.reporting import Reporter, Silence


def train_to_the_end(experiment: Experiment, *, with_evaluation: bool) -> None:
    """Trains to the end of the plan; raises Stopped if a signal ended it before."""
    config, model = experiment.config.train, experiment.model
    workers, updates = experiment.workers, experiment.updates
    resumed = model.restore()
    if "minival" in experiment.changes:  # what was the best on other images is no measure
        model.state.best_top1.assign(-1.0)
        model.state.evaluations_without_gain.assign(0)
    without_gain = int(model.state.evaluations_without_gain.numpy())
    patience_over = with_evaluation and patience_is_over(config.patience, without_gain)
    if model.step >= updates.total_steps or patience_over:
        workers.say(f"already trained: step {model.step} of {updates.total_steps}")
        return
    schedule = updates.schedule()
    cautions = [*cautions_for.any_run(experiment), *cautions_for.resumed_run(experiment)]
    reporter: Reporter | Silence = Silence()
    if workers.is_chief:
        _claim(experiment)
        reporter = Reporter(
            model.model_dir,
            total_steps=updates.total_steps,
            global_batch_size=config.global_batch_size,
            first_step=model.step,
            learning_rate=schedule,
        )
    if resumed:
        reporter.say(f"resumed at step {model.step} of {updates.total_steps}")
    for caution in cautions:
        reporter.say(f"warning: {caution}")
    evaluates = with_evaluation and experiment.data.source.num_examples["minival"] > 0
    try:
        with stop_on_signal() as asked:
            stop = SharedStop(workers, asked)
            last = _run(experiment, reporter, evaluates, stop)
    finally:
        reporter.close()
    if stop and last < updates.total_steps:
        raise Stopped(
            f"stopped by {stop.reason} at step {last}; the same command goes on from there"
        )


def _claim(experiment: Experiment) -> None:
    """Writes what the run is, once nothing more can be wrong with it."""
    model, source = experiment.model, experiment.data.source
    remove_unfinished(model.model_dir)
    claim_model_dir(model.model_dir, experiment.config)
    data_record.write(model.model_dir, source)
    if model.initial is not None:
        write_record(model.model_dir, model.initial)
    write_json(os.path.join(model.model_dir, "versions.json"), versions())
    write_json(os.path.join(model.model_dir, "command.json"), _command(experiment))


def _run(
    experiment: Experiment, reporter: Reporter | Silence, evaluates: bool, stop: StopRequest
) -> int:
    config, model, reading = experiment.config.train, experiment.model, experiment.data.reading
    state, updates = model.state, experiment.updates
    train_step, batches = updates.train_step(), updates.batches()
    evaluator = experiment.evaluator()
    statistics = BatchNormStatistics(experiment.strategy, state.moving_statistics())

    def minival(step: int) -> bool:
        if not evaluates:
            return False
        statistics.average()
        metrics = reading("minival", lambda: evaluator("minival", averaged=True))
        check_finite_evaluation(metrics.loss, "minival", step)
        reporter.evaluation(step, "minival", model.weights_name, metrics.__dict__)
        reporter.say(f"step {step}: minival {describe(metrics)}")
        if config.eval_raw_weights and state.average:
            raw = reading("minival", lambda: evaluator("minival", averaged=False))
            check_finite_evaluation(raw.loss, "minival with raw weights", step)
            reporter.evaluation(step, "minival", "raw", raw.__dict__)
            reporter.say(f"step {step}: minival, raw weights, {describe(raw)}")
        is_best, without_gain = judge(
            metrics.top1,
            float(state.best_top1.numpy()),
            int(state.evaluations_without_gain.numpy()),
        )
        state.evaluations_without_gain.assign(without_gain)
        if is_best:
            state.best_top1.assign(metrics.top1)
            state.best_step.assign(step)
            model.checkpointer.save_best(step)
        if patience_is_over(config.patience, without_gain):
            reporter.say(f"no better minival top-1 in {config.patience} evaluations: stopping")
            return True
        return False

    def save(step: int) -> None:
        statistics.average()
        model.checkpointer.save(step)

    return run(
        updates.plan(with_evaluation=evaluates),
        model.step,
        train=lambda steps: reading("train", lambda: train_step(batches, steps)),
        log=reporter.progress,
        evaluate=minival,
        save=save,
        stop=stop,
        took=lambda step, what, seconds: reporter.took(
            step, what, seconds, train_step.seconds_waiting if what == STEPS else 0.0
        ),
    )


def _command(experiment: Experiment) -> dict[str, Any]:
    """What was typed, where and when, on which machine: of the last process that trained."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "directory": os.getcwd(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "from_step": experiment.model.step,
        "machine": {
            "host": platform.node(),
            **computer.describe(),
            "devices": describe_devices(experiment.strategy),
            "precision": experiment.model.precision,
            "workers": str(experiment.workers.count),
        },
    }
