"""main.py preflight: what it prints, what it refuses, how its table is resumed."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tpu.children import MISSING

from efficientnet_tf.commands import command_line, preflight
from efficientnet_tf.commands.experiment_flags import parse_experiment, take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.tpu import batch_table, requirements
from efficientnet_tf.tpu.compiler import CompileReport, OutOfMemory
from efficientnet_tf.tpu.preflight import describe
from efficientnet_tf.tpu.targets import target

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "main.py", "preflight")
TINY = ("--config=configs/digits.py", "--config.model.resolution=32")
needs_compiler = pytest.mark.skipif(MISSING is not None, reason=f"no TPU compiler: {MISSING}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the word with flags in this process; its exit code."""

    def call(*flags: str) -> int:
        monkeypatch.setattr(sys, "argv", ["main.py", "preflight", *flags])
        return command_line.main()

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tpu_type=v9-8"], 'must be one of .* received "v9-8"'),
        (["--tpu_typ=v3-8"], 'unknown flag --tpu_typ. Did you mean "tpu_type"'),
        (["--tpu=local"], 'unknown flag --tpu. Did you mean "tpu_type"'),
        (["--mode=train"], "unknown flag --mode"),
        (["--config.train.batch=1"], "config has no field"),
        (["--functions=trian"], 'flag --functions=trian: "trian" is none of train, eval, serving'),
        (
            ["--global_batch_size=-8"],
            "global_batch_size=-8: expected a whole number of at least 1, received -8",
        ),
        (["--serving_batch_size=some"], "whole number of at least 1, received some"),
        (["--tpu_type=v3-8,v6e-8"], "one slice, or --find_max_batch or --all"),
        (["--all", "--models=efficientnet-b9"], 'unknown model "efficientnet-b9"'),
        (["v3-8"], "everything is a flag"),
    ],
)
def test_wrong_use_is_one_line(
    run: Callable[..., int],
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requirements, "missing", lambda: None)
    assert run(*arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.startswith("error: ")
    assert_matches(message, printed)


def assert_matches(pattern: str, text: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


def test_says_what_is_missing(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "libtpu" else 1)
    assert run() == 2
    assert capsys.readouterr().err == (
        "error: the TPU compiler is not here: libtpu is not installed: "
        "pip install 'efficientnet_tf[tpu-check]'.\n"
    )
    monkeypatch.setattr(requirements.platform, "machine", lambda: "arm64")
    assert requirements.missing() == "libtpu exists for Linux x86-64 only, this is Linux arm64"


def test_help_names_every_flag(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    printed = capsys.readouterr().out
    take = FlagGroups()
    preflight.take_flags(take)
    for name in take.names:
        assert f"--{name}" in printed
    assert "v5litepod-8" in printed


def test_a_report_is_of_the_chip() -> None:
    gib = 2**30
    report = CompileReport(
        "train", "v3-8", "TPU v3", 8, 40.0, 6 * gib, gib, gib, gib, 5 * gib, 0,
        flops=128e9, bytes_accessed=45e9, collectives={"all-reduce": (1, 2**20)},
    )  # fmt: skip
    text = "\n".join(describe(report, target("v3-8"), images=64))
    assert "train: fits" in text
    assert "peak HBM        12.00 of 32 GiB a chip (39 % of what a program may use)" in text
    assert "128.0 GFLOP a replica, 2.00 an image" in text
    assert "45.00 GB" in text
    assert "1 all-reduce, 1.0 MiB" in text
    # 45 GB at 450 GB/s of each core: 100 ms for 64 images on each of two cores.
    assert "memory bandwidth: at least 100.00 ms, at most 1,280 images/s a chip (estimate" in text
    refused = OutOfMemory("train", "v3-8", 8, 1.0, 20 * gib, 15.5 * gib)
    text = "\n".join(describe(refused, target("v3-8"), images=64))
    assert "does NOT fit" in text
    assert "20.00 GiB a replica; a program may use 15.48" in text


@needs_compiler
def test_one_function_from_the_command_line() -> None:
    command = [*COMMAND, *TINY, "--tpu_type=v5litepod-1"]
    done = subprocess.run(
        [*command, "--functions=serving", "--serving_batch_size=4"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "efficientnet-b0, 10 classes, 32x32 pixels, bfloat16" in done.stdout
    assert "fast level (optimization_level 9)" in done.stdout
    assert "serving: fits" in done.stdout
    assert "train" not in done.stdout


@needs_compiler
def test_the_table_is_made_from_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished search starts no compile, so this takes no time."""
    path = tmp_path / "batches.csv"
    arguments = [*TINY, "--models=efficientnet-b0", "--tpu_type=v6e-8", f"--csv={path}"]
    monkeypatch.setattr(sys, "argv", ["main.py", *TINY])  # ml_collections reads it itself
    take = FlagGroups()
    take_experiment(take)
    config, _ = parse_experiment(take, sys.argv)
    for batch, fits in ((32, True), (48, False)):
        row = batch_table.Row(
            batch_table.digest(config), "fast", "efficientnet-b0", "v6e-8", batch, fits, 3e10,
            1e12, 1e12, 1.0,
        )  # fmt: skip
        batch_table.append(str(path), row)
    markdown = tmp_path / "batches.md"
    done = subprocess.run(
        [*COMMAND, "--all", *arguments, f"--markdown={markdown}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[1/1] efficientnet-b0" in done.stdout
    assert "largest batch 32 a chip" in done.stdout
    assert "| efficientnet-b0 | 32 | 27.9 | 31.25 |" in markdown.read_text()
    assert len(batch_table.read(str(path))) == 2
