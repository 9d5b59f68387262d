"""The doctor: folders, step and input of a small experiment; it looks before it imports."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.doctor import checks
from efficientnet_tf.errors import UsageError
from efficientnet_tf.experiment.updates import Updates
from efficientnet_tf.machine.device import Device
from efficientnet_tf.machine.findings import BAD, OK, WARN, Finding
from efficientnet_tf.training import connect

ROOT = Path(__file__).parents[2]


def small(**data: Any) -> config_lib.ExperimentConfig:
    """Digits with a network of two blocks, finished."""
    config = config_lib.ExperimentConfig()
    config.model.width_coefficient = 0.1
    config.model.resolution = 16
    config.model.blocks_args = ("r1_k3_s22_e1_i32_o16_se0.25", "r1_k3_s11_e6_i16_o16_se0.25")
    config.data.source = "digits"
    for name, value in data.items():
        setattr(config.data, name, value)
    return config_lib.finish(config)


def statuses(findings: Iterator[Finding] | list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.status for finding in findings}


# The experiment in small


def test_a_small_experiment_is_examined_to_the_end(tmp_path: Path) -> None:
    found = list(checks.examine(small(), str(tmp_path / "run"), quick=True))
    assert [f.subject for f in found] == ["device", "model_dir", "input", "step", "balance"]
    by_subject = {finding.subject: finding for finding in found}
    assert by_subject["device"].text.startswith("CPU (")
    assert "images/s of digits" in by_subject["input"].text
    step = by_subject["step"].text
    assert step.startswith("efficientnet-b0 at 64, batch 8, float32: built in")
    assert "compiled in" in step
    assert list(tmp_path.iterdir()) == []


def test_without_a_data_dir_input_is_measured_with_photos(tmp_path: Path) -> None:
    config = small(source="folder")
    found = {
        finding.subject: finding
        for finding in checks.examine(config, str(tmp_path / "run"), quick=True)
    }
    assert found["data_dir"].status == WARN
    assert "--data_dir" in found["data_dir"].remedies[0]
    assert "images/s of folder" in found["input"].text
    assert found["step"].status == OK


def test_a_data_set_that_cannot_be_read_is_bad(tmp_path: Path) -> None:
    config = small(source="imagenet", data_dir=str(tmp_path))
    found = list(checks.examine(config, str(tmp_path / "run"), quick=True))
    assert statuses(found)["data_dir"] == BAD
    assert statuses(found)["experiment"] == BAD
    assert "step" not in statuses(found)


def test_without_the_tpu_asked_for_the_rest_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise UsageError("no TPU found for --tpu=local: why\nBAD x\nWhat to do:\n  1. This.\nEnd.")

    monkeypatch.setattr(connect, "connect", refuse)
    (finding,) = checks.examine(small(), str(tmp_path), Device("local"))
    assert finding == Finding(BAD, "device", "no TPU found for --tpu=local: why", ("This.",))


def test_a_gpu_that_tensorflow_does_not_see_is_a_warning(
    replicas: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidia0")
    finding = checks._device(replicas(1))
    assert finding.status == WARN
    assert "tensorflow[and-cuda]" in finding.remedies[0]


@pytest.mark.parametrize(
    ("fed", "stepped", "status", "text"),
    [
        (100.0, 100.0, OK, "does not wait"),
        (30.0, 120.0, WARN, "waits 75 % of the time"),
    ],
)
def test_input_and_step_are_compared(fed: float, stepped: float, status: str, text: str) -> None:
    finding = checks._compare(fed, stepped)
    assert finding.status == status
    assert text in finding.text


def test_a_loss_that_is_not_finite_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        return lambda iterator, count: [math.nan] * count

    monkeypatch.setattr(Updates, "train_step", broken)
    found = list(checks.examine(small(), str(tmp_path / "run"), quick=True))
    assert found[-1].status == BAD
    assert "not finite" in found[-1].text


# The word


def run(
    *arguments: str, path: Path | None = None, python: tuple[str, ...] = (sys.executable,)
) -> subprocess.CompletedProcess[str]:
    command = [*python, str(ROOT / "main.py"), "doctor", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def make_package(folder: Path, name: str, version: str) -> None:
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_a_tensorflow_that_would_abort_is_not_imported(tmp_path: Path) -> None:
    make_package(tmp_path, "tensorflow-tpu", "2.20.0")
    make_package(tmp_path, "libtpu", "0.0.51")
    (tmp_path / "tensorflow.py").write_text("import os\nos.abort()\n")
    done = run("--tpu=local", path=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "BAD   tensorflow" in done.stdout
    assert "libtpu 0.0.51 with tensorflow-tpu 2.20.0: `import tensorflow` aborts" in done.stdout
    assert "pip install libtpu==0.0.31" in done.stdout
    assert "device" not in done.stdout


def test_a_machine_on_which_nothing_is_installed_is_examined() -> None:
    bare = (sys.executable, "-S")  # without site-packages: not even absl is there
    done = run("--tpu=local", python=bare)
    assert (done.returncode, done.stderr) == (1, "")
    assert "BAD   tensorflow" in done.stdout
    assert "pip install" in done.stdout
    done = run("--help", python=bare)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--quick" in done.stdout


def test_help_and_wrong_use() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "--quick" in done.stdout
    done = run("--modle=efficientnet-b0")
    assert done.returncode == 2
    assert "unknown flag --modle" in done.stderr


def test_a_missing_tpu_ends_with_code_1_and_what_to_do() -> None:
    done = run("--tpu=local", f"--config={ROOT}/configs/digits.py", "--quick")
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert "BAD   TPU chips" in done.stdout
    assert "What to do:\n  1. " in done.stdout
