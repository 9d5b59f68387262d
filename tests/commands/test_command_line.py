"""The command line: every wrong use is one clear message and exit code 2, and says what to do."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from main_command import NOISE, ROOT

from efficientnet_tf.commands import command_line
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import RunError
from efficientnet_tf.machine import startup


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


def test_the_home_folder_where_a_shell_leaves_it(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    code, _, err = run("evaluate", "--model_dir=~/none")  # ends before TensorFlow is started
    assert code == 2
    assert f'no run in "{tmp_path}/none"' in err


def test_a_folder_whose_name_is_no_text(run: Any) -> None:
    code, _, err = run("report", "--model_dir=/tmp/caf\udce9")
    assert code == 2
    assert err.splitlines() == [
        'error: --model_dir: the name of the folder is no UTF-8 text, received "/tmp/caf\\xe9".',
        "Rename the folder, or give another.",
    ]


@pytest.mark.parametrize("flag", ["model_dir", "export_dir"])
@pytest.mark.parametrize("name", ["runs/*", "what?", "run[1]"])
def test_a_folder_that_tensorflow_takes_for_a_pattern(run: Any, flag: str, name: str) -> None:
    code, _, err = run(f"--{flag}={name}")
    assert code == 2
    assert f"--{flag}: the name of the folder must be without *, ? and [" in err
    assert f'received "{name}"' in err


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


def test_ctrl_c_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(argv: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "_run", interrupted)
    assert command_line.main(["main.py"]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(argv: Any) -> None:
        raise ValueError("a bug, not a user's mistake")

    monkeypatch.setattr(command_line, "_run", fail)
    with pytest.raises(ValueError, match="a bug"):
        command_line.main(["main.py"])
