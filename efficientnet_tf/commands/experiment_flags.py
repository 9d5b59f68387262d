"""The flags of commands that are about an experiment: --config, its fields, and their shortcuts."""

import ast
import os
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from efficientnet_tf import config as config_lib
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.models import networks
from efficientnet_tf.runs.stored_config import read_config
from efficientnet_tf.storage.paths import is_remote

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel carries configs/ inside the package; a checkout has it beside.
_CONFIGS = next(
    (path for path in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if path.is_dir()),
    Path("configs"),
)
_DEFAULT = "imagenet"
_FIELD = re.compile(r"--?(?:no)?config\.([\w.]+)")


def take_experiment(take: FlagGroups) -> None:
    """--model and --data_dir, which stand for fields of --config, and --config itself."""
    take.wants_experiment = True
    take.heading("Model and data")
    take.text("model", None, "name of the network; default: the configuration's")
    take.text("data_dir", None, "folder or gs://... with the files of the data set")


def config_file(name: str) -> str:
    """The path of an experiment file that is given by its path or by its name ("digits").

    Raises:
        UsageError: there is no such file.
    """
    path, colon, argument = name.partition(":")
    own = _CONFIGS / f"{Path(path).stem}.py"
    if not os.path.isfile(path):
        if Path(path).parent.name not in ("", "configs") or not own.is_file():
            known = ", ".join(sorted(each.stem for each in _CONFIGS.glob("*.py")))
            raise UsageError(
                f'--config: no file "{name}". Give a Python file with get_config(), or one of '
                f"ours by its name: {known}."
            )
        path = str(own)
    return f"{path}{colon}{argument}"


def help_lines(argv: Sequence[str] = (), *, of_a_run: bool = False) -> list[str]:
    """--config and every field of it, with the values that hold for a command line."""
    where, config = _in_force(argv, of_a_run)
    lines = ["", "Experiment:"]
    lines.append(
        f"  --config          Python file with get_config(), or a name of ours [{_DEFAULT}]"
    )
    lines.append(f"  --config.FIELD=VALUE overrides any field of it. Fields, and values {where}:")
    for name, field, value in config_lib.fields(config):
        meaning = field.metadata["meaning"]
        choices = field.metadata["choices"]
        if choices and not all(choice in meaning for choice in choices):
            meaning += f" ({', '.join(choices)})"
        lines.append(f"    {name:<34}{meaning} [{value}]")
    return lines


def _in_force(argv: Sequence[str], of_a_run: bool) -> tuple[str, config_lib.ExperimentConfig]:
    """Whose values hold if nothing overrides them, in words, and the values."""
    given = dict(argument.split("=", 1) for argument in argv[1:] if "=" in argument)
    model_dir, path = given.get("--model_dir", ""), ""
    try:
        if of_a_run and model_dir and "--config" not in given and not is_remote(model_dir):
            return f"in {model_dir}", config_lib.unfinished(read_config(model_dir))
        path, colon, argument = config_file(given.get("--config", _DEFAULT)).partition(":")
        if not _asks_for_data_dir(path):
            get_config = runpy.run_path(path)["get_config"]
            return f"in {path}", get_config(argument) if colon else get_config()
    except Exception as error:  # whatever the user's config file raises; a run says it
        return f"of the program ({first_line(error)})", config_lib.ExperimentConfig()
    return f"of the program ({path} chooses by the data)", config_lib.ExperimentConfig()


def stored_config(argv: Sequence[str]) -> Mapping[str, Any] | None:
    """config.json in the --model_dir of a command line, which thereby says all about its run.

    None without --model_dir, and with a --config of its own.

    Raises:
        UsageError: there is no run, or its configuration cannot be read.
    """
    given = dict(argument.split("=", 1) for argument in argv[1:] if "=" in argument)
    model_dir = given.get("--model_dir")
    if not model_dir or "--config" in given:
        return None
    if is_remote(model_dir):
        from efficientnet_tf.machine.startup import start_tensorflow

        start_tensorflow()  # which reads from buckets
    return read_config(model_dir)


def parse_experiment(
    take: FlagGroups, argv: Sequence[str], stored: Mapping[str, Any] | None = None
) -> tuple[config_lib.ExperimentConfig, list[str]]:
    """The finished configuration of a command line, and its arguments that are no flags.

    Args:
        argv: sys.argv, or what differs from it in other flags alone: ml_collections looks there
            for --config.
        stored: what `stored_config` found, which takes the place of an experiment file.

    Raises:
        UsageError: a flag or field is unknown or cannot have its value.
    """
    for argument in argv[1:]:
        if argument.startswith("--config."):
            config_lib.check_name(argument.removeprefix("--config.").split("=", 1)[0])
    if stored is None:
        argv = _with_config_file(argv)
    try:
        if stored is None:
            config_flags.DEFINE_config_file("config", None, "", flag_values=take.values)
        else:
            config_flags.DEFINE_config_dataclass(
                "config", config_lib.unfinished(stored), "", flag_values=take.values
            )
        arguments = take.values(list(argv))[1:]
        config = take.values.config
    except flags.Error as error:
        *_, last = str(error).strip().splitlines()  # what is before is a traceback
        _, ours, message = last.partition(f"{UsageError.__module__}.{UsageError.__name__}: ")
        if ours:  # raised by the config file
            raise UsageError(message) from error
        raise UsageError(f"{last}. See --help.") from error
    except Exception as error:  # whatever the user's config file raises when it is run
        raise UsageError(
            f"--config: the file cannot be used: {type(error).__name__}: {error}. It must be "
            "Python with a function get_config(), such as configs/digits.py."
        ) from error
    config_lib.check_kind(config)
    given = take.given()
    if given.model is not None:
        config.model.name = given.model
    said = any(argument.startswith("--config.model.name=") for argument in argv[1:])
    if stored is None or said or given.model is not None:
        networks.trust(config.model.name)
    if given.data_dir is not None:
        config.data.data_dir = given.data_dir
    matches = (_FIELD.match(argument) for argument in argv[1:])
    return config_lib.finish(config, [match[1] for match in matches if match]), arguments


def _with_config_file(argv: Sequence[str]) -> list[str]:
    """The command line with the path of the experiment file first, and --data_dir given to it.

    A config file whose get_config has a parameter `data_dir` chooses by what lies there. First,
    because fields of a configuration are known only after its file.
    """
    given = dict(argument.split("=", 1) for argument in argv[1:] if "=" in argument)
    path, data_dir = config_file(given.get("--config", _DEFAULT)), given.get("--data_dir")
    rest = [argument for argument in argv[1:] if not argument.startswith("--config=")]
    if data_dir is not None and ":" not in path and _asks_for_data_dir(path):
        path = f"{path}:{data_dir}"
    return [argv[0], f"--config={path}", *rest]


def _asks_for_data_dir(path: str) -> bool:
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):  # reported when it is run
        return False
    return any(
        isinstance(node, ast.FunctionDef)
        and node.name == "get_config"
        and [parameter.arg for parameter in node.args.args] == ["data_dir"]
        for node in tree.body
    )


def default_model_dir(take: FlagGroups, config: config_lib.ExperimentConfig) -> str:
    """Where a run lies if --model_dir is not given."""
    file = take.values["config"].config_filename
    if not isinstance(file, str):
        return ""  # the configuration is that of a --model_dir
    path, _, argument = file.partition(":")
    parts = [Path(path).stem, *([Path(argument).name] if argument else []), config.model.name]
    return os.path.join("runs", "-".join(parts))
