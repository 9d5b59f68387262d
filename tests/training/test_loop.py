"""The protocol of a run, on integers: what is called when, and how a run ends."""

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from efficientnet_tf.errors import RunError
from efficientnet_tf.training.loop import (
    Plan,
    StopRequest,
    check_finite,
    check_finite_evaluation,
    judge,
    run,
    stop_on_signal,
)

ODD_PLANS = [
    Plan(total_steps=1, steps_per_loop=100),
    Plan(total_steps=97, steps_per_loop=10),
    Plan(total_steps=97, steps_per_loop=10, eval_every=13, checkpoint_every=7),
    Plan(total_steps=100, steps_per_loop=100, eval_every=33, checkpoint_every=1),
    Plan(total_steps=60, steps_per_loop=8, eval_every=20, checkpoint_every=15),
    Plan(total_steps=50, steps_per_loop=7, eval_every=1000, checkpoint_every=51),
]


class Recorder:
    """The callables that `run` is handed, and a list of what it called."""

    def __init__(self, **failures: Callable[[int], Any]) -> None:
        self.calls: list[tuple[str, int]] = []
        self.step = 0
        self.stop = StopRequest()
        self.failures = failures

    def _record(self, what: str, step: int) -> Any:
        self.calls.append((what, step))
        return self.failures[what](step) if what in self.failures else None

    def train(self, steps: int) -> np.ndarray:
        losses = self._record("train", steps)
        self.step += steps
        return np.ones(steps, np.float32) if losses is None else losses

    def log(self, step: int, losses: np.ndarray) -> None:
        self._record("log", step)

    def evaluate(self, step: int) -> bool:
        return bool(self._record("evaluate", step))

    def save(self, step: int) -> None:
        self._record("save", step)

    def run(self, plan: Plan, step: int = 0) -> int:
        self.step = step
        return run(
            plan,
            step,
            train=self.train,
            log=self.log,
            evaluate=self.evaluate,
            save=self.save,
            stop=self.stop,
        )

    def steps(self, what: str) -> list[int]:
        return [step for name, step in self.calls if name == what]


@pytest.mark.parametrize(
    ("step", "stop"),
    [(0, 7), (7, 13), (13, 14), (14, 21), (20, 21), (26, 28), (90, 91), (91, 97), (96, 97)],
)
def test_next_stop_is_the_first_thing_due(step: int, stop: int) -> None:
    plan = Plan(total_steps=97, steps_per_loop=10, eval_every=13, checkpoint_every=7)
    assert plan.next_stop(step) == stop


@pytest.mark.parametrize("plan", ODD_PLANS)
def test_no_stop_is_passed_over_and_no_loop_is_too_long(plan: Plan) -> None:
    step, stops = 0, []
    while step < plan.total_steps:
        following = plan.next_stop(step)
        assert 0 < following - step <= plan.steps_per_loop
        step = following
        stops.append(step)
    assert stops[-1] == plan.total_steps
    for every in (plan.eval_every, plan.checkpoint_every):
        due = set(range(every, plan.total_steps + 1, every)) if every else set()
        assert due | {plan.total_steps} == {stop for stop in stops if plan.due(stop, every)}


def test_zero_means_only_at_the_end() -> None:
    plan = Plan(total_steps=30, steps_per_loop=10)
    assert [step for step in range(1, 31) if plan.due(step, 0)] == [30]


def test_everything_happens_in_order() -> None:
    recorder = Recorder()
    plan = Plan(total_steps=10, steps_per_loop=4, eval_every=5, checkpoint_every=3)
    assert recorder.run(plan) == 10
    assert recorder.calls == [
        ("train", 3),
        ("log", 3),
        ("save", 3),
        ("train", 2),
        ("log", 5),
        ("evaluate", 5),
        ("save", 5),  # after the evaluation, so that the checkpoint knows it
        ("train", 1),
        ("log", 6),
        ("save", 6),
        ("train", 3),
        ("log", 9),
        ("save", 9),
        ("train", 1),
        ("log", 10),
        ("evaluate", 10),
        ("save", 10),
    ]


def test_everything_is_timed() -> None:
    ticks = iter(range(100))
    recorder, took = Recorder(evaluate=lambda step: bool(next(ticks)) and False), []
    recorder.failures["train"] = lambda steps: [next(ticks) for _ in range(3)] and None
    stop = StopRequest()
    run(
        Plan(total_steps=4, steps_per_loop=2),
        0,
        train=recorder.train,
        log=recorder.log,
        evaluate=recorder.evaluate,
        save=recorder.save,
        stop=stop,
        took=lambda *line: took.append(line),
        clock=lambda: float(next(ticks)),
    )
    assert took == [
        (2, "steps", 4.0),  # three ticks inside, one of the clock itself
        (4, "steps", 4.0),
        (4, "evaluation", 2.0),
        (4, "checkpoint", 1.0),
    ]


@pytest.mark.parametrize("plan", ODD_PLANS)
@pytest.mark.parametrize("start", [0, 1, 6])
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(plan: Plan, start: int) -> None:
    whole, resumed = Recorder(), Recorder()
    whole.run(plan)
    start = min(start, plan.total_steps - 1)
    resumed.run(plan, start)
    for what in ("evaluate", "save"):
        assert resumed.steps(what) == [step for step in whole.steps(what) if step > start]
    assert sum(resumed.steps("train")) == plan.total_steps - start


@pytest.mark.parametrize("plan", ODD_PLANS)
def test_no_step_is_saved_twice(plan: Plan) -> None:
    recorder = Recorder()
    recorder.run(plan)
    saves = recorder.steps("save")
    assert len(saves) == len(set(saves))
    assert saves[-1] == plan.total_steps


def test_a_run_at_its_end_does_nothing() -> None:
    recorder = Recorder()
    assert recorder.run(Plan(total_steps=5, steps_per_loop=5), step=5) == 5
    assert recorder.calls == []


def test_evaluation_may_end_the_run_and_is_saved() -> None:
    recorder = Recorder(evaluate=lambda step: step == 4)
    assert recorder.run(Plan(total_steps=10, steps_per_loop=2, eval_every=2)) == 4
    assert recorder.steps("evaluate") == [2, 4]
    assert recorder.steps("save") == [2, 4]


def test_a_stop_request_ends_after_the_loop_and_saves() -> None:
    recorder = Recorder()
    plan = Plan(total_steps=100, steps_per_loop=10, eval_every=50, checkpoint_every=40)

    def ask(step: int) -> None:
        if step == 20:
            recorder.stop.reason = "SIGTERM"

    recorder.failures["log"] = ask
    assert recorder.run(plan) == 20
    assert recorder.steps("log") == [10, 20]
    assert recorder.steps("save") == [20]
    assert recorder.steps("evaluate") == []


def test_a_stop_request_at_a_checkpoint_saves_once() -> None:
    recorder = Recorder()
    recorder.stop.reason = "SIGTERM"
    assert recorder.run(Plan(total_steps=100, steps_per_loop=10, checkpoint_every=10)) == 10
    assert recorder.steps("save") == [10]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_stops_before_it_is_logged_or_saved(bad: float) -> None:
    def train(steps: int) -> np.ndarray:
        losses = np.ones(steps, np.float32)
        if recorder.step == 20:
            losses[3:5] = bad
        return losses

    recorder = Recorder(train=train)
    with pytest.raises(RunError, match=r"not finite at step 24, 25; stopped") as caught:
        recorder.run(Plan(total_steps=100, steps_per_loop=10, checkpoint_every=10))
    assert recorder.steps("log") == [10, 20]
    assert recorder.steps("save") == [10, 20]
    for remedy in ("base_learning_rate", "clip_norm", "broken images"):
        assert remedy in str(caught.value)


def test_many_bad_losses_are_counted_not_listed() -> None:
    with pytest.raises(RunError, match=r"at step 7, 8, 9, 10, 11 and 4 more; stopped"):
        check_finite(np.full(9, np.nan), first_step=7)
    with pytest.raises(RunError, match=r"at step 7, 8, 9, 10, 11; stopped"):
        check_finite(np.full(5, np.nan), first_step=7)


def test_finite_losses_pass() -> None:
    check_finite(np.array([0.0, 1e30, -1e30]), first_step=1)
    check_finite(np.array([]), first_step=1)


@pytest.mark.parametrize("what", ["train", "log", "evaluate", "save"])
def test_errors_come_through_and_nothing_is_done_after_them(what: str) -> None:
    def fail(step: int) -> None:
        raise RunError("disk full")

    recorder = Recorder(**{what: fail})
    with pytest.raises(RunError, match="disk full"):
        recorder.run(Plan(total_steps=10, steps_per_loop=5, eval_every=5))
    assert recorder.calls[-1][0] == what


def test_an_evaluation_that_is_not_finite_ends_the_run() -> None:
    check_finite_evaluation(1e30, "minival", 3)
    for loss in (float("nan"), float("inf")):
        with pytest.raises(RunError, match=r"not finite at step 3 in .*minival.*\nLower the learn"):
            check_finite_evaluation(loss, "minival", 3)


def test_a_terminal_that_is_not_missed_ends_nothing() -> None:
    """nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_ask_for_an_end(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with stop_on_signal() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.reason == number.name
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_signal_in_the_middle_of_a_run_saves_and_ends_it() -> None:
    recorder = Recorder(train=lambda steps: os.kill(os.getpid(), signal.SIGTERM))
    with stop_on_signal() as recorder.stop:
        assert recorder.run(Plan(total_steps=100, steps_per_loop=10)) == 10
    assert recorder.calls == [("train", 10), ("log", 10), ("save", 10)]


def test_a_second_interrupt_is_not_waited_for() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_handlers_come_back_after_an_error() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(RunError), stop_on_signal():
        raise RunError("disk full")
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize(
    ("top1", "best", "without_gain", "expected"),
    [
        (0.1, -1.0, 0, (True, 0)),  # the first evaluation
        (0.0, -1.0, 0, (True, 0)),
        (0.6, 0.5, 3, (True, 0)),
        (0.5, 0.5, 3, (True, 4)),  # a tie: the later checkpoint, but patience runs
        (0.4, 0.5, 3, (False, 4)),
    ],
)
def test_ties_keep_the_later_checkpoint_and_are_no_gain(
    top1: float, best: float, without_gain: int, expected: tuple[bool, int]
) -> None:
    assert judge(top1, best, without_gain) == expected
