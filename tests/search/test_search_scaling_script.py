"""scripts/search_scaling.py, compare_scaling.py and draw_shapes.py as a user runs them."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_training import MadeUp

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
    """Runs a script of this name in this process: code, output, errors."""

    def call(name: str, *flags: str) -> tuple[int, str, str]:
        path = ROOT / "scripts" / f"{name}.py"
        specification = importlib.util.spec_from_file_location(name, path)
        assert specification is not None
        assert specification.loader is not None
        script = importlib.util.module_from_spec(specification)
        argv = [str(path), *flags]
        monkeypatch.setattr(sys, "argv", argv)  # ml_collections looks for overrides there
        monkeypatch.chdir(ROOT)
        specification.loader.exec_module(script)
        code = script.main(argv)
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
        "import sys; sys.path.insert(0, 'scripts'); import search_scaling\n"
        "sys.argv = ['search_scaling.py', '--network=efficientnet-b0', '--dry_run']\n"
        "code = search_scaling.main(sys.argv)\n"
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
    code, out, err = run("search_scaling", *flags)
    assert code == 0, err
    assert "d1-w1.4-r24, seed 0: top-1 " in err
    assert "best: alpha, beta, gamma = (1, 1.4, 1)" in out
    assert "step 2: python scripts/scale.py --network=efficientnet-b0 --alpha=1 --beta=1.4" in out
    [row] = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert (row["width"], row["what"], row["phi"]) == (1.4, "digits, 0.4 epochs", 1.0)
    assert 0 <= row["top1"] <= 1
    for kind in ("png", "svg"):
        assert (tmp_path / f"scaling.{kind}").stat().st_size > 10_000
    made_up.trained.clear()
    monkeypatch.setattr(proxy_lib, "train_in_process", made_up)
    assert run("search_scaling", *flags)[0] == 0
    assert not made_up.trained, "trained again"


def test_a_comparison_writes_rows_table_and_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = MadeUp(lambda config: 0.5 + config.train.seed / 100)
    monkeypatch.setattr(proxy_lib, "train_in_process", made_up)
    flags = (*TINY, "--ratio=2", "--ratio_tolerance=0.2", "--seeds=2", f"--output_dir={tmp_path}")
    code, out, err = run("compare_scaling", *flags)
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
    assert run("compare_scaling", *flags)[1] == out
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
    code, _, err = run("compare_scaling", *flags)
    assert code == 130
    assert err.endswith("stopped; the same command goes on from there\n")
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2
    made_up.top1 = lambda config: 0.5
    assert run("compare_scaling", *flags)[0] == 0
    assert len(made_up.trained) == 3 + 3


def test_the_networks_of_the_shapes_task(run: Run) -> None:
    code, out, err = run(
        "compare_scaling",
        "--config=configs/shapes.py",
        f"--network={ROOT}/configs/shapes.py:TINY",
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
    _, out, _ = run("search_scaling", "--dry_run", *limits)
    accepted = [line.split() for line in out.splitlines() if line.endswith("M  accepted")]
    assert accepted
    for row in accepted:
        assert float(row[6].replace(",", "")) <= 900
        assert float(row[9]) <= 50
    assert "refused: more than 900,000,000 multiply-adds" in out
    assert "refused: more than 50,000,000 bytes of activations" in out


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        ("search_scaling", ["--alfas=1"], 'unknown flag --alfas. Did you mean "alphas"'),
        ("search_scaling", ["--alphas=1,x"], "flag --alphas must be numbers with commas"),
        ("search_scaling", ["--phi=1,2"], 'flag --phi must be one number, received "1,2".'),
        ("search_scaling", ["--seeds=0"], "flag --seeds must be a whole number of at least 1"),
        ("search_scaling", ["--classes=ten"], "flag --classes must be a whole number of at least"),
        ("search_scaling", ["--alphas=0.5"], "alphas must be numbers of at least 1, received 0.5"),
        ("search_scaling", ["--tolerance=0.00001"], "none of the 150 triples has alpha * beta^2"),
        ("search_scaling", ["--max_memory=0"], "the limit of memory must be above 0"),
        ("search_scaling", ["--max_memory=1"], "all 29 triples of the grid are refused"),
        ("search_scaling", ["--network=resnet-51"], 'unknown model "resnet-51"'),
        ("search_scaling", ["--config.train.epoch=3"], 'config has no field "train.epoch"'),
        ("search_scaling", ["--model_dir=x"], "unknown flag --model_dir."),
        ("search_scaling", ["--model=resnet-50"], "unknown flag --model."),
        ("search_scaling", ["stray"], 'unexpected argument "stray"'),
        ("search_scaling", ["--dry_run=perhaps"], "See --help."),
        ("compare_scaling", ["--alpha=1.5"], "1.5 * 1.1^2 * 1.15^2 = 2.400 is further off than"),
        ("compare_scaling", ["--ratio=1"], "must be above 1, received 1."),
        ("compare_scaling", ["--ratio=two"], "flag --ratio must be numbers with commas"),
        ("draw_shapes", ["--train=3"], "train must have at least 10 pictures"),
        ("draw_shapes", ["--train=many"], "See --help."),
        ("draw_shapes", ["stray"], 'unexpected argument "stray"'),
    ],
)
def test_misuse_ends_with_a_message(
    run: Run, tmp_path: Path, script: str, flags: list[str], message: str
) -> None:
    folder = () if any("model_dir" in flag for flag in flags) else (f"--output_dir={tmp_path}/out",)
    code, _, err = run(script, *flags, *folder)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("script", ["search_scaling", "compare_scaling", "draw_shapes"])
def test_help(run: Run, script: str) -> None:
    code, out, _ = run(script, "--help")
    assert code == 0
    assert f"python scripts/{script}.py" in out
    assert "--output_dir" in out or "output_dir" in out


def test_shapes_are_drawn(tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    counts = ("--train=20", "--minival=10", "--test=10")
    done = process("scripts/draw_shapes.py", f"--output_dir={folder}", *counts)
    assert (done.returncode, done.stdout) == (0, f"wrote 40 pictures to {folder}\n")
    assert len(list((folder / "train" / "star5").iterdir())) == 2
    again = process("scripts/draw_shapes.py", f"--output_dir={folder}", *counts)
    assert again.returncode == 2
    assert "is there already" in again.stderr
