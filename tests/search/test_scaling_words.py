"""main.py search-scaling, compare-scaling and draw-shapes as a user runs them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_training import MadeUp

from efficientnet_tf.commands import command_line
from efficientnet_tf.search import proxy as proxy_lib

ROOT = Path(__file__).parents[2]
# Two blocks for digits of 24 pixels.
TINY = (
    f"--config={ROOT}/configs/digits.py",
    "--config.model.blocks_args=('r1_k3_s22_e1_i32_o16','r3_k3_s22_e4_i16_o40')",
    "--config.model.resolution=24",
    "--config.train.eval_every_epochs=0",
    "--config.train.epochs=0.4",
)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a word with flags in this process: code, output, errors."""

    def call(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["main.py", *argv])  # ml_collections looks there
        monkeypatch.chdir(ROOT)
        code = command_line.main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def process(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )


def test_the_grid_needs_neither_tensorflow_nor_two_seconds() -> None:
    code = (
        "import sys\n"
        "from efficientnet_tf.commands import command_line\n"
        "sys.argv = ['main.py', 'search-scaling', '--model=efficientnet-b0', '--dry_run']\n"
        "code = command_line.main()\n"
        "print(code, [name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    started = time.monotonic()
    done = process("-c", code)
    seconds = time.monotonic() - started
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 []"
    assert lines[0].startswith("efficientnet-b0 at 224 pixels, 1000 classes, phi 1: ")
    [paper] = [line for line in lines if line.split()[:3] == ["1.2", "1.1", "1.15"]]
    assert paper.endswith("accepted")
    assert any("refused: +" in line for line in lines)
    assert not [line for line in lines if line.split()[:3] == ["1", "1", "1"]]
    assert seconds < 2


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_search_is_trained_and_resumed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    """With made-up trainings; for real it takes longer, and test_proxy.py does so always."""
    made_up = MadeUp()
    if not real:
        monkeypatch.setattr(proxy_lib, "train_in_process", made_up)
    grid = ("--alphas=1", "--betas=1.4", "--gammas=1", "--ratio_tolerance=1", "--seeds=1")
    flags = (*TINY, *grid, f"--output_dir={tmp_path}")
    code, out, err = run("search-scaling", *flags)
    assert code == 0, err
    assert "d1-w1.4-r24, seed 0: top-1 " in err
    assert "best: alpha, beta, gamma = (1, 1.4, 1)" in out
    assert "step 2: python main.py scale --model=efficientnet-b0 --alpha=1 --beta=1.4" in out
    [row] = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert (row["width"], row["what"], row["phi"]) == (1.4, "digits, 0.4 epochs", 1.0)
    assert 0 <= row["top1"] <= 1
    for kind in ("png", "svg"):
        assert (tmp_path / f"scaling.{kind}").stat().st_size > 10_000
    made_up.trained.clear()
    monkeypatch.setattr(proxy_lib, "train_in_process", made_up)
    assert run("search-scaling", *flags)[0] == 0
    assert not made_up.trained, "trained again"


def test_a_comparison_writes_rows_table_and_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = MadeUp(lambda config: 0.5 + config.train.seed / 100)
    monkeypatch.setattr(proxy_lib, "train_in_process", made_up)
    flags = (*TINY, "--ratio=2", "--ratio_tolerance=0.2", "--seeds=2", f"--output_dir={tmp_path}")
    code, out, err = run("compare-scaling", *flags)
    assert code == 0, err
    assert len(made_up.trained) == 10
    assert "2x: compound - resolution: +0.00 points" in out
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(lines) == 10
    assert {json.loads(line)["method"] for line in lines} == {
        "baseline",
        "compound",
        "depth",
        "width",
        "resolution",
    }
    assert (tmp_path / "comparison.png").exists()
    assert (tmp_path / "comparison.svg").exists()
    made_up.trained.clear()
    assert run("compare-scaling", *flags)[1] == out
    assert not made_up.trained


def test_ctrl_c_keeps_what_was_trained(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = MadeUp()

    def interrupted(config: object) -> float:
        if len(made_up.trained) == 3:
            raise KeyboardInterrupt
        return 0.5

    made_up.top1 = interrupted
    monkeypatch.setattr(proxy_lib, "train_in_process", made_up)
    flags = (*TINY, "--ratio=2", "--ratio_tolerance=0.2", "--seeds=1", f"--output_dir={tmp_path}")
    code, _, err = run("compare-scaling", *flags)
    assert code == 130
    assert err.endswith("stopped; the same command goes on from there\n")
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2
    made_up.top1 = lambda config: 0.5
    assert run("compare-scaling", *flags)[0] == 0
    assert len(made_up.trained) == 3 + 3


def test_the_networks_of_the_shapes_task(run: Run) -> None:
    code, out, err = run(
        "compare-scaling",
        "--config=configs/shapes.py",
        f"--model={ROOT}/configs/shapes.py:TINY",
        "--dry_run",
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "shapes-tiny at 32 pixels, 10 classes"
    assert [line.split()[0] for line in lines[2:]] == [
        "baseline",
        *["compound", "depth", "width", "resolution"] * 2,
    ]


def test_constraints_of_equation_1(run: Run) -> None:
    limits = ("--max_multiply_adds=9e8", "--max_memory=50e6")
    _, out, _ = run("search-scaling", "--dry_run", *limits)
    accepted = [line.split() for line in out.splitlines() if line.endswith("M  accepted")]
    assert accepted
    for row in accepted:
        assert float(row[6].replace(",", "")) <= 900
        assert float(row[9]) <= 50
    assert "refused: more than 900,000,000 multiply-adds" in out
    assert "refused: more than 50,000,000 bytes of activations" in out


@pytest.mark.parametrize(
    ("word", "flags", "message"),
    [
        ("search-scaling", ["--alfas=1"], 'unknown flag --alfas. Did you mean "alphas"'),
        ("search-scaling", ["--alphas=1,x"], "flag --alphas=1,x: expected numbers with commas"),
        (
            "search-scaling",
            ["--phi=1,2"],
            "--phi=1,2: expected a finite number, received 1,2.",
        ),
        ("search-scaling", ["--seeds=0"], "flag --seeds=0: expected a whole number of at least 1"),
        (
            "search-scaling",
            ["--classes=ten"],
            "--classes=ten: expected a whole number of at least 1",
        ),
        ("search-scaling", ["--alphas=0.5"], "alphas must be numbers of at least 1, received 0.5"),
        ("search-scaling", ["--tolerance=0.00001"], "none of the 150 triples has alpha * beta^2"),
        ("search-scaling", ["--max_memory=0"], "the limit of memory must be above 0"),
        ("search-scaling", ["--max_memory=1"], "all 29 triples of the grid are refused"),
        ("search-scaling", ["--model=resnet-51"], 'unknown model "resnet-51"'),
        ("search-scaling", ["--config.train.epoch=3"], 'config has no field "train.epoch"'),
        ("search-scaling", ["--model_dir=x"], "unknown flag --model_dir."),
        ("search-scaling", ["--network=resnet-50"], "unknown flag --network."),
        ("search-scaling", ["stray"], 'unexpected argument "stray"'),
        ("search-scaling", ["--dry_run=perhaps"], "See --help."),
        ("compare-scaling", ["--alpha=1.5"], "1.5 * 1.1^2 * 1.15^2 = 2.400 is further off than"),
        ("compare-scaling", ["--ratio=1"], "must be above 1, received 1."),
        ("compare-scaling", ["--ratio=two"], "flag --ratio=two: expected numbers with commas"),
        ("draw-shapes", ["--train=3"], "train must have at least 10 pictures"),
        ("draw-shapes", ["--train=many"], "expected a whole number, received many. See --help."),
        ("draw-shapes", ["stray"], 'unexpected argument "stray"'),
    ],
)
def test_misuse_ends_with_a_message(
    run: Run, tmp_path: Path, word: str, flags: list[str], message: str
) -> None:
    folder = () if any("model_dir" in flag for flag in flags) else (f"--output_dir={tmp_path}/out",)
    code, _, err = run(word, *flags, *folder)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("word", ["search-scaling", "compare-scaling", "draw-shapes"])
def test_help(run: Run, word: str) -> None:
    code, out, _ = run(word, "--help")
    assert code == 0
    assert f"python main.py {word}" in out
    assert "--output_dir" in out or "output_dir" in out


def test_shapes_are_drawn(tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    counts = ("--train=20", "--minival=10", "--test=10")
    done = process("main.py", "draw-shapes", f"--output_dir={folder}", *counts)
    assert (done.returncode, done.stdout) == (0, f"wrote 40 pictures to {folder}\n")
    assert len(list((folder / "train" / "star5").iterdir())) == 2
    again = process("main.py", "draw-shapes", f"--output_dir={folder}", *counts)
    assert again.returncode == 2
    assert "is there already" in again.stderr
