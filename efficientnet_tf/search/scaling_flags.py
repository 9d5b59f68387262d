"""Flags of the scaling searches, beside the configuration's, which are those of main.py."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.machine.device import Device

# (flag, default, meaning)
Flags = tuple[tuple[str, Any, str], ...]
Parse = Callable[[Sequence[str]], tuple[flags.FlagValues, ExperimentConfig]]

_OF_MAIN = ("data_dir", "tpu", "tpu_zone", "tpu_project")
COMMON: Flags = (
    ("network", None, "baseline: a name or file.py:NAME; default: the configuration's"),
    ("classes", None, "counted; default: digits 10, data.num_classes, or the network's own"),
    ("seeds", "3", "trainings of each network"),
    ("dry_run", False, "only print which networks there are and what they cost"),
)


class Arguments:
    """A command line that was understood.

    Args:
        argv: the command line, which must be sys.argv: ml_collections reads that.
        own: flags of the script beside COMMON.
        parse: `cli.parse`, for all other flags; a layer above this one.

    Attributes:
        config: finished, with the network of --network.
        device: where to compute.

    Raises:
        UsageError: an unknown flag, or a configuration that cannot be.
    """

    def __init__(self, argv: Sequence[str], own: Flags, parse: Parse) -> None:
        self._values = flags.FlagValues()
        names = []
        for name, default, meaning in (*COMMON, *own):
            define = flags.DEFINE_boolean if isinstance(default, bool) else flags.DEFINE_string
            define(name, default, meaning, flag_values=self._values)
            names.append(name)
        try:
            rest = self._values(argv, known_only=True)
        except flags.Error as error:
            raise UsageError(f"{error}. See --help.") from error
        for argument in rest[1:]:
            name = argument.lstrip("-").split("=", 1)[0]
            known = name in _OF_MAIN or name.split(".")[0] == "config"
            if argument.startswith("-") and not known:
                hint = nearest(name, [*names, *_OF_MAIN])
                raise UsageError(f"unknown flag --{name}.{hint} See --help.")
        if self.given("network"):
            rest = [*rest, f"--model={self.text('network')}"]
        of_main, self.config = parse(rest)
        self.device = Device(of_main.tpu, of_main.tpu_zone, of_main.tpu_project)

    def given(self, name: str) -> bool:
        """Whether a flag has a value, or is on."""
        return self._values[name].value not in (None, False)

    def text(self, name: str) -> str:
        return str(self._values[name].value)

    def whole(self, name: str) -> int:
        """A whole number of at least 1."""
        text = self.text(name)
        if not text.isdecimal() or int(text) < 1:
            raise UsageError(
                f'flag --{name} must be a whole number of at least 1, received "{text}".'
            )
        return int(text)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Finite numbers with commas between them."""
        found = []
        for text in self.text(name).split(","):
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise UsageError(
                    f"flag --{name} must be numbers with commas between them, such as 1,1.1, "
                    f'received "{self.text(name)}".'
                )
            found.append(value)
        return tuple(found)

    def number(self, name: str) -> float:
        """A finite number."""
        found = self.numbers(name)
        if len(found) != 1:
            raise UsageError(f'flag --{name} must be one number, received "{self.text(name)}".')
        return found[0]


def help_text(doc: str | None, own: Flags) -> str:
    """The answer to --help."""
    lines = [str(doc).strip(), "", "Flags:"]
    for name, default, meaning in (*COMMON, *own):
        shown = "" if default in (None, False) else f" [{default}]"
        lines.append(f"  --{name:<20}{meaning}{shown}")
    names = ", ".join(f"--{name}" for name in _OF_MAIN)
    lines.append(f"  {names}, --config, --config.FIELD=VALUE as in main.py --help")
    return "\n".join(lines)
