"""--help and --list_models, as a user calls them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from runpy import run_path

from main_command import ROOT, call

from efficientnet_tf.commands import experiment_flags
from efficientnet_tf.config import ExperimentConfig, fields, to_dict
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
    config = run_path(str(ROOT / "configs" / "imagenet.py"))["get_config"]()
    for name, field, default in fields(config):  # those that hold without a --config
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert line.endswith(f"[{default}]")
        for choice in field.metadata["choices"] or ():
            assert choice in line
    assert os.listdir(tmp_path) == []


def test_help_shows_the_values_that_hold(tmp_path: Path) -> None:
    def shown(*argv: str, of_a_run: bool = False) -> tuple[str, dict[str, str]]:
        lines = experiment_flags.help_lines(["main.py", *argv], of_a_run=of_a_run)
        (where,) = (line for line in lines if "Fields, and values" in line)
        return where, {line.split()[0]: line[line.rindex("[") :] for line in lines[4:]}

    where, values = shown()
    assert "imagenet.py" in where
    assert (values["train.global_batch_size"], values["train.patience"]) == ("[4096]", "[10]")
    where, values = shown("--config=digits")
    assert "digits.py" in where
    assert values["data.source"] == "[digits]"
    where, values = shown("--config=finetune", f"--data_dir={tmp_path}")
    assert "finetune.py chooses by the data" in where
    where, values = shown("--config=nowhere.py")
    assert "of the program (--config: no file" in where
    run = {**to_dict(ExperimentConfig()), "train.seed": 7}
    (tmp_path / "config.json").write_text(json.dumps(run))
    where, values = shown(f"--model_dir={tmp_path}", of_a_run=True)
    assert f"in {tmp_path}" in where
    assert values["train.seed"] == "[7]"


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
