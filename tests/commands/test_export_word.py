"""The word export, and serving_request.py and bench_latency.py, as a user calls them."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS

from efficientnet_tf.zoo import create_model

ROOT = Path(__file__).parents[2]
PHOTOS = sorted((ROOT / "tests" / "golden" / "images").glob("*.jpg"))
# A network in a file of the user.
TINY = f"""
from efficientnet_tf.models.variants import Variant
TINY = Variant("tiny", 0.1, 1.0, 32, 0.2, {TWO_BLOCKS!r})
"""


def call(script: str, *arguments: object, cwd: Path) -> Any:
    """A file of scripts/, or the word export."""
    program = ["main.py", "export"] if script == "export" else [f"scripts/{script}"]
    program[0] = str(ROOT / program[0])
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder after one call of export, with a broken image among good ones."""
    folder = tmp_path_factory.mktemp("export")
    model = create_model("mobilenet-v1", resolution=32, classes=5)  # the fastest to convert
    model.save_weights(folder / "mine.weights.h5")
    (folder / "broken.jpg").write_bytes(PHOTOS[0].read_bytes()[:500])
    (folder / "names.txt").write_text("\n".join("abcde"))
    done = call(
        "export",
        f"--weights={folder}/mine.weights.h5",
        "--model=mobilenet-v1",
        "--classes=5",
        "--resolution=32",
        "--class_names=names.txt",
        "--export_formats=saved_model,tflite-float32",
        "--export_dir=out/mine",
        folder / "broken.jpg",
        *PHOTOS,
        cwd=folder,
    )
    return folder, done


def test_export_says_what_it_wrote_and_which_image_was_left_out(
    exported: tuple[Path, Any],
) -> None:
    folder, done = exported
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("out/mine (")
    assert second.startswith("out/mine.float32.tflite (")
    assert "on 3 images the same best class for 100.0 %" in first
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["unusable"]
    assert "broken.jpg" in done.stderr
    proof = json.loads((folder / "out" / "mine.float32.json").read_text())
    assert proof["holds"]
    assert proof["largest_difference"] < 1e-4


def test_tensorflow_serving_would_answer_the_request(exported: tuple[Path, Any]) -> None:
    """The body, read by the rules of its REST API, fits the signature and gets the same answers."""
    folder, _ = exported
    done = call("serving_request.py", *PHOTOS, cwd=folder)
    assert done.returncode == 0, done.stderr
    request = json.loads(done.stdout)
    assert set(request) == {"signature_name", "instances"}
    loaded = tf.saved_model.load(str(folder / "out" / "mine"))
    signature = loaded.signatures[request["signature_name"]]
    inputs = signature.structured_input_signature[1]
    columns: dict[str, list[bytes]] = {name: [] for name in inputs}
    for instance in request["instances"]:
        assert set(instance) == set(inputs)
        for name, value in instance.items():
            assert set(value) == {"b64"}  # the API's mark of bytes
            columns[name].append(base64.b64decode(value["b64"]))
    answers = signature(**{name: tf.constant(values) for name, values in columns.items()})
    assert all(answer.shape[0] == len(PHOTOS) for answer in answers.values())  # the API's rule
    expected = signature(image_bytes=tf.constant([photo.read_bytes() for photo in PHOTOS]))
    np.testing.assert_array_equal(answers["probabilities"], expected["probabilities"])
    assert set(answers["top_names"].numpy().ravel()) <= {b"a", b"b", b"c", b"d", b"e"}


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("export", ["x.jpg"], "expected one of --model_dir and --weights, received none"),
        ("export", ["--weights=w.safetensors"], "no images"),
        (
            "export",
            ["--weights=w.safetensors", "--export_formats=tensorrt", "."],
            "--export_formats",
        ),
        ("export", ["--model_dir=x", "--model=b0", "."], "--model goes with --weights"),
        ("export", ["--weights=w.safetensors", "nothing.jpg"], "no image file or folder"),
        ("serving_request.py", [], "no images"),
        ("bench_latency.py", ["b0"], 'unexpected argument "b0"'),
    ],
)
def test_wrong_use(script: str, arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.json").write_text("{}")
    done = call(script, *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# What is only known with TensorFlow there: one start of it for all of them.
PROGRAM = """
import json, runpy, sys
from absl import flags
from efficientnet_tf.terminal.exit_codes import exit_code
script = runpy.run_path(sys.argv[1])
for case in json.loads(sys.argv[2]):
    code = exit_code(lambda: script["main"](["bench_latency.py", *case]))
    print(f"exit {code}", file=sys.stderr)
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
"""


def test_wrong_use_of_models_and_runtimes(tmp_path: Path) -> None:
    cases = {
        ("--models=efficientnet-b99",): "efficientnet-b9",
        ("--models=keras:ResNet15",): 'Did you mean "ResNet152"',
        ("--models=tiny.py:TINY", "--runtimes=lite"): "--runtimes must be",
    }
    (tmp_path / "tiny.py").write_text(TINY)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            str(ROOT / "scripts/bench_latency.py"),
            json.dumps([*cases]),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    *said, rest = done.stderr.split("exit 2\n")
    assert (done.returncode, rest) == (0, "")
    for error, message in zip(said, cases.values(), strict=True):
        assert error.startswith("error: ")
        assert message in error
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("models", "runtimes"),
    [
        ("tiny.py:TINY", "keras,saved_model"),
        pytest.param(
            "tiny.py:TINY,keras:MobileNetV3Small",
            "keras,function,saved_model,tflite,onnx",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_latency_in_runtimes(tmp_path: Path, models: str, runtimes: str) -> None:
    (tmp_path / "tiny.py").write_text(TINY)
    done = call(
        "bench_latency.py",
        f"--models={models}",
        f"--runtimes={runtimes}",
        "--rounds=2",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if " saved_model " in line]
    assert [row[0] for row in rows] == models.split(",")
    assert rows[0][-1] == "1.000"
    for runtime in runtimes.split(","):
        assert f" {runtime} " in done.stdout
    assert "paper, Table 4 (Xeon E5-2690): ResNet-152 0.554 s" in done.stdout
