"""Candidates trained by the proxy: rows, resume, failures, progress."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, Stopped, UsageError
from efficientnet_tf.machine.device import Device
from efficientnet_tf.search import proxy as proxy_lib
from efficientnet_tf.search.proxy import Candidate, Proxy

# By hand for 16x16 pixels: stem 3x3x3x32 and the separable block 3x3x32 + 32x16 at 8x8 (the block
# at 4x4), the last convolution 16x1280 at 4x4, ten classes.
MULTIPLY_ADDS = 864 * 64 + (288 + 512) * 16 + 16 * 1280 * 16 + 1280 * 10
# Each convolution has gamma and beta, the classifier ten biases.
PARAMS = 864 + 288 + 512 + 16 * 1280 + 1280 * 10 + 2 * (32 + 32 + 16 + 1280) + 10
NETWORK = Candidate("small", {"model.blocks_args": ("r1_k3_s22_e1_i32_o16",)})
SCORES = {
    "top1": 0.5,
    "loss": 1.5,
    "examples": 179,
    "params": 7_000,
    "multiply_adds": 2_000_000,
    "steps": 3,
}


def base(**changes: Any) -> config_lib.ExperimentConfig:
    config = config_lib.ExperimentConfig()
    config.data.source = "digits"
    config.data.eval_crop = "none"
    config.model.resolution = 16
    config.train.global_batch_size = 64
    config.train.epochs = changes.get("epochs", 0.6)
    config.train.eval_every_epochs = 0.0
    return config_lib.finish(config)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """In place of trainings: what they write, by key, and the jobs that were asked for."""
    state: dict[str, Any] = {"jobs": [], "found": {}}

    def train(job: dict[str, Any], run: Path) -> dict[str, Any]:
        state["jobs"].append((job, run))
        key = run.name.rsplit("-seed", 1)[0]
        answer = state["found"].get(key, SCORES)
        return answer(run) if callable(answer) else dict(answer)

    monkeypatch.setattr(proxy_lib, "train_in_process", train)
    return state


def open_proxy(folder: Path, trainings: int = 4, **options: Any) -> Proxy:
    return Proxy(
        options.pop("base", base()), str(folder), trainings, stream=io.StringIO(), **options
    )


def test_a_candidate_is_trained_scored_and_not_trained_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open_proxy(tmp_path) as proxy:
        [row] = proxy.evaluate(NETWORK, [3])
    assert row.error is None
    assert (row.key, row.seed, row.base) == ("small", 3, proxy.digest)
    assert row.changes == {"model.blocks_args": ["r1_k3_s22_e1_i32_o16"]}
    assert row.examples == 179
    assert (row.top1 * 179) == pytest.approx(round(row.top1 * 179))
    assert 0 < row.loss < 20
    assert row.steps == int(0.6 * 1259 / 64)
    assert row.multiply_adds == MULTIPLY_ADDS
    assert row.params == PARAMS
    assert row.seconds > 1
    run = tmp_path / "runs" / proxy.digest / "small-seed3"
    assert json.loads((run / "config.json").read_text())["train.seed"] == 3
    log = (run / "log.txt").read_text()
    assert "minival" in log
    assert not re.search(r"^[WIEF]0000|oneDNN|cpu_feature_guard", log, re.MULTILINE), log
    assert not (run / "checkpoints").exists()
    assert not (run / "best").exists()

    def refuse(*arguments: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(proxy_lib, "train_in_process", refuse)
    with open_proxy(tmp_path) as proxy:
        assert proxy.evaluate(NETWORK, [3]) == [row]


def test_a_job_is_the_base_with_the_changes_and_the_seed(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    candidate = Candidate("wide-1.2", {"model.width_coefficient": 1.2, "model.resolution": 24})
    with open_proxy(tmp_path, device=Device("local", "zone", None)) as proxy:
        rows = proxy.evaluate(candidate, [0, 7])
    assert [row.seed for row in rows] == [0, 7]
    (_, _), (job, run) = answers["jobs"]
    expected = {**config_lib.to_dict(base()), **candidate.changes, "train.seed": 7}
    device = {"tpu": "local", "tpu_zone": "zone", "tpu_project": None}
    assert job == {"config": expected, "device": device}
    assert run == (tmp_path / "runs" / proxy.digest / "wide-1.2-seed7").resolve()


def test_only_what_is_missing_is_trained(answers: dict[str, Any], tmp_path: Path) -> None:
    with open_proxy(tmp_path) as proxy:
        proxy.evaluate(NETWORK, [0])
    with open_proxy(tmp_path) as proxy:
        proxy.evaluate(NETWORK, [0, 1])
    with open_proxy(tmp_path) as proxy:
        rows = proxy.evaluate(NETWORK, [0, 1, 2])
    assert [row.seed for row in rows] == [0, 1, 2]
    assert [job["config"]["train.seed"] for job, _ in answers["jobs"]] == [0, 1, 2]


def test_rows_of_another_base_do_not_count(answers: dict[str, Any], tmp_path: Path) -> None:
    with open_proxy(tmp_path) as proxy:
        proxy.evaluate(NETWORK, [0])
    with open_proxy(tmp_path, base=base(epochs=2.0)) as proxy:
        proxy.evaluate(NETWORK, [0])
    assert len(answers["jobs"]) == 2
    first, second = (run for _, run in answers["jobs"])
    assert first != second
    assert isinstance(proxy.stream, io.StringIO)
    assert "1 rows of" in proxy.stream.getvalue()
    assert "are of another base: not used" in proxy.stream.getvalue()


def test_a_failed_candidate_is_a_row_and_the_search_goes_on(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    answers["found"]["bad"] = {"error": "killed by SIGKILL (out of memory?): no output"}
    with open_proxy(tmp_path) as proxy:
        [failed] = proxy.evaluate(Candidate("bad", {}), [0])
        [good] = proxy.evaluate(NETWORK, [0])
    assert failed.error == "killed by SIGKILL (out of memory?): no output"
    assert good.error is None
    assert isinstance(proxy.stream, io.StringIO)
    assert "bad, seed 0: failed: killed by SIGKILL" in proxy.stream.getvalue()
    with open_proxy(tmp_path) as proxy:
        assert proxy.evaluate(Candidate("bad", {}), [0]) == [failed]
    assert len(answers["jobs"]) == 2, "failed candidates are not tried again by themselves"


def test_if_the_first_ones_all_fail_the_search_stops(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    for key in "abc":
        answers["found"][key] = {"error": f"no file for {key}"}
    with open_proxy(tmp_path) as proxy:
        proxy.evaluate(Candidate("a", {}), [0])
        proxy.evaluate(Candidate("b", {}), [0])
        with pytest.raises(RunError, match="first 3 trainings all failed") as caught:
            proxy.evaluate(Candidate("c", {}), [0])
    assert 'The last, "c": no file for c' in str(caught.value)
    assert "c-seed0/log.txt" in str(caught.value)
    assert f"remove {tmp_path}/results.jsonl and start again" in str(caught.value)


def test_failures_after_a_success_do_not_stop_it(answers: dict[str, Any], tmp_path: Path) -> None:
    for key in "abcd":
        answers["found"][key] = {"error": "too big"}
    with open_proxy(tmp_path) as proxy:
        proxy.evaluate(NETWORK, [0])
        errors = [proxy.evaluate(Candidate(key, {}), [0])[0].error for key in "abcd"]
    assert errors == ["too big"] * 4


def test_a_stopped_training_is_no_failure(answers: dict[str, Any], tmp_path: Path) -> None:
    def stopped(run: Path) -> dict[str, Any]:
        raise Stopped

    answers["found"]["small"] = stopped
    with open_proxy(tmp_path) as proxy, pytest.raises(Stopped):
        proxy.evaluate(NETWORK, [0])
    assert open_proxy(tmp_path).results.rows == []


def test_only_checkpoints_of_finished_candidates_are_removed(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    def interrupted(run: Path) -> dict[str, Any]:
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        raise KeyboardInterrupt

    answers["found"]["small"] = interrupted
    with open_proxy(tmp_path) as proxy, pytest.raises(KeyboardInterrupt):
        proxy.evaluate(NETWORK, [0])
    run = tmp_path / "runs" / proxy.digest / "small-seed0"
    assert (run / "checkpoints").exists()
    answers["found"]["small"] = SCORES
    with open_proxy(tmp_path) as proxy:
        proxy.evaluate(NETWORK, [0])
    assert not (run / "checkpoints").exists()


def test_lines_say_how_far_it_is(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open_proxy(tmp_path) as proxy:
        proxy.evaluate(NETWORK, [0])
    ticks = [0.0]
    monkeypatch.setattr(proxy_lib.time, "monotonic", lambda: ticks[0])

    def ten_minutes(run: Path) -> dict[str, Any]:
        ticks[0] += 600.0
        return dict(SCORES)

    answers["found"]["small"] = ten_minutes
    with open_proxy(tmp_path) as proxy:
        proxy.evaluate(NETWORK, [0, 1, 2])
    assert isinstance(proxy.stream, io.StringIO)
    # Of four, one was there before; each of the others takes ten minutes.
    assert proxy.stream.getvalue().splitlines() == [
        "[2/4, 20:00 left] small, seed 1: top-1 50.00 %, loss 1.5000, 2.00 M multiply-adds, "
        "0.007 M weights, 600 s",
        "[3/4, 10:00 left] small, seed 2: top-1 50.00 %, loss 1.5000, 2.00 M multiply-adds, "
        "0.007 M weights, 600 s",
    ]


def test_a_folder_is_for_one_search_at_a_time(tmp_path: Path) -> None:
    message = "another process is at work in"
    with open_proxy(tmp_path), pytest.raises(UsageError, match=message), open_proxy(tmp_path):
        pass
    with open_proxy(tmp_path):
        pass


def test_a_terminal_shows_a_bar_with_the_time_left(answers: dict[str, Any], tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    proxy = Proxy(base(), str(tmp_path), 4, stream=Terminal())
    with proxy:
        proxy.evaluate(NETWORK, [0, 1, 2])
    assert isinstance(proxy.stream, Terminal)
    shown = proxy.stream.getvalue()
    assert "3/4" in shown
    assert "training" in shown
    assert "<" in shown, "elapsed<left"
    assert "small, seed 2: top-1 50.00 %" in shown


@pytest.mark.parametrize(
    ("key", "changes", "message"),
    [
        ("a/b", {}, 'only letters, digits, ".", "_" and "-", received "a/b"'),
        ("", {}, 'received ""'),
        ("a", {"model.width": 2.0}, 'config has no field "model.width". Did you mean'),
        ("a", {"train.seed": 1}, 'candidate "a" changes train.seed; seeds are given to evaluate'),
    ],
)
def test_wrong_candidates(key: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Candidate(key, changes)
