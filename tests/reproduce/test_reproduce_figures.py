"""What is drawn comes from where it says, and can be read."""

import csv
import io
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.transforms import Bbox

from efficientnet_tf.paper.published import TABLE2, TABLE7
from efficientnet_tf.reproduce import curves, figures
from efficientnet_tf.reproduce.architectures import Counted, counted
from efficientnet_tf.reproduce.picture import (
    COMPUTED,
    MEASURED,
    PAPER,
    RECOUNTED,
    SOURCES,
    Panel,
    Picture,
    Point,
    Series,
)
from efficientnet_tf.reproduce.results import Measured, OwnResult

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "params.json").read_text())


def counter(name: str) -> Counted | None:
    """Ours, and a stand-in of made-up size for one other network."""
    if name == "Xception":
        return Counted("a stand-in", 20_000_000, 8_000_000_000)
    return counted(name) if name.startswith("EfficientNet") else None


def measured(what: str) -> list[Measured]:
    base, lower = (4e8, 19.0) if what.lower() == "imagenet" else (1e7, 0.0)

    def run(depth: float, width: float, resolution: int, top1: float) -> Measured:
        cost = base * depth * width**2 * (resolution / 32) ** 2
        row = OwnResult(
            "efficientnet-b0", depth, width, resolution, cost, int(cost / 50), 0.0, 0, what
        )
        return Measured(row, top1 - lower, 0.3, 3)

    return [
        run(1, 1, 32, 95.0),
        run(2, 1, 32, 95.5),
        run(1, 1.4, 32, 95.6),
        run(1, 1, 45, 95.4),
        run(1.2, 1.1, 37, 96.0),
    ]


FIGURES: dict[str, Callable[..., Picture]] = {
    "figure1": lambda rows=(): curves.figure1(rows, counter),
    "figure3": curves.figure3,
    "figure4": curves.figure4,
    "figure5": lambda rows=(): curves.figure5(rows, counter),
    "figure8": curves.figure8,
}


def overlaps(one: Bbox, other: Bbox) -> bool:
    both = Bbox.intersection(one, other)
    return both is not None and both.width * both.height > 0


def points(panel: Panel, source: str) -> list[tuple[float, float]]:
    return [(p.x, p.y) for series in panel.series if series.source == source for p in series.points]


@pytest.mark.parametrize(("figure", "field"), [("figure1", "params"), ("figure5", "multiply_adds")])
def test_networks_over_a_cost(figure: str, field: str) -> None:
    (panel,) = FIGURES[figure]().panels
    unit = 1e6 if field == "params" else 1e9
    printed = [(getattr(row, field), row.top1) for row in TABLE2]
    expected = {(number.value / unit, top1) for number, top1 in printed if number is not None}
    assert set(points(panel, PAPER)) == expected
    key = "trainable_params" if field == "params" else "multiply_adds"
    ours = points(panel, RECOUNTED)
    assert (GOLDEN["efficientnet-b7"][key] / unit, 84.3) in ours
    assert len(ours) == 9  # B0 to B7 and the stand-in
    assert points(panel, MEASURED) == []


@pytest.mark.parametrize("figure", ["figure3", "figure4"])
def test_no_accuracy_where_the_paper_prints_none(figure: str) -> None:
    picture = FIGURES[figure]()
    assert "prints none" in picture.note
    assert all("ccuracy" not in panel.y_label for panel in picture.panels)
    assert "architecture side" in picture.title


def test_figure3_has_the_printed_costs_and_ours() -> None:
    panels = {panel.title: panel for panel in curves.figure3().panels}
    assert points(panels["Depth d"], PAPER) == [(1.0, 0.4), (4.0, 1.8)]
    assert (1.0, 0.385814752) in points(panels["Width w"], COMPUTED)
    # Section 3.2: r=2.5 denotes 560 pixels.
    assert max(points(panels["Resolution r"], COMPUTED))[0] == 2.5


def test_figure4_has_the_baselines_of_the_caption() -> None:
    (panel,) = curves.figure4().panels
    names = [series.name for series in panel.series]
    assert (names[0], names[-1]) == ("B0, d=1 r=1", "B0, d=2 r=1.3")
    assert panel.series[0].points[0].y == 0.385814752


def test_figure8_shows_what_table7_prints() -> None:
    panel = curves.figure8().panels[0]
    expected = {(row.multiply_adds.value / 1e9, row.top1) for row in TABLE7}
    assert set(points(panel, PAPER)) == expected
    assert {y for _, y in points(panel, RECOUNTED)} == {row.top1 for row in TABLE7}


@pytest.mark.parametrize("figure", FIGURES)
def test_other_data_sets_get_panels_of_their_own(figure: str) -> None:
    before = FIGURES[figure]()
    after = FIGURES[figure](measured("digits, 30 epochs"))
    assert [panel.title for panel in after.panels[: len(before.panels)]] == [
        panel.title for panel in before.panels
    ]
    assert after.panels[-1].title == "Measured by us: digits, 30 epochs"
    assert all(not points(panel, MEASURED) for panel in after.panels[:-1])
    assert {series.source for series in after.panels[-1].series} == {MEASURED}
    assert "Stars: measured by us" in after.note
    assert "Stars" not in before.note


@pytest.mark.parametrize("figure", ["figure1", "figure5", "figure8"])
def test_runs_on_imagenet_share_the_axes_under_their_own_marker(figure: str) -> None:
    panel = FIGURES[figure](measured("ImageNet")).panels[0]
    assert len(points(panel, MEASURED)) == 8
    legends = [series.legend for series in panel.series]
    assert len(set(legends)) == len(legends)
    assert "efficientnet-b0 by compound (measured by us)" in legends


def test_a_single_run_is_drawn_too() -> None:
    panel = curves.figure8(measured("digits")[:1]).panels[-1]
    assert [(series.name, len(series.points)) for series in panel.series] == [
        ("efficientnet-b0", 1)
    ]


def test_every_source_looks_different() -> None:
    looks = []
    for source in SOURCES:
        series = Series("s", source, (Point(1.0, 1.0), Point(2.0, 2.0)), line=True)
        figure = figures.draw(Picture("p", "P", (Panel("t", "x", "y", (series,)),), "n"))
        line = figure.axes[0].lines[0]
        looks.append(
            (line.get_marker(), line.get_markerfacecolor() == "none", line.get_linestyle())
        )
    assert len(set(looks)) == len(SOURCES)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("rows", [(), measured("imagenet") + measured("digits")], ids=["", "runs"])
def test_pictures_can_be_read(figure: str, rows: Any) -> None:
    picture = FIGURES[figure](rows)
    drawn = figures.draw(picture)
    assert len(drawn.axes) == len(picture.panels)
    for axes, panel in zip(drawn.axes, picture.panels, strict=True):
        assert (axes.get_xlabel(), axes.get_ylabel()) == (panel.x_label, panel.y_label)
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == [s.legend for s in panel.series]
        labels = [text for text in axes.texts if text.get_text()]
        wanted = [p.label for series in panel.series for p in series.points if p.label]
        assert sorted(text.get_text() for text in labels) == sorted(wanted)
        for one, other in combinations(labels, 2):
            boxes = one.get_window_extent(), other.get_window_extent()
            assert not overlaps(*boxes), (one.get_text(), other.get_text())
        whole = drawn.bbox
        for artist in (legend, axes.title, axes.xaxis.label, axes.yaxis.label, *labels):
            box = artist.get_window_extent()
            assert box.x0 >= whole.x0, artist
            assert box.x1 <= whole.x1, artist
            assert box.y0 >= whole.y0, artist
    extents = [axes.get_legend().get_window_extent() for axes in drawn.axes]
    extents += [axes.get_window_extent() for axes in drawn.axes]
    for one, other in combinations(extents, 2):
        assert not overlaps(one, other)


def test_files_are_complete_and_repeatable(tmp_path: Path) -> None:
    picture = curves.figure8()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        files = figures.save(picture, folder)
        assert files == [str(folder / f"figure8.{ending}") for ending in ("png", "svg", "csv")]
    assert (tmp_path / "a" / "figure8.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    for ending in ("svg", "csv"):
        first, second = (tmp_path / name / f"figure8.{ending}" for name in "ab")
        assert first.read_text() == second.read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a" / "figure8.csv").read_text())))
    assert {row["source"] for row in rows} == {PAPER, RECOUNTED, COMPUTED}
    assert {"panel", "series", "label", "x", "y", "x_error", "y_error"} < set(rows[0])


def test_markdown_counts_points_by_source() -> None:
    text = curves.figure8().markdown(["a.png"])
    assert "8 paper, 8 paper's accuracy at our count, 25 computed by us. Files: a.png." in text
