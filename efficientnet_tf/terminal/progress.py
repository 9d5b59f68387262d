"""How long jobs on data show where they are: a bar on a terminal, elsewhere a line now and then."""

import sys
from typing import Any, TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0
_SCALED_FROM = 1000  # counts from here on are shown as 1.00k, 2.50M


class _Lines:
    """A file for tqdm in which every state of the bar is a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        text = text.strip()
        if text:
            self._stream.write(f"{text}\n")

    def flush(self) -> None:
        self._stream.flush()


class TerminalBar(tqdm):
    """A tqdm bar if the stream is a terminal, else none (`disable` is True); and lines above it."""

    def __init__(self, stream: TextIO, **options: Any) -> None:
        self._stream = stream
        hidden = not stream.isatty()
        super().__init__(file=stream, disable=hidden, dynamic_ncols=True, smoothing=0.1, **options)

    def say(self, text: str) -> None:
        """A line for people."""
        if self.disable:
            print(text, file=self._stream, flush=True)
        else:
            self.write(text, file=self._stream)

    def skip(self) -> None:
        """One was done before: it counts for the bar, not for the rate."""
        if not self.disable:
            self.initial += 1
            self.n += 1
            self.last_print_n += 1


def progress_bar(
    total: int, unit: str, description: str, initial: int = 0, stream: TextIO | None = None
) -> tqdm:
    """A tqdm bar of `total` units with the rate and the time left, on standard error.

    `initial` were done before: they count for the bar, not for the rate.
    """
    stream = stream or sys.stderr
    scaled = total >= _SCALED_FROM  # below, "7/7" says more than "7.00/7.00"
    common = {"total": total, "initial": initial, "unit": unit, "unit_scale": scaled}
    if stream.isatty():
        return TerminalBar(stream, **common, desc=description)
    return tqdm(
        **common,
        desc=description,
        file=_Lines(stream),
        mininterval=SECONDS_BETWEEN_LINES,
        maxinterval=2 * SECONDS_BETWEEN_LINES,
        bar_format="{desc}: {n_fmt}/{total_fmt}{unit}, {elapsed}, {remaining} left, {rate_fmt}",
    )
