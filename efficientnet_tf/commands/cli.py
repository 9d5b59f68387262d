"""The command line of main.py: its flags, its help, and which function they end in.

Nothing here imports TensorFlow before the flags are right: `--help`, `--list_models` and every
usage error answer at once.
"""

import ast
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.evaluation import request as evaluation_request
from efficientnet_tf.export.options import DTYPES, FORMATS, IMAGES, ExportOptions, parse_formats
from efficientnet_tf.machine.device import Device
from efficientnet_tf.models.networks import configured
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code
from efficientnet_tf.zoo import list_models

MODES = ("train_and_eval", "train", "eval", "export")
_DEFAULT_CONFIG = str(Path(__file__).resolve().parents[2] / "configs" / "imagenet.py")

# (heading, [(flag, default, meaning)]): the help text and the definitions, in one table.
_FLAGS: tuple[tuple[str, tuple[tuple[str, Any, str], ...]], ...] = (
    (
        "What to do",
        (
            ("mode", "train_and_eval", f"one of {', '.join(MODES)}"),
            ("list_models", False, "print name, resolution, classes, params, multiply-adds; exit"),
        ),
    ),
    (
        "Model and data",
        (
            ("model", None, "name of the network; default: the config's (efficientnet-b0)"),
            ("data_dir", None, "folder or gs://... with the data set's files"),
        ),
    ),
    (
        "Where it runs and where it writes",
        (
            ("tpu", None, "local, a TPU's name or grpc://...; default: GPUs if any, else CPU"),
            ("tpu_zone", None, "of a TPU given by name; default: this machine's"),
            ("tpu_project", None, "of a TPU given by name; default: this machine's"),
            ("model_dir", None, "checkpoints, logs, results; default: runs/<config>-<model>"),
            ("export_dir", None, "the SavedModel; default: <model_dir>/export"),
        ),
    ),
    (
        "Export",
        (
            ("export_formats", "saved_model", f"some of {','.join(FORMATS)}"),
            ("export_batch", None, "images of a request; default: any number (TFLite: 1)"),
            ("export_dtype", "float32", f"of the SavedModel: {', '.join(DTYPES)}"),
            ("export_xla", False, "the SavedModel is compiled by XLA: for accelerators"),
            ("export_images", str(IMAGES), "how many the export is compared on"),
        ),
    ),
    (
        "What --mode=eval evaluates (docs/evaluation.md)",
        tuple((name, None, meaning) for name, meaning in evaluation_request.FLAGS),
    ),
)


_SWITCHES = (
    "help",
    *(name for _, group in _FLAGS for name, default, _ in group if isinstance(default, bool)),
)


def _define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    for _, group in _FLAGS:
        for name, default, meaning in group:
            if isinstance(default, bool):
                flags.DEFINE_boolean(name, default, meaning, flag_values=values)
            else:
                flags.DEFINE_string(name, default, meaning, flag_values=values)
    config_flags.DEFINE_config_file(
        "config", _DEFAULT_CONFIG, "experiment file", flag_values=values
    )
    return values


def help_text() -> str:
    """The answer to --help: flags in groups, then every field of the configuration."""
    lines = [str(sys.modules["__main__"].__doc__ or __doc__).strip(), ""]
    for heading, group in _FLAGS:
        lines.append(f"{heading}:")
        for name, default, meaning in group:
            shown = "" if default is None or default is False else f" [{default}]"
            lines.append(f"  --{name:<16}{meaning}{shown}")
        lines.append("")
    lines.append("Experiment:")
    lines.append("  --config          experiment file with get_config() [configs/imagenet.py]")
    lines.append("  --config.FIELD=VALUE overrides any field of it. Fields and their defaults:")
    for name, field, value in config_lib.fields(config_lib.ExperimentConfig()):
        meaning = field.metadata["meaning"]
        choices = field.metadata["choices"]
        if choices and not all(choice in meaning for choice in choices):
            meaning += f" ({', '.join(choices)})"
        lines.append(f"    {name:<34}{meaning} [{value}]")
    return "\n".join(lines)


def models_table() -> str:
    lines = [f"{'name':<24}{'pixels':>7}{'classes':>9}{'params':>14}{'multiply-adds':>18}"]
    for model in list_models():
        lines.append(
            f"{model.name:<24}{model.resolution:>7}{model.classes:>9}{model.params:>14,}"
            f"{model.multiply_adds:>18,}"
        )
    return "\n".join(lines)


def _check_arguments(argv: Sequence[str], known: Sequence[str]) -> None:
    """Catches unknown flags and config fields before the libraries say it less clearly."""
    for argument in argv[1:]:
        if not argument.startswith("-"):
            raise UsageError(
                f'unexpected argument "{argument}": everything is a flag, as --name=value.'
            )
        name = argument.lstrip("-").split("=", 1)[0]
        if name.startswith("config."):
            config_lib.check_name(name.removeprefix("config."))
        elif name not in known and name.removeprefix("no") not in known:
            raise UsageError(f"unknown flag --{name}.{nearest(name, known)} See --help.")
        elif "=" not in argument and name.removeprefix("no") not in _SWITCHES:
            raise UsageError(f"flag --{name} needs a value: --{name}=...")


def _given_data_dir(argv: Sequence[str]) -> list[str]:
    """The command line, with --data_dir as the argument of a config file that asks for it.

    That is one whose get_config has a parameter `data_dir`: it chooses by what lies there.
    """
    given = dict(argument.split("=", 1) for argument in argv[1:] if "=" in argument)
    path, data_dir = given.get("--config", _DEFAULT_CONFIG), given.get("--data_dir")
    if data_dir is None or ":" in path:
        return list(argv)
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):  # reported when it is run
        return list(argv)
    asks = any(
        isinstance(node, ast.FunctionDef)
        and node.name == "get_config"
        and [parameter.arg for parameter in node.args.args] == ["data_dir"]
        for node in tree.body
    )
    if not asks:
        return list(argv)
    # First, because fields of a configuration are known only after its file.
    rest = [argument for argument in argv[1:] if not argument.startswith("--config=")]
    return [argv[0], f"--config={path}:{data_dir}", *rest]


def parse(argv: Sequence[str]) -> tuple[flags.FlagValues, config_lib.ExperimentConfig]:
    """The flags of a command line and its finished configuration; raises UsageError."""
    # Before the flags are made: ml_collections reads sys.argv while it defines its flag.
    names = [name for _, group in _FLAGS for name, _, _ in group]
    _check_arguments(argv, [*names, "config", "help"])
    for argument in argv[1:]:
        if argument.startswith("--config="):
            path = argument.removeprefix("--config=")
            if not os.path.isfile(path.split(":", 1)[0]):
                raise UsageError(
                    f'--config: no file "{path}". Give a Python file with get_config(), such as '
                    "configs/digits.py."
                )
    try:
        values = _define_flags()
        values(_given_data_dir(argv))
        config = values.config
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
    if values.model is not None:
        config.model.name = values.model
    if values.data_dir is not None:
        config.data.data_dir = values.data_dir
    if values.mode not in MODES:
        raise UsageError(
            f'--mode must be one of {", ".join(MODES)}, received "{values.mode}".'
            + nearest(values.mode, MODES)
        )
    return values, config_lib.finish(config)


def _whole_number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise UsageError(f'--{name} must be a whole number, received "{text}".')
    return int(text)


def export_options(values: flags.FlagValues) -> ExportOptions:
    """What the flags say of the export; raises UsageError."""
    return ExportOptions(
        parse_formats(values.export_formats),
        _whole_number("export_batch", values.export_batch),
        values.export_dtype,
        values.export_xla,
        _whole_number("export_images", values.export_images) or 0,
    )


def default_model_dir(values: flags.FlagValues, config: config_lib.ExperimentConfig) -> str:
    """Where a run lies if --model_dir is not given."""
    path, _, argument = values["config"].config_filename.partition(":")
    parts = [Path(path).stem, *([Path(argument).name] if argument else []), config.model.name]
    return os.path.join("runs", "-".join(parts))


def _report(model_dir: str, source: Any, with_pictures: bool) -> str:
    from efficientnet_tf.report.write import try_report  # loads matplotlib: a second

    return try_report(model_dir, source, with_pictures=with_pictures)


def _run(argv: Sequence[str]) -> None:
    if asks_for_help(argv):
        print(help_text())
        return
    values, config = parse(argv)
    asked = {name: values[name].value for name, _ in evaluation_request.FLAGS}
    request = evaluation_request.evaluation_request(asked, values.mode)
    if values.list_models:
        print(models_table())
        return
    # Refuses a wrong model before the seconds that TensorFlow takes to load.
    configured(**dataclasses.asdict(config.model))
    options = export_options(values)
    model_dir = values.model_dir or default_model_dir(values, config)
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.experiment import modes

    functions: dict[str, Callable[..., None]] = {
        "train_and_eval": functools.partial(modes.train_and_evaluate, report=_report),
        "train": functools.partial(modes.train, report=_report),
        "eval": functools.partial(modes.evaluate, request=request, report=_report),
        "export": modes.export,
    }
    device = Device(values.tpu, values.tpu_zone, values.tpu_project)
    where = modes.Where(model_dir, values.export_dir, device, options)
    functions[values.mode](config, where)


def main(argv: Sequence[str]) -> int:
    """Runs a command line; returns its exit code; see terminal/exit_codes.py."""
    return exit_code(lambda: _run(argv))
