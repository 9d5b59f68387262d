"""A number as the paper prints it, with what its few digits leave open."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"": 1.0, "x": 1.0, "M": 1e6, "B": 1e9}
_PATTERN = re.compile(r"(\d+)(?:\.(\d+))?([xMB]?)")


@dataclass(frozen=True)
class Printed:
    """`Printed("4.1B")`: 4.1e9, somewhere from 4.05e9 to 4.15e9.

    Attributes:
        text: as in the paper: digits, then x (a ratio), M (10^6), B (10^9) or nothing.
    """

    text: str

    def __post_init__(self) -> None:
        if not _PATTERN.fullmatch(self.text):
            raise ValueError(f'"{self.text}" is no number as the paper prints them')

    @property
    def unit(self) -> float:
        return _UNITS[self.text[-1] if self.text[-1] in _UNITS else ""]

    @property
    def value(self) -> float:
        return float(self.text.rstrip("xMB")) * self.unit

    @property
    def half_digit(self) -> float:
        """Half of one in the last digit that is printed."""
        decimals = len(self.text.rstrip("xMB").partition(".")[2])
        return 0.5 * 10.0**-decimals * self.unit

    @property
    def low(self) -> float:
        return self.value - self.half_digit

    @property
    def high(self) -> float:
        return self.value + self.half_digit

    def is_rounded_from(self, value: float) -> bool:
        """Whether this number would be printed so."""
        return self.low <= value <= self.high

    def difference(self, value: float) -> float:
        """Of a number from the printed one, in percent of the printed one."""
        return 100.0 * (value / self.value - 1.0)
