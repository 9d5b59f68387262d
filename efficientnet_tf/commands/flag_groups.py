"""The flags of one command: declared in groups, checked, parsed by absl, shown by --help."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from absl import flags

from efficientnet_tf.errors import UsageError, nearest

_WIDTH = 22  # of the column of names in --help


class _Number(flags.FloatParser):
    """A finite number."""

    def parse(self, argument: Any) -> float:
        try:
            value = super().parse(argument)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number, received {argument}")
        return value


class _Whole(flags.IntegerParser):
    """A whole number, at least `lower_bound` if that is not None."""

    def parse(self, argument: Any) -> int:
        try:
            return super().parse(argument)
        except ValueError as error:
            least = "" if self.lower_bound is None else f" of at least {self.lower_bound}"
            raise ValueError(f"expected a whole number{least}, received {argument}") from error


class _Numbers(flags.ArgumentParser):
    """Finite numbers with commas between them, as a tuple."""

    def parse(self, argument: Any) -> tuple[float, ...]:
        try:
            return tuple(_Number().parse(each) for each in str(argument).split(","))
        except ValueError as error:
            raise ValueError(
                f"expected numbers with commas between them, such as 1,1.1, received {argument}"
            ) from error

    def flag_type(self) -> str:
        return "numbers"


class _Some(flags.ListParser):
    """Some of these texts, with commas between them."""

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__()
        self._choices = choices

    def parse(self, argument: Any) -> list[str]:
        found = super().parse(argument)
        for each in found:
            if each not in self._choices:
                known = ", ".join(self._choices)
                raise ValueError(f'"{each}" is none of {known}.{nearest(each, self._choices)}')
        return found


class FlagGroups:
    """Takes the flags of one command and understands a command line by them.

    Each method below declares one flag: its name, its value where it is not given (None: it has
    none), and what it means.

    Attributes:
        wants_experiment: whether --config and its fields are flags of this command, too.
    """

    def __init__(self) -> None:
        self.values = flags.FlagValues()
        self.values.set_gnu_getopt(True)  # flags may come after other arguments
        self.wants_experiment = False
        self._groups: list[tuple[str, list[str]]] = [("Flags", [])]

    def heading(self, text: str) -> None:
        """The flags that follow are shown under this heading."""
        self._groups.append((text, []))

    def text(self, name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, flag_values=self.values)
        self._groups[-1][1].append(name)

    def switch(self, name: str, default: bool, meaning: str) -> None:
        """On by --name, off by --noname."""
        flags.DEFINE_boolean(name, default, meaning, flag_values=self.values)
        self._groups[-1][1].append(name)

    def whole(self, name: str, default: int | None, meaning: str, low: int | None = None) -> None:
        """A whole number, at least `low`."""
        flags.DEFINE(_Whole(low), name, default, meaning, flag_values=self.values)
        self._groups[-1][1].append(name)

    def number(self, name: str, default: float | None, meaning: str) -> None:
        flags.DEFINE(_Number(), name, default, meaning, flag_values=self.values)
        self._groups[-1][1].append(name)

    def numbers(self, name: str, default: str | None, meaning: str) -> None:
        commas = flags.CsvListSerializer(",")
        flags.DEFINE(_Numbers(), name, default, meaning, self.values, commas)
        self._groups[-1][1].append(name)

    def choice(self, name: str, default: str | None, choices: Sequence[str], meaning: str) -> None:
        """One of `choices`, which --help puts before `meaning`."""
        flags.DEFINE_enum(name, default, list(choices), meaning, flag_values=self.values)
        self._groups[-1][1].append(name)

    def many(self, name: str, default: Sequence[str] | None, meaning: str) -> None:
        """Texts with commas between them."""
        given = None if default is None else list(default)
        flags.DEFINE_list(name, given, meaning, flag_values=self.values)
        self._groups[-1][1].append(name)

    def some(self, name: str, choices: Sequence[str], meaning: str) -> None:
        """Some of `choices`, with commas between them; all where it is not given."""
        flags.DEFINE(
            _Some(choices), name, list(choices), meaning, self.values, flags.CsvListSerializer(",")
        )
        self._groups[-1][1].append(name)

    def repeated(self, name: str, meaning: str) -> None:
        """A text; the flag may be given several times."""
        flags.DEFINE_multi_string(name, [], meaning, flag_values=self.values)
        self._groups[-1][1].append(name)

    @property
    def names(self) -> list[str]:
        return [name for _, names in self._groups for name in names]

    def check(self, argv: Sequence[str]) -> None:
        """Catches unknown flags and flags without a value before absl says it less clearly."""
        known = [*self.names, "help", *(["config"] if self.wants_experiment else [])]
        for argument in argv[1:]:
            name = argument.lstrip("-").split("=", 1)[0]
            if not argument.startswith("-") or argument == "-" or name.startswith("config."):
                continue
            if name not in known and name.removeprefix("no") not in known:
                raise UsageError(f"unknown flag --{name}.{nearest(name, known)} See --help.")
            if "=" not in argument and not self._is_switch(name):
                raise UsageError(f"flag --{name} needs a value: --{name}=...")

    def parse(self, argv: Sequence[str], *, passes_on: bool = False) -> list[str]:
        """Reads the flags of a command line; the other arguments.

        Args:
            passes_on: flags that were not declared are other arguments, too.

        Raises:
            UsageError: a flag is unknown or has a value that it cannot have.
        """
        try:
            return self.values(list(argv), known_only=passes_on)[1:]
        except flags.Error as error:
            *_, last = str(error).strip().splitlines()  # what is before may be a traceback
            end = "" if last.endswith((".", "?")) else "."
            raise UsageError(f"{last}{end} See --help.") from error

    def given(self) -> SimpleNamespace:
        """The value of each flag as an attribute."""
        return SimpleNamespace(**{name: self.values[name].value for name in self.names})

    def help_lines(self) -> list[str]:
        """Each flag under its heading, with its meaning and its value where it is not given."""
        lines: list[str] = []
        for heading, names in self._groups:
            lines += ["", f"{heading}:"] if names else []
            for name in names:
                default = self.values[name].default_as_str
                shown = "" if default in (None, "'false'", "''") else f" [{default.strip(chr(39))}]"
                lines.append(f"  --{name:<{_WIDTH}}{self.values[name].help}{shown}")
        return lines

    def _is_switch(self, name: str) -> bool:
        name = name if name in self.values else name.removeprefix("no")
        return name == "help" or (name in self.values and self.values[name].boolean)
