"""--help and --list_models, as a user calls them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from main_command import ROOT, call

from efficientnet_tf.config import ExperimentConfig, fields
from efficientnet_tf.evaluation import request

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "params.json").read_text())


def test_help_lists_every_flag_and_field(tmp_path: Path) -> None:
    done = call("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    flags = ("mode", "list_models", "model", "data_dir", "tpu", "model_dir", "export_dir", "config")
    evaluation = [name for name, _ in request.FLAGS]
    for flag in (*flags, *evaluation):
        assert any(line.startswith(f"  --{flag} ") for line in lines), flag
    for name, field, default in fields(ExperimentConfig()):
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert line.endswith(f"[{default}]")
        for choice in field.metadata["choices"] or ():
            assert choice in line
    assert os.listdir(tmp_path) == []


def test_list_models_equals_the_recorded_counts(tmp_path: Path) -> None:
    done = call("--list_models", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    published = {
        name
        for name in GOLDEN
        if name.startswith("efficientnet-") and not re.search("condconv|-x-|-h-", name)
    }
    baselines = {"mobilenet-v1", "mobilenet-v2", "resnet-50", "resnet-50-v1.5"}
    assert set(rows) == published | baselines
    for name in published:
        row = rows[name]
        golden = GOLDEN[name]
        assert [int(number.replace(",", "")) for number in row] == [
            golden["image_size"],
            golden["num_classes"],
            golden["trainable_params"],
            golden["multiply_adds"],
        ], name
    assert rows["efficientnet-b0"][2] == "5,288,548"
    assert rows["efficientnet-b7"][2] == "66,347,960"


def test_a_reader_who_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), "models"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
