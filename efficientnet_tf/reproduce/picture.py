"""A figure as data: panels, series and points, and where every point comes from."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

# Where a point comes from; each has a marker of its own in every figure.
PAPER = "paper"
RECOUNTED = "paper's accuracy at our count"
COMPUTED = "computed by us"
MEASURED = "measured by us"
THEORY = "theory"
SOURCES = (PAPER, RECOUNTED, COMPUTED, MEASURED, THEORY)


@dataclass(frozen=True)
class Point:
    """x and y in the panel's units, a label beside it or "", half the length of error bars or 0."""

    x: float
    y: float
    label: str = ""
    x_error: float = 0.0
    y_error: float = 0.0


@dataclass(frozen=True)
class Series:
    """Points of one source under one line of the legend.

    Attributes:
        name: of what is drawn; the source is added in the legend.
        source: one of SOURCES.
        colour: index; series of one thing from several sources share it.
        line: whether the points are joined.
    """

    name: str
    source: str
    points: tuple[Point, ...]
    colour: int = 0
    line: bool = False

    @property
    def legend(self) -> str:
        return f"{self.name} ({self.source})"


@dataclass(frozen=True)
class Panel:
    """One pair of axes; `wide` ones get more room for their labels."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure: its file's name, the line above, panels side by side, the note below."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    note: str

    def csv(self) -> str:
        """All points."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("panel", "series", "source", "label", "x", "y", "x_error", "y_error"))
        for panel in self.panels:
            for series in panel.series:
                for point in series.points:
                    start = (panel.title, series.name, series.source, point.label)
                    writer.writerow((*start, point.x, point.y, point.x_error, point.y_error))
        return out.getvalue()

    def markdown(self, files: Sequence[str]) -> str:
        """Title, note, how many points of which source, and the files."""
        counts = dict.fromkeys(SOURCES, 0)
        for panel in self.panels:
            for series in panel.series:
                counts[series.source] += len(series.points)
        points = ", ".join(f"{count} {source}" for source, count in counts.items() if count)
        return f"## {self.title}\n\n{self.note}\n\nPoints: {points}. Files: {', '.join(files)}.\n"
