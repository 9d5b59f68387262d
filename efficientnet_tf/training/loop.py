"""The order of a training run: update, log, evaluate, save, stop. It trains nothing itself.

Everything it does is handed in as a callable, so it can be tested with a few integers and knows
neither checkpoints nor models.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from efficientnet_tf.errors import RunError

STEPS, EVALUATION, CHECKPOINT = TIMED = ("steps", "evaluation", "checkpoint")
# What asks a process to end; Windows has no SIGHUP.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
_NOT_FINITE = (
    "The last checkpoint before them is kept.\nLower the learning rate "
    "(--config.optimizer.base_learning_rate), clip gradients (--config.optimizer.clip_norm=1) or "
    "look for broken images."
)


@dataclass(frozen=True)
class Plan:
    """When things are due, in steps; 0 for an interval means only at the end.

    Attributes:
        total_steps: updates of the whole run.
        steps_per_loop: updates on the device between two looks at the host, at least 1.
        eval_every: between evaluations.
        checkpoint_every: between checkpoints.
    """

    total_steps: int
    steps_per_loop: int
    eval_every: int = 0
    checkpoint_every: int = 0

    def next_stop(self, step: int) -> int:
        """The next step after `step` at which something other than training is due."""
        stops = [
            (step // every + 1) * every
            for every in (self.eval_every, self.checkpoint_every)
            if every
        ]
        return min([self.total_steps, step + self.steps_per_loop, *stops])

    def due(self, step: int, every: int) -> bool:
        return step == self.total_steps or (every > 0 and step % every == 0)


class StopRequest:
    """Whether a signal has asked the run to save and end. `reason` is empty until then."""

    def __init__(self) -> None:
        self.reason = ""

    def __bool__(self) -> bool:
        return bool(self.reason)


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """SIGTERM, a lost terminal (SIGHUP) or the first Ctrl-C asks for a clean end.

    A second Ctrl-C interrupts at once. Where SIGHUP is ignored, as under nohup, it stays so.
    """
    request = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        request.reason = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {
        number: signal.signal(number, ask)
        for number in ENDING
        if number in ENDING[:2] or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def check_finite(losses: np.ndarray, first_step: int) -> None:
    """Raises a RunError that names the steps whose loss is NaN or infinite.

    Args:
        losses: [steps], of the steps `first_step`, `first_step` + 1, ... counted from 1.
    """
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        steps = ", ".join(str(first_step + int(index)) for index in bad[:5])
        more = f" and {bad.size - 5} more" if bad.size > 5 else ""
        raise RunError(
            f"the loss is not finite at step {steps}{more}; stopped without saving these steps. "
            + _NOT_FINITE
        )


def check_finite_evaluation(loss: float, what: str, step: int) -> None:
    """Raises a RunError if the loss of an evaluation is NaN or infinite.

    Args:
        what: the split.
        step: of the weights.
    """
    if not np.isfinite(loss):
        raise RunError(
            f"the loss is not finite at step {step} in the evaluation of {what}; the weights of "
            f"that step are of no use and were not saved or written. {_NOT_FINITE}"
        )


def judge(top1: float, best: float, without_gain: int) -> tuple[bool, int]:
    """Whether a checkpoint is kept as the best, and evaluations without a gain after it.

    Of equals the later one is kept, as in the official code, but a tie is no gain: patience runs.
    """
    return top1 >= best, 0 if top1 > best else without_gain + 1


def patience_is_over(patience: int, without_gain: int) -> bool:
    """Early stopping: whether there were `patience` evaluations without a gain; 0: never."""
    return 0 < patience <= without_gain


def run(
    plan: Plan,
    step: int,
    *,
    train: Callable[[int], np.ndarray],
    log: Callable[[int, np.ndarray], Any],
    evaluate: Callable[[int], bool],
    save: Callable[[int], Any],
    stop: StopRequest,
    took: Callable[[int, str, float], Any] = lambda step, what, seconds: None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Trains from `step` to the end of the plan, or until told to stop; returns the last step.

    Args:
        train: runs so many updates, returns their losses.
        log: told the step reached and the losses since the last call.
        evaluate: told the step; returns whether to stop early. Called before `save` of the same
            step, so that a checkpoint knows the evaluations up to its step.
        save: told the step.
        stop: looked at between device loops.
        took: told the step reached, one of TIMED and the seconds that it took.
        clock: seconds.
    """

    def save_timed(step: int) -> None:
        started = clock()
        save(step)
        took(step, CHECKPOINT, clock() - started)

    saved = step
    while step < plan.total_steps:
        started = clock()
        losses = train(plan.next_stop(step) - step)
        check_finite(losses, step + 1)
        step += len(losses)
        took(step, STEPS, clock() - started)
        log(step, losses)
        finished = False
        if plan.due(step, plan.eval_every):
            started = clock()
            finished = evaluate(step)
            took(step, EVALUATION, clock() - started)
        if finished or plan.due(step, plan.eval_every) or plan.due(step, plan.checkpoint_every):
            save_timed(step)
            saved = step
        if finished or stop:
            break
    if saved < step:
        save_timed(step)
    return step
