"""Several runs: which are started, with what, which are only read, and mean and spread."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientnet_tf import repeats
from efficientnet_tf.errors import RunError, UsageError

ROOT = Path(__file__).parents[1]
RESULTS = [
    {"top1": 0.9, "loss": 0.5, "split": "test"},
    {"top1": 0.8, "loss": 0.7, "split": "test"},
    {"top1": 1.0, "loss": 0.3, "split": "test"},
]


class MainPy:
    """Stands for the processes of main.py: notes their flags and writes their results."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.code = 0
        self.writes = True
        monkeypatch.setattr(subprocess, "run", self)

    def __call__(self, command: list[str], stdout: Any, **_: Any) -> Any:
        self.commands.append(command[2:])
        stdout.write(b"epoch 1\nerror: no such thing.\n")
        flags = dict(flag.lstrip("-").split("=", 1) for flag in command[2:])
        split = {"train_and_eval": "test", "eval": "minival"}.get(flags["mode"])
        if self.writes and split:
            path = Path(flags["model_dir"]) / f"evaluation-{split}.json"
            path.write_text(json.dumps(RESULTS[int(flags["model_dir"][-1])]))
        return subprocess.CompletedProcess(command, self.code)


@pytest.fixture
def main_py(monkeypatch: pytest.MonkeyPatch) -> MainPy:
    return MainPy(monkeypatch)


def test_each_seed_is_a_run_and_is_done_once(main_py: MainPy, tmp_path: Path) -> None:
    said: list[str] = []
    flags = ["--config=a.py", "--config.train.epochs=1"]
    found = repeats.run_all(repeats.seeds(3), flags, str(tmp_path), said.append)
    assert found == RESULTS
    assert main_py.commands == [
        [
            *flags,
            f"--config.train.seed={seed}",
            "--mode=train_and_eval",
            f"--model_dir={tmp_path}/seed-{seed}",
        ]
        for seed in range(3)
    ]
    assert said[0] == "seed-0: top-1 90.00 %, loss 0.5000"
    (tmp_path / "seed-1" / "evaluation-test.json").unlink()
    assert repeats.run_all(repeats.seeds(3), flags, str(tmp_path), said.append) == RESULTS
    assert len(main_py.commands) == 4
    assert main_py.commands[-1][-1].endswith("seed-1")


def test_folds_are_trained_to_their_end_and_then_evaluated(main_py: MainPy, tmp_path: Path) -> None:
    assert repeats.run_all(repeats.folds(2), [], str(tmp_path), len) == RESULTS[:2]
    fold = [["--config.data.folds=2", f"--config.data.fold={i}"] for i in (0, 0, 1, 1)]
    assert [command[:2] for command in main_py.commands] == fold
    modes = [command[2] for command in main_py.commands]
    assert modes == ["--mode=train", "--mode=eval"] * 2


def test_runs_without_averages_have_results_too(tmp_path: Path) -> None:
    run = repeats.seeds(1)[0]
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "evaluation-test-raw.json").write_text('{"top1": 0.5}')
    assert repeats.train(run, [], str(tmp_path)) == {"top1": 0.5}


def test_other_flags_need_another_folder(main_py: MainPy, tmp_path: Path) -> None:
    repeats.run_all(repeats.seeds(2), ["--config=a.py"], str(tmp_path), len)
    with pytest.raises(UsageError, match="begun with other flags: --config=a.py"):
        repeats.run_all(repeats.seeds(2), ["--config=b.py"], str(tmp_path), len)


def test_a_failed_run_is_named_with_its_last_line(main_py: MainPy, tmp_path: Path) -> None:
    main_py.code = 2
    with pytest.raises(RunError, match="seed-0 ended with exit code 2: error: no such thing."):
        repeats.run_all(repeats.seeds(2), [], str(tmp_path), len)


def test_a_stopped_run_is_no_result(main_py: MainPy, tmp_path: Path) -> None:
    main_py.writes = False
    with pytest.raises(RunError, match="seed-0 was stopped; the same command goes on"):
        repeats.run_all(repeats.seeds(2), [], str(tmp_path), len)


def test_mean_and_spread(tmp_path: Path) -> None:
    found = repeats.summary(RESULTS)
    values = [result["top1"] for result in RESULTS]
    assert found["top1"]["mean"] == pytest.approx(np.mean(values))
    assert found["top1"]["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert (found["top1"]["min"], found["top1"]["max"]) == (0.8, 1.0)
    assert found.keys() == {"top1", "loss"}
    assert repeats.spread(RESULTS) == (
        "top-1 90.00 +- 10.00 % (80.00 to 100.00), loss 0.5000 +- 0.2000, 3 runs"
    )
    repeats.write_summary(str(tmp_path / "summary.json"), RESULTS)
    assert json.loads((tmp_path / "summary.json").read_text()) == {"runs": 3, "metrics": found}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give one of --seeds=N and --folds=N"),
        (["--seeds=2", "--folds=2"], "give one of"),
        (["--seeds=1", "--model_dir=x"], 'at least 2, received "1"'),
        (["--seeds=three", "--model_dir=x"], 'received "three"'),
        (["--seeds=2"], "give --model_dir"),
        (["--seeds=2", "--model_dir=x", "--mode=train"], "--mode cannot be given"),
    ],
)
def test_the_script_refuses_wrong_use(flags: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/repeat.py"), *flags],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
