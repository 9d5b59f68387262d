"""Several runs: which are started, with what, which are only read, and mean and spread."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from efficientnet_tf.errors import RunError, Stopped, UsageError
from efficientnet_tf.runs import repeats

ROOT = Path(__file__).parents[2]
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
        self.says = b"epoch 1\nerror: no such thing:\n  this one.\n"
        monkeypatch.setattr(subprocess, "Popen", self)

    def __call__(self, command: list[str], stdout: Any, **_: Any) -> Any:
        flags = command[4:]  # python -m efficientnet_tf.runs.jobs efficientnet_tf
        self.commands.append(flags)
        stdout.write(self.says)
        stdout.flush()
        values = dict(flag.lstrip("-").split("=", 1) for flag in flags)
        split = {"train_and_eval": "test", "eval": "minival"}.get(values["mode"])
        if self.writes and split:
            path = Path(values["model_dir"]) / f"evaluation-{split}.json"
            path.write_text(json.dumps(RESULTS[int(values["model_dir"][-1])]))
        if not self.code:
            (Path(values["model_dir"]) / "config.json").touch()
        child = MagicMock()
        child.__enter__.return_value.wait.return_value = self.code
        return child


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


def test_runs_on_other_images_are_not_joined(main_py: MainPy, tmp_path: Path) -> None:
    def record(name: str, train: int, minival: int, test: str) -> None:
        sizes = {"train": train, "minival": minival, "test": 1}
        splits = {split: {"images": n, "fingerprint": test} for split, n in sizes.items()}
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "data.json").write_text(json.dumps({"splits": splits}))

    record("seed-0", 30, 4, "x")
    record("seed-1", 29, 5, "x")  # as another fold would have them
    assert repeats.run_all(repeats.seeds(2), [], str(tmp_path)) == RESULTS[:2]
    for size, test in ((30, "x"), (29, "y")):
        record("seed-1", size, 5, test)
        with pytest.raises(RunError, match="data set has changed between seed-0 and seed-1"):
            repeats.run_all(repeats.seeds(2), [], str(tmp_path))


def test_folds_are_trained_to_their_end_and_then_evaluated(main_py: MainPy, tmp_path: Path) -> None:
    assert repeats.run_all(repeats.folds(2), [], str(tmp_path), len) == RESULTS[:2]
    fold = [["--config.data.folds=2", f"--config.data.fold={i}"] for i in (0, 0, 1, 1)]
    assert [command[:2] for command in main_py.commands] == fold
    modes = [command[2:-1] for command in main_py.commands]
    assert modes == [["--mode=train"], ["--mode=eval", "--split=minival"]] * 2


def test_runs_without_averages_have_results_too(tmp_path: Path) -> None:
    run = repeats.seeds(1)[0]
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "evaluation-test-raw.json").write_text('{"top1": 0.5, "loss": 2}')
    assert repeats.train(run, [], str(tmp_path)) == {"top1": 0.5, "loss": 2}


@pytest.mark.parametrize(
    ("file", "content"),
    [("evaluation-test.json", c) for c in ("", "[]", '{"top1": 0.5}', '{"top1": "x", "loss": 1}')]
    + [("flags.json", content) for content in ("", "{", "5", "\udcff")],
)
def test_a_damaged_file_of_a_run_is_one_message(tmp_path: Path, file: str, content: str) -> None:
    run = repeats.seeds(1)[0]
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "config.json").touch()
    (tmp_path / run.name / file).write_text(content, errors="surrogateescape")
    with pytest.raises(UsageError, match=r"Remove it: the same|[Uu]se another --model_dir|another"):
        repeats.train(run, [], str(tmp_path))


def test_other_flags_need_another_folder(main_py: MainPy, tmp_path: Path) -> None:
    repeats.run_all(repeats.seeds(2), ["--config=a.py"], str(tmp_path), len)
    with pytest.raises(UsageError, match="begun with other flags: --config=a.py"):
        repeats.run_all(repeats.seeds(2), ["--config=b.py"], str(tmp_path), len)


def test_refused_flags_can_be_corrected(main_py: MainPy, tmp_path: Path) -> None:
    main_py.code = 2
    with pytest.raises(UsageError, match=r"^no such thing:\n  this one\.$"):
        repeats.run_all(repeats.seeds(2), ["--confg=a.py"], str(tmp_path), len)
    main_py.code = 0
    assert len(repeats.run_all(repeats.seeds(2), ["--config=a.py"], str(tmp_path), len)) == 2


@pytest.mark.parametrize(
    ("code", "says", "message"),
    [
        (1, b"epoch 1\nerror: disk full.\n", "disk full."),
        (1, b"Traceback\nOSError: x\n", "ended with exit code 1: OSError: x"),
        (2, b"Killed\n", "ended with exit code 2: Killed"),
        (-9, b"", r"killed by SIGKILL \(out of memory\?\): no output"),
    ],
)
def test_a_failed_run_is_named_with_its_reason(
    main_py: MainPy, tmp_path: Path, code: int, says: bytes, message: str
) -> None:
    main_py.code, main_py.says = code, says
    with pytest.raises(RunError, match=f"^seed-0: {message}\nThe same command goes on"):
        repeats.run_all(repeats.seeds(2), [], str(tmp_path), len)


@pytest.mark.parametrize(
    "code",
    [130, -signal.SIGTERM, -signal.SIGINT],
)
def test_a_stopped_run_is_not_evaluated(main_py: MainPy, tmp_path: Path, code: int) -> None:
    """--mode=eval would take any checkpoint."""
    main_py.code = code
    with pytest.raises(Stopped, match="fold-0 was stopped; the same command goes on"):
        repeats.run_all(repeats.folds(2), [], str(tmp_path), len)
    assert len(main_py.commands) == 1
    main_py.code = 0
    assert repeats.run_all(repeats.folds(2), [], str(tmp_path), len) == RESULTS[:2]


def test_a_run_without_a_result_is_refused(main_py: MainPy, tmp_path: Path) -> None:
    main_py.writes = False
    with pytest.raises(RunError, match=r"seed-0 has no evaluation of test; .*log\.txt says why"):
        repeats.run_all(repeats.seeds(2), [], str(tmp_path), len)


def test_a_folder_takes_one_process_at_a_time(main_py: MainPy, tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    with open(tmp_path / "seed-0" / "log.txt", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match='a run is going on in ".*seed-0"'):
            repeats.run_all(repeats.seeds(2), [], str(tmp_path), len)
    assert not main_py.commands
    assert len(repeats.run_all(repeats.seeds(2), [], str(tmp_path), len)) == 2


def test_folders_that_cannot_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match='"[^"]*file/seed-0" cannot be written: Not a directory'):
        repeats.run_all(repeats.seeds(2), [], str(tmp_path / "file"), len)
    with pytest.raises(UsageError, match='folder of this machine, received "gs://b/x"'):
        repeats.run_all(repeats.seeds(2), [], "gs://b/x", len)


CONFIG = """
from efficientnet_tf.config import ExperimentConfig

def get_config():
    config = ExperimentConfig()
    config.model.resolution = 16
    config.model.width_coefficient = 0.1
    config.model.blocks_args = ("r1_k3_s22_e1_i32_o16",)
    config.data.source = "digits"
    config.data.eval_crop = "none"
    config.train.global_batch_size = 64
    config.train.epochs = 40.0
    config.train.steps_per_loop = 2
    config.train.checkpoint_every_epochs = 1.0
    return config
"""


def stopped_fold(tmp_path: Path) -> tuple[list[str], Path]:
    """The word with real folds, told to stop in the first one; its flags and its folder."""
    config, runs = tmp_path / "config.py", tmp_path / "runs"
    config.write_text(CONFIG)
    flags = [f"--config={config}"]
    command = [sys.executable, str(ROOT / "main.py"), "repeat", "--folds=2"]
    command += [*flags, f"--model_dir={runs}"]
    script = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    checkpoint = runs / "fold-0" / "checkpoints" / "checkpoint"
    deadline = time.monotonic() + 100
    while not checkpoint.exists():
        assert time.monotonic() < deadline
        assert script.poll() is None, (runs / "fold-0" / "log.txt").read_text()
        time.sleep(0.01)
    script.terminate()
    _, said = script.communicate(timeout=100)
    assert (script.returncode, said) == (130, "stopped; the same command goes on from there\n")
    return flags, runs


def test_a_real_fold_is_stopped_with_the_word(tmp_path: Path) -> None:
    _, runs = stopped_fold(tmp_path)
    assert "stopped by SIGTERM at step" in (runs / "fold-0" / "log.txt").read_text()
    assert not list(runs.glob("fold-0/evaluation-*"))


@pytest.mark.slow
def test_a_real_fold_that_was_stopped_goes_on(tmp_path: Path) -> None:
    flags, runs = stopped_fold(tmp_path)
    log = (runs / "fold-0" / "log.txt").read_text()
    found = repeats.train(repeats.folds(2)[0], flags, str(runs))
    log = (runs / "fold-0" / "log.txt").read_text().removeprefix(log)
    assert "resumed at step" in log
    assert (found["split"], found["examples"]) == ("minival", 719)  # half of 1,259 + 179
    assert not (runs / "fold-0" / "evaluation-test.json").exists()


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
        (["--seeds=1", "--model_dir=x"], "of at least 2, received 1"),
        (["--seeds=three", "--model_dir=x"], "received three"),
        (["--seeds=2"], "give --model_dir"),
        (["--seeds=2", "--model_dir=x", "--mode=train"], "--mode cannot be given"),
        (
            ["--seeds=2", "--model_dir=x", "--config.train.seed=7"],
            "seed=7 cannot be given: --seeds",
        ),
        (["--folds=2", "--model_dir=x", "--config.data.fold=1"], "fold=1 cannot be given: --folds"),
    ],
)
def test_the_word_refuses_wrong_use(flags: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "repeat", *flags],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
