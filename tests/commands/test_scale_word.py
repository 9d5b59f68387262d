"""main.py scale as a user runs it."""

import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[2]


def scale(*flags: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "scale", *flags],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )


def test_the_table_shows_costs_beside_the_formula() -> None:
    done = scale("--phi=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "phi 3: depth x 1.728, width x 1.331, resolution x 1.521" in done.stdout
    assert "385.81 M" in done.stdout  # multiply-adds of B0, golden/params.json
    assert "2^phi = 8.000" in done.stdout
    assert "The nearest published one, efficientnet-b4" in done.stdout


def test_no_tensorflow_is_needed_for_it() -> None:
    code = (
        "import sys\n"
        "from efficientnet_tf.commands import command_line\n"
        "assert command_line.main(['main.py', 'scale', '--phi=3', '--model=resnet-50']) == 0\n"
        "print([name for name in ('tensorflow', 'keras', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_published_variants_are_explained() -> None:
    done = scale("--published")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    b7 = next(line.split() for line in lines if line.startswith("efficientnet-b7 published"))
    assert b7[2:] == ["6.5", "3.100", "2.000", "600", "55", "66.35", "37,746"]
    assert sum(line.startswith("  by formula") for line in lines) == 7
    assert any(line.startswith("efficientnet-b5: +20 % multiply-adds") for line in lines)


def test_the_scaled_model_is_saved_and_trained(tmp_path: Path) -> None:
    done = scale(
        "--model=mobilenet-v1",
        "--phi=-9",
        "--classes=10",
        "--save_model=small.keras",
        "--train",
        f"--config={ROOT}/configs/digits.py",
        "--config.train.epochs=0.1",
        "--mode=train",
        "--model_dir=run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    model = keras.saving.load_model(tmp_path / "small.keras")
    side = int(224 * 1.15**-9 + 0.5)
    assert model.input_shape == (None, side, side, 3)
    assert f"mobilenet-v1, 10 classes, {side}x{side} pixels" in done.stdout
    assert (tmp_path / "run" / "checkpoints").is_dir()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "expected one of --phi, --factor, --target_multiply_adds"),
        (["--phi=1", "--target_params=1e6"], "received --phi and --target_params"),
        (["--phi=one"], "flag --phi=one"),
        (["--phi=1", "--aplha=1.2"], 'unknown flag or argument "--aplha=1.2"'),
        (["--phi=1", "--alpha=1.9"], "alpha * beta^2 * gamma^2 must be 2"),
        (["--phi=-40"], "out of range"),
        (["--factor=2"], "--factor needs --dimension=depth, width or resolution"),
        (["--phi=1", "--dimension=depth"], "--phi scales all three"),
        (["--phi=-19"], "too small for efficientnet-b0"),
        (["--model=resnet50", "--phi=1"], 'Did you mean "resnet-50"'),
        (["--model=missing.py:NET", "--phi=1"], 'no file "missing.py"'),
        (["--phi=0", "--save_model=model.h5"], "--save_model must end in .keras"),
    ],
)
def test_wrong_use_is_one_message(flags: list[str], message: str) -> None:
    done = scale(*flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
