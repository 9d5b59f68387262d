"""Compiles the project's train, eval and serving functions for a TPU, where there is none.

python scripts/tpu_preflight.py --model=efficientnet-b4 --tpu_type=v5litepod-8 \\
    --global_batch_size=1024
python scripts/tpu_preflight.py --model=efficientnet-b4 --tpu_type=v5litepod-8 --find_max_batch
python scripts/tpu_preflight.py --all --csv=runs/tpu_batches.csv

Prints whether each function fits, its peak memory, operations, bytes and collectives, and which
limit of the chip binds. Needs Linux x86-64 and the extra [tpu-check]. Exit code 0: everything fits;
1: something does not, or fails otherwise; 2: wrong use.
"""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from efficientnet_tf import config as config_lib
from efficientnet_tf.commands import cli
from efficientnet_tf.errors import RunError, UsageError, nearest
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import exit_code
from efficientnet_tf.tpu.targets import TARGETS, Target, target

# (flag, default, meaning)
_FLAGS: tuple[tuple[str, Any, str], ...] = (
    ("tpu_type", "v5litepod-8", f"slice, or several with commas: {', '.join(TARGETS)}"),
    ("global_batch_size", None, "over all replicas; default: the configuration's"),
    ("functions", "train,eval,serving", "which to compile"),
    ("serving_batch_size", "8", "images of one serving call"),
    ("full", False, "the compiler's full optimisation; several times slower than the default"),
    ("find_max_batch", False, "find the largest batch of the train step instead"),
    ("all", False, "the same for all --models on all --tpu_type, as a table"),
    ("models", ",".join(f"efficientnet-b{n}" for n in range(8)), "with --all"),
    ("csv", "runs/tpu_batches.csv", "with --find_max_batch and --all: every compile; resumed from"),
    ("markdown", None, "with --all: where the table goes, besides standard output"),
)
_TABLE_TYPES = "v3-8,v5litepod-8,v6e-8"
_OF_MAIN = ("mode", "tpu", "tpu_zone", "tpu_project", "model_dir", "export_dir", "list_models")


def help_text() -> str:
    lines = [str(__doc__).strip(), "", "Flags:"]
    for name, default, meaning in _FLAGS:
        shown = "" if default in (None, False) else f" [{default}]"
        lines.append(f"  --{name:<20}{meaning}{shown}")
    lines.append("  --model, --data_dir, --config, --config.FIELD=VALUE as in main.py --help")
    return "\n".join(lines)


def parse(argv: Sequence[str]) -> tuple[flags.FlagValues, config_lib.ExperimentConfig, list[str]]:
    """This script's flags, the configuration, and the arguments that made the configuration.

    Raises:
        UsageError: an unknown flag or a wrong value.
    """
    values = flags.FlagValues()
    for name, default, meaning in _FLAGS:
        if isinstance(default, bool):
            flags.DEFINE_boolean(name, default, meaning, flag_values=values)
        else:
            flags.DEFINE_string(name, default, meaning, flag_values=values)
    try:
        rest = values(argv, known_only=True)
    except flags.Error as error:
        raise UsageError(f"{error}. See --help.") from error
    own = [name for name, _, _ in _FLAGS]
    for argument in rest[1:]:
        name = argument.lstrip("-").split("=", 1)[0]
        if name in _OF_MAIN:
            raise UsageError(f"flag --{name} is one of main.py, not of this script. See --help.")
        hint = nearest(name, own)
        if (
            hint
            and argument.startswith("-")
            and not name.startswith("config")
            and (name not in ("model", "data_dir"))
        ):
            raise UsageError(f"unknown flag --{name}.{hint} See --help.")
    _, config = cli.parse(rest)
    return values, config, list(rest[1:])


def number(values: flags.FlagValues, name: str) -> int | None:
    """A whole number above 0 from a flag; None if it was not given."""
    text = values[name].value
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f'flag --{name} must be a whole number above 0, received "{text}".')
    return int(text)


def chosen(values: flags.FlagValues, name: str, known: Sequence[str]) -> list[str]:
    """The parts of a flag with commas, each one of `known`."""
    parts = values[name].value.split(",")
    for part in parts:
        if part not in known:
            raise UsageError(
                f'flag --{name}: "{part}" is none of {", ".join(known)}.{nearest(part, known)}'
            )
    return parts


def run_all(values: flags.FlagValues, targets: list[Target], rest: list[str]) -> None:
    """A process for each model and number of devices: TensorFlow can be patched only once."""
    from efficientnet_tf.zoo import list_models

    models = chosen(values, "models", [model.name for model in list_models()])
    groups: dict[int, list[str]] = {}
    for each in targets:
        groups.setdefault(each.devices, []).append(each.name)
    for index, model in enumerate(models):
        print(f"[{index + 1}/{len(models)}] {model}", flush=True)
        for names in groups.values():
            command = [sys.executable, __file__, *rest, f"--model={model}", "--find_max_batch"]
            command += [f"--tpu_type={','.join(names)}", f"--csv={values.csv}"]
            command += ["--full"] if values.full else []
            if subprocess.run(command, check=False).returncode:
                raise RunError(f"{model} failed; the same command goes on from there.")


def print_table(
    values: flags.FlagValues, config: config_lib.ExperimentConfig, targets: list[Target]
) -> None:
    from efficientnet_tf.tpu import batch_table

    level = "full" if values.full else "fast"
    table = batch_table.markdown(
        batch_table.read(values.csv),
        (batch_table.digest(config), level),
        values.models.split(","),
        [each.name for each in targets],
    )
    print(table)
    if values.markdown:
        with open(values.markdown, "w", encoding="utf-8") as file:
            file.write(table + "\n")


def run(argv: Sequence[str]) -> bool:
    """Does what the command line asks; whether everything fits."""
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(help_text())
        return True
    values, config, rest = parse(argv)
    if values.all and values["tpu_type"].using_default_value:
        values.tpu_type = _TABLE_TYPES
    targets = [target(name) for name in values.tpu_type.split(",")]
    from efficientnet_tf.tpu import requirements

    requirements.prepare()
    if values.all:
        run_all(values, targets, rest)
        print_table(values, config, targets)
        return True
    start_tensorflow()
    from efficientnet_tf.tpu import preflight

    level = "full" if values.full else "fast"
    if values.find_max_batch:
        preflight.find_max_batch(config, targets, level, values.csv)
        return True
    if len(targets) > 1:
        raise UsageError("--tpu_type: one slice, or --find_max_batch or --all with several.")
    functions = chosen(values, "functions", preflight.FUNCTIONS)
    batch = number(values, "global_batch_size")
    if batch is not None:
        config = config_lib.with_fields(config, {"train.global_batch_size": batch})
    serving = number(values, "serving_batch_size") or 1
    return preflight.check(config, targets[0], functions, level, serving)


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: 0 if run(argv) else 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
