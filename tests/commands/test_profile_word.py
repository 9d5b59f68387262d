"""main.py profile as a user runs it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from keras import layers

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "main.py"


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(MAIN), "profile", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def totals(text: str) -> dict[str, str]:
    """The lines that end in a number."""
    lines = [line.rsplit(maxsplit=1) for line in text.splitlines() if line]
    return {line[0].strip(): line[-1] for line in lines}


def test_one_of_ours_with_its_layers(tmp_path):
    path = tmp_path / "b0.csv"
    done = run(
        "--model=efficientnet-b0",
        "--layers",
        f"--csv={path}",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert 'model "efficientnet-b0", input 224x224x3' in done.stdout
    found = totals(done.stdout)
    # tests/golden/params.json
    assert found["trainable params"] == "5,288,548"
    assert found["all params"] == "5,330,564"
    assert found["multiply-adds"] == "385,814,752"
    assert [line for line in done.stdout.split("\n") if line.startswith("block7a_dwconv ")]
    with path.open(newline="") as file:
        assert sum(int(row["multiply_adds"]) for row in csv.DictReader(file)) == 385_814_752


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "error: give either --model or --saved."),
        (["--model=x", "--saved=y"], "error: give either --model or --saved."),
        (["--saved=y", "--classes=3"], "error: --classes is for --model: a saved model has its"),
        (["--saved=no.keras"], 'error: --saved: there is no file "no.keras".'),
        (["--model=efficientnet-b9"], 'error: unknown model "efficientnet-b9". Did you mean'),
    ],
)
def test_what_is_wrong_is_said_at_once(flags, message):
    done = run(*flags)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stdout == ""


# One start of TensorFlow for all that follows.
PROGRAM = """
import contextlib, io, json, sys
from efficientnet_tf.commands import command_line
answers = {}
for name, case in json.loads(sys.argv[1]).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command_line.main(["main.py", "profile", *case])
    answers[name] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Exit code, output and errors of each command line by its name."""
    folder = tmp_path_factory.mktemp("profile")
    image = keras.Input((None, None, 4))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, padding="same")(image))
    keras.Model(image, layers.Dense(2)(x), name="mine").save(folder / "mine.keras")
    anysize = [keras.Input((None, None, 3)), layers.Conv2D(2, 1)]
    keras.Sequential(anysize, name="any").save(folder / "any.keras")
    (folder / "not.keras").write_text("no model")
    mobilenet = ["--model=keras:MobileNet", "--resolution=128"]
    commands = {
        "keras": [*mobilenet, "--classes=10", "--dtype=bfloat16"],
        "saved": [f"--saved={folder}/mine.keras", "--resolution=10"],
        "unknown": ["--model=keras:ResNet5"],
        "too small": ["--model=keras:VGG16", "--resolution=8"],
        "any size": [f"--saved={folder}/any.keras"],
        "no model": [f"--saved={folder}/not.keras"],
    }
    program = [sys.executable, "-c", PROGRAM, json.dumps(commands)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout)


def test_one_of_keras_at_another_size(answers):
    code, out, err = answers["keras"]
    assert code == 0, err
    assert 'model "mobilenet_1.00_128", input 128x128x3' in out
    # Table 7 of arXiv 1704.04861 gives 186 million with its classifier of 1000.
    number = int(totals(out)["multiply-adds"].replace(",", ""))
    assert round((number + 990 * 1024) / 1e6) == 186
    assert "stem" not in out  # no layers unless asked for


def test_a_saved_model(answers):
    code, out, err = answers["saved"]
    assert code == 0, err
    assert 'model "mine", input 10x10x4' in out
    assert totals(out)["multiply-adds"] == f"{9 * 4 * 8 * 100 + 16:,}"


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("unknown", 2, 'keras.applications has no "ResNet5". Did you mean "ResNet50"'),
        ("too small", 2, "--model=keras:VGG16: Input size must be at"),
        ("any size", 2, 'model "any" takes any size: give --resolution, such as 224.'),
        ("no model", 1, "--saved: Keras cannot load "),
    ],
)
def test_what_only_keras_can_say(answers, name, code, message):
    found, out, err = answers[name]
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
