"""The command line: every wrong use is one clear message and exit code 2, and says what to do."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from efficientnet_tf.commands import command_line
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.config import ExperimentConfig, fields
from efficientnet_tf.errors import RunError
from efficientnet_tf.evaluation import request
from efficientnet_tf.machine import startup

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "params.json").read_text())
PHOTO = ROOT / "tests" / "golden" / "images" / "camera_gray_333x500_q90.jpg"
NOISE = re.compile(r"Traceback|0000 00:|[WEI]0000|oneDNN|cuda|WARNING", re.IGNORECASE)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line that must be answered without TensorFlow: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        startup, "start_tensorflow", lambda: pytest.fail("went on to load TensorFlow")
    )

    def command(*flags: str) -> tuple[int, str, str]:
        argv = ["main.py", *flags]
        monkeypatch.setattr(sys, "argv", argv)  # ml_collections looks for overrides there
        code = command_line.main(argv)
        written = capsys.readouterr()
        return code, written.out, written.err

    return command


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=efficientnet-b00"], 'unknown model "efficientnet-b00". Did you mean "effic'),
        (["--model=b0"], "`python main.py --list_models` lists all;"),
        (
            ["--config.optimizer.weight_decy=0"],
            'config has no field "optimizer.weight_decy". Did you mean "optimizer.weight_decay"',
        ),
        (["--config.weight_decay=0"], 'Did you mean "optimizer.weight_decay"?'),
        (["--config.train=3"], 'config has no field "train". Did you mean "train.'),
        (["--config.train.epochs=ten"], "--config.train.epochs=ten: could not convert string to f"),
        (["--config.train.global_batch_size=2.5"], "--config.train.global_batch_size=2.5: invalid"),
        (["--config.data.flip=maybe"], "--config.data.flip=maybe: ('Non-boolean argument"),
        (["--config.train.epochs=-1"], "config field train.epochs must be above 0, received -1.0."),
        (["--config.optimizer.rho=1"], "field optimizer.rho must be at least 0 and below 1, recei"),
        (
            ["--config.data.source=digit"],
            "config field data.source must be one of imagenet, tfrecord, folder, csv, tfds, "
            'digits, synthetic, received "digit". Did you mean "digits"?',
        ),
        (
            ["--config.train.accumulation_steps=3"],
            "train.accumulation_steps must divide train.global_batch_size: 3 does not divide 4096.",
        ),
        (
            ["--config.model.blocks_args=('r1_k3_s11_e1_i32_o16_zz2',)"],
            'block string "r1_k3_s11_e1_i32_o16_zz2": unknown token "zz2"',
        ),
        (["--config.model.blocks_args=[1]"], "a block string must be a str, received 1"),
        (["--modle_dir=x"], 'unknown flag --modle_dir. Did you mean "model_dir"'),
        (["--tpus=local"], 'unknown flag --tpus. Did you mean "tpu"'),
        (["--model_dir"], "flag --model_dir needs a value: --model_dir=..."),
        (["--model_dir", "x"], "flag --model_dir needs a value: --model_dir=..."),
        (["--config.train.epochs"], "Missing value for flag --config.train.epochs"),
        (["trian"], 'unknown word "trian". Did you mean "train"? --help lists all words.'),
        (["train", "it"], 'unexpected argument "it": everything is a flag, as --name=value.'),
        (["evaluate", "it"], 'unexpected argument "it": everything is a flag, as --name=value.'),
        (["--", "--mode=train"], "unknown flag --."),
        (
            ["--mode=trian"],
            '--mode must be one of train_and_eval, train, eval, export, received "trian". '
            'Did you mean "train"',
        ),
        (["--mode="], '--mode must be one of train_and_eval, train, eval, export, received "".'),
        (["--split=test"], "--split is for the word evaluate, received --mode=train_and_eval."),
        (["--mode=train", "--split=test"], "for the word evaluate, received --mode=train. Eval"),
        (["evaluate", "--split=tset"], 'Did you mean "test"?'),
        (["evaluate", "--model_dir=x"], '--model_dir: no run in "x" (expected a file config.json)'),
        (["--mode=eval", "--split=tset"], 'Did you mean "test"?'),
        (["--mode=eval", "--eval_resolution=tiny"], "--eval_resolution must be a whole number"),
        (["--mode=eval", "--eval_varaint=real"], 'Did you mean "eval_variant"'),
        (["--config=none.py"], '--config: no file "none.py". Give a Python file with get_config()'),
        (["--config="], '--config: no file "".'),
        (["--config=."], '--config: no file ".".'),
        (
            ["--config.train.seed=1", f"--config={ROOT}/configs/digits.py"],
            "--config.train.seed=1 in argv before a value for --config",
        ),
        (
            ["--export_images=many"],
            "flag --export_images=many: expected a whole number, received many. See",
        ),
        (["--export_dtype=float64"], "--export_dtype must be"),
        (["--list_models=maybe"], "--list_models=maybe: ('Non-boolean argument"),
    ],
)
def test_wrong_use_is_one_message(run: Any, flags: list[str], message: str) -> None:
    code, out, err = run(*flags)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not NOISE.search(err)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def get_config(): return {}", "must return an efficientnet_tf.config.ExperimentConfig"),
        ("def get_config(): pass", "ExperimentConfig, received NoneType."),
        ("def make_config(): pass", "It must be Python with a function get_config()"),
        ("1 / 0", "--config: the file cannot be used: ZeroDivisionError: division by zero."),
        ("def get_config(:", "--config: the file cannot be used: SyntaxError: "),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        (
            "from efficientnet_tf.config import ExperimentConfig\n"
            "def get_config():\n"
            "    config = ExperimentConfig()\n"
            "    config.train.epoch = 3\n"
            "    return config\n",
            'config has no field "epoch". Did you mean "epochs"?',
        ),
    ],
)
def test_a_wrong_config_file_is_one_message(
    tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    # ml_collections loads every config file as one module: forget that of an earlier test.
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    (tmp_path / "mine.py").write_text(content)
    code, out, err = run("--config=mine.py")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def given_by(monkeypatch: pytest.MonkeyPatch, *flags: str) -> Any:
    """What a command line says to the word train."""
    argv = ["main.py", *flags]
    monkeypatch.setattr(sys, "argv", argv)
    word, take = command_line.word_of("train"), FlagGroups()
    word.take_flags(take)
    return command_line.given_by(word, take, argv)


def test_a_config_file_of_the_user_and_overrides_reach_the_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from efficientnet_tf.config import ExperimentConfig\n"
        "def get_config():\n"
        "    config = ExperimentConfig()\n"
        "    config.train.epochs = 3.0\n"
        "    config.train.seed = 5\n"
        "    return config\n"
    )
    monkeypatch.chdir(tmp_path)
    given = given_by(
        monkeypatch,
        "--config=mine.py",
        "--config.train.seed=7",
        "--config.model.width_coefficient=0.5",
        "--model=efficientnet-b1",
        "--data_dir=photos",
        "--mode=train",
        "--tpu=local",
        "--export_dir=out",
    )
    config = given.config
    assert (config.train.epochs, config.train.seed) == (3.0, 7)
    assert config.model.width_coefficient == 0.5
    assert (config.model.name, config.data.data_dir) == ("efficientnet-b1", "photos")
    assert (given.mode, given.tpu, given.export_dir) == ("train", "local", "out")
    assert given.default_model_dir == "runs/mine-efficientnet-b1"


def test_a_run_that_fails_on_the_way_has_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(argv: Any) -> None:
        raise RunError("the disk is full")

    monkeypatch.setattr(command_line, "_run", fail)
    assert command_line.main(["main.py"]) == 1
    assert capsys.readouterr().err == "error: the disk is full\n"


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(argv: Any) -> None:
        raise ValueError("a bug, not a user's mistake")

    monkeypatch.setattr(command_line, "_run", fail)
    with pytest.raises(ValueError, match="a bug"):
        command_line.main(["main.py"])


# --help and --list_models, as a user calls them


def call(*flags: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *flags], cwd=cwd, capture_output=True, text=True
    )


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


# What only shows once TensorFlow is there: several command lines in one process, to load it once

DRIVER = """
import json, os, sys, tempfile
from efficientnet_tf.commands import command_line
answers = {}
for name, flags in json.load(open(sys.argv[1])).items():
    if name.startswith("remove "):
        os.remove(flags)
        continue
    sys.argv = ["main.py", *flags]
    saved = os.dup(1), os.dup(2)
    files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
    for number, file in enumerate(files, 1):
        os.dup2(file.fileno(), number)
    try:
        code = command_line.main(sys.argv)
    except BaseException as error:
        code = repr(error)
    sys.stdout.flush(), sys.stderr.flush()
    for number, (file, fd) in enumerate(zip(files, saved), 1):
        os.dup2(fd, number), os.close(fd), file.seek(0)
    answers[name] = [code, *(file.read().decode() for file in files)]
print(json.dumps(answers))
"""

TINY = [
    "--mode=train",
    "--config.model.blocks_args=('r1_k3_s22_e1_i32_o16_se0.25',)",
    "--config.train.global_batch_size=32",
    "--config.train.epochs=0.06",  # two steps
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, str, str]]:
    """Exit code, output and errors of each command line by its name."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "file").write_text("")
    (folder / "no_files").mkdir()
    broken = folder / "broken"
    broken.mkdir()
    for split in ("train", "validation"):
        with tf.io.TFRecordWriter(str(broken / f"{split}-00000-of-00001")) as writer:
            encoded = PHOTO.read_bytes()
            for image in (encoded, encoded[:300], encoded):
                feature = {
                    "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
                    "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    run = folder / "run"
    digits = [f"--config={ROOT}/configs/digits.py", *TINY]
    imagenet = [f"--config={ROOT}/configs/imagenet.py", *TINY, "--config.model.resolution=32"]
    commands: dict[str, Any] = {
        "no data_dir": imagenet,
        "data_dir is no folder": [*imagenet, f"--data_dir={folder}/none"],
        "data_dir without files": [*imagenet, f"--data_dir={folder}/no_files"],
        "data_dir for digits": [*digits, f"--data_dir={folder}"],
        "model_dir cannot be made": [*digits, f"--model_dir={folder}/file/run"],
        "nothing to evaluate": [*digits, f"--model_dir={folder}/empty", "--mode=eval"],
        "nothing to export": [*digits, f"--model_dir={folder}/empty", "--mode=export"],
        "broken image": [
            *imagenet,
            f"--data_dir={broken}",
            f"--model_dir={folder}/broken_run",
            "--config.data.minival_shards=0",
            "--config.data.augment=none",
            "--config.train.global_batch_size=3",
            "--config.train.epochs=1",
        ],
        "train": [*digits, f"--model_dir={run}"],
        "the run alone": ["evaluate", f"--model_dir={run}", "--split=test"],
        "another resolution": [
            *digits,
            f"--model_dir={run}",
            "--mode=eval",
            "--split=test",
            "--eval_resolution=32",
        ],
        "another source": [
            *digits,
            f"--model_dir={run}",
            "--mode=eval",
            f"--eval_source=folder:{folder}/none",
        ],
        "another source without a run": [
            *digits,
            f"--model_dir={folder}/empty",
            "--mode=eval",
            "--eval_source=digits",
        ],
        "another seed": [*digits, f"--model_dir={run}", "--config.train.seed=3"],
        "remove config": f"{run}/config.json",
        "another width": [*digits, f"--model_dir={run}", "--config.model.width_coefficient=0.5"],
        "remove data": f"{run}/checkpoints/ckpt-2.data-00000-of-00001",
        "lost data": [*digits, f"--model_dir={run}"],
    }
    (folder / "commands.json").write_text(json.dumps(commands))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder / "commands.json")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # What was refused has left nothing behind that would stand in the way of the right command.
    assert not (folder / "empty").exists()
    assert not (run / "config.json").exists()
    return {
        name: (code, out.replace(str(folder), "DIR"), err.replace(str(folder), "DIR"))
        for name, (code, out, err) in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "no data_dir",
            [
                "data_dir must be a folder (or gs://bucket/folder) with TFRecord files",
                "no data_dir was given",
            ],
        ),
        ("data_dir is no folder", ['"DIR/none" is not a folder']),
        (
            "data_dir without files",
            ["data_dir must hold one set of train-NNNNN-of-MMMMM files", "none in DIR/no_files"],
        ),
        ("data_dir for digits", ['data_dir is not read by the data set "digits"']),
        (
            "model_dir cannot be made",
            ['--model_dir: "DIR/file/run" cannot be written', "Give a folder that you may write"],
        ),
        (
            "nothing to evaluate",
            ['--model_dir: no checkpoint in "DIR/empty"', "--mode=train_and_eval"],
        ),
        ("another source", ["--eval_source=folder:DIR/none (with", '"DIR/none" is not a folder']),
        ("another source without a run", ['--model_dir: no checkpoint in "DIR/empty"']),
        ("nothing to export", ['--model_dir: no checkpoint in "DIR/empty"']),
        (
            "another seed",
            [
                '--model_dir: "DIR/run" holds a run with another configuration (theirs -> yours):',
                "\n  train.seed: 0 -> 3\n",
                "or another --model_dir",
            ],
        ),
        (
            "another width",
            [
                'the checkpoint "DIR/run/checkpoints/ckpt-2" is of another model, ',
                "weights/stem_conv/kernel: shape (3, 3, 3, 32) in the checkpoint, (3, 3, 3, 16)",
                "or another --model_dir",
            ],
        ),
        (
            "lost data",
            ['the checkpoint "DIR/run/checkpoints/ckpt-2" cannot be read', "another --model_dir"],
        ),
    ],
)
def test_what_goes_wrong_later_is_one_message_too(
    answers: Any, name: str, parts: list[str]
) -> None:
    code, out, err = answers[name]
    assert code == 2, err
    assert err.startswith("error: ")
    assert err.count("error: ") == 1
    for part in parts:
        assert part in err
    assert not NOISE.search(err), err
    assert not NOISE.search(out), out


def test_a_broken_image_is_named_with_its_file(answers: Any) -> None:
    code, _, err = answers["broken image"]
    assert code == 1
    # libjpeg writes to standard error on its own, which cannot be told to it.
    lines = [line for line in err.splitlines() if "JPEG library" not in line]
    assert lines == [
        "Data error (Invalid JPEG data, size 300.); looking for the bad example.",
        "error: DIR/broken/train-00000-of-00001, record 1 (counted from 0) cannot be used: "
        "Invalid JPEG data, size 300. Write or copy the file again, remove it, or pass over it "
        "with --config.data.on_error=skip.",
    ]


def test_what_is_right_writes_no_error(answers: Any) -> None:
    code, out, err = answers["train"]
    assert (code, err) == (0, "")
    assert "10 classes, 64x64 pixels" in out
    code, out, err = answers["the run alone"]
    assert (code, err) == (0, "")
    assert "(359 images) -> DIR/run/evaluation-test.json" in out
    code, out, err = answers["another resolution"]
    assert (code, err) == (0, "")
    assert "10 classes, 32x32 pixels" in out
    assert "(359 images) -> DIR/run/evaluation-test-32px.json" in out


def test_a_missing_tpu_is_one_message(tmp_path: Path) -> None:
    done = call(f"--config={ROOT}/configs/digits.py", *TINY, "--tpu=local", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: no TPU found for --tpu=local: ")
    assert "tensorflow-tpu" in done.stderr
    assert "Without --tpu the same command runs" in done.stderr
    assert not NOISE.search(done.stderr), done.stderr
    assert os.listdir(tmp_path) == [], "a run that never started left something behind"
