"""Predictions as files: CSV, JSON, JSON lines, Parquet, ImageNet's submission."""

import csv
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.evaluation import imagenet_submission
from efficientnet_tf.inference.prediction_table import (
    FilePrediction,
    Prediction,
    Unusable,
    best,
    check_table_path,
    write_table,
)

OUTCOMES: list[FilePrediction] = [
    Prediction('b,"1".jpg', (3, 0), ("hüne", "cat"), (0.75, float(np.float32(0.1)))),
    Unusable("broken.jpg", "Not an image."),
    Prediction("a\udcff.jpg", (1, 2), ("1", "2"), (0.5, 0.25)),  # a name that is not UTF-8
]


def test_csv_has_a_row_for_each_image_in_order(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_table(str(path), OUTCOMES)
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    assert rows == [
        ["path", "error"]
        + ["class_1", "name_1", "probability_1", "class_2", "name_2", "probability_2"],
        ['b,"1".jpg', "", "3", "hüne", "0.75", "0", "cat", "0.1"],
        ["broken.jpg", "Not an image.", "", "", "", "", "", ""],
        ["a\\xff.jpg", "", "1", "1", "0.5", "2", "2", "0.25"],
    ]


def test_names_that_others_chose_are_harmless_in_csv_and_lost_nowhere(tmp_path: Path) -> None:
    formulas = ["=cmd|' /C calc'!A0", "+1", "-2", "@SUM(A1)", "\uff1d1"]
    outcomes: list[FilePrediction] = [
        *(Prediction(text, (0,), (text,), (0.5,)) for text in formulas),
        Prediction("a\x1b[2J\nb", (0,), ("x\r\u202ey",), (0.5,)),
        Prediction("\udce9", (0,), ("\udce9",), (0.5,)),
        Prediction("half", (0,), ("\ud800",), (0.5,)),  # as JSON may spell a name
        Unusable("=1", "=2 \x1b"),
    ]
    write_table(str(tmp_path / "out.csv"), outcomes)
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [(row[0], row[3]) for row in rows[:5]] == [(f"'{f}", f"'{f}") for f in formulas]
    assert (rows[5][0], rows[5][3]) == ("a\\x1b[2J\\x0ab", "x\\x0d\\u202ey")
    assert [rows[6][0], rows[6][3], rows[7][3]] == ["\\xe9", "\\xe9", "\\ud800"]
    assert rows[8][:2] == ["'=1", "'=2 \\x1b"]
    write_table(str(tmp_path / "out.json"), outcomes)
    found = json.loads((tmp_path / "out.json").read_text())
    assert [each["path"] for each in found[:6]] == [*formulas, "a\x1b[2J\nb"]  # as they are
    assert found[7]["predictions"][0]["name"] == "\\ud800"


def test_json_and_json_lines_hold_the_same(tmp_path: Path) -> None:
    for name in ("out.json", "out.jsonl"):
        write_table(str(tmp_path / name), OUTCOMES)
    found = json.loads((tmp_path / "out.json").read_text())
    assert found[0] == {
        "path": 'b,"1".jpg',
        "predictions": [
            {"class": 3, "name": "hüne", "probability": 0.75},
            {"class": 0, "name": "cat", "probability": 0.1},
        ],
    }
    assert found[1] == {"path": "broken.jpg", "error": "Not an image."}
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_table(str(tmp_path / "out.parquet"), OUTCOMES)
    table = parquet.read_table(str(tmp_path / "out.parquet"))
    assert {name: str(table.schema.field(name).type) for name in table.column_names[:5]} == {
        "path": "string",
        "error": "string",
        "class_1": "int32",
        "name_1": "string",
        "probability_1": "float",
    }
    assert table.column("class_1").to_pylist() == [3, None, 1]
    assert table.column("error").to_pylist() == [None, "Not an image.", None]


def test_the_best_are_the_first() -> None:
    (first, broken, _) = OUTCOMES
    assert best(first, 1) == Prediction('b,"1".jpg', (3,), ("hüne",), (0.75,))
    assert best(first, 9) == first
    assert best(broken, 1) is broken


def test_nothing_but_broken_images_is_a_table_too(tmp_path: Path) -> None:
    write_table(str(tmp_path / "out.csv"), OUTCOMES[1:2])
    assert (tmp_path / "out.csv").read_text() == "path,error\nbroken.jpg,Not an image.\n"


def test_parquet_without_its_package_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs pyarrow, .*\npip install .*parquet.*write \.csv"):
        check_table_path(str(tmp_path / "out.parquet"))
    check_table_path(str(tmp_path / "out.csv"))


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'must end in .csv, .json, .*Did you mean ".jsonl"'):
        check_table_path(str(tmp_path / "out.jsonll"))


def test_a_place_that_cannot_be_written_is_refused_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    for path in (tmp_path / "file" / "out.csv", tmp_path / "folder.csv"):
        with pytest.raises(UsageError, match=f'--output: "{path}" cannot be written: '):
            check_table_path(str(path))
    check_table_path(str(tmp_path / "new" / "out.csv"))
    assert list((tmp_path / "new").iterdir()) == [], "the trial leaves nothing behind"


def test_failing_to_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.csv").write_text("old")

    def full_disk(old: str, new: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(RunError, match="could not be written: No space left on device"):
        write_table(str(tmp_path / "out.csv"), OUTCOMES)
    assert (tmp_path / "out.csv").read_text() == "old"
    assert os.listdir(tmp_path) == ["out.csv"]


# The kit's numbers are in no order of the WordNet IDs: here they run backwards.
WORDNET_IDS = [f"n{number:08d}" for number in range(1000)]
IDS = {name: 1000 - place for place, name in enumerate(WORDNET_IDS)}


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """A development kit with both of its tables."""
    from scipy.io import savemat

    synsets: Any = np.zeros(1002, [("ILSVRC2012_ID", "f8"), ("WNID", object)])
    synsets["ILSVRC2012_ID"][:1000], synsets["WNID"][:1000] = list(IDS.values()), list(IDS)
    synsets["ILSVRC2012_ID"][1000:], synsets["WNID"][1000:] = (1001, 1002), ("n1", "n2")
    (tmp_path / "data").mkdir()
    savemat(tmp_path / "data" / "meta.mat", {"synsets": synsets})
    lines = [f"{name} {number} some_thing\n" for name, number in IDS.items()]
    (tmp_path / "map_clsloc.txt").write_text("".join(lines))
    return tmp_path


def test_the_development_kit_is_read_in_both_forms(devkit: Path) -> None:
    assert imagenet_submission.read_ids(str(devkit)) == IDS
    assert imagenet_submission.read_ids(str(devkit / "data" / "meta.mat")) == IDS
    assert imagenet_submission.read_ids(str(devkit / "map_clsloc.txt")) == IDS


def test_a_wrong_development_kit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be the folder of ImageNet's development kit"):
        imagenet_submission.read_ids(str(tmp_path))
    table = tmp_path / "map_clsloc.txt"
    for content, message in (
        ("n00000001 1 fish\n", "must give the IDs 1 to 1000 .*found 1"),
        ("fish\n", "cannot be read"),
    ):
        table.write_text(content)
        with pytest.raises(UsageError, match=message):
            imagenet_submission.read_ids(str(table))
    (tmp_path / "meta.mat").write_bytes(b"no such thing")
    with pytest.raises(UsageError, match="meta.mat.* cannot be read"):
        imagenet_submission.read_ids(str(tmp_path / "meta.mat"))


def test_a_submission_has_five_ids_for_each_image_in_order_of_names(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    classes = tuple(range(6))
    ids = imagenet_submission.ids_by_class(IDS, 1000, None)
    outcomes: list[FilePrediction] = [
        Prediction("x/b.JPEG", classes, ("",) * 6, (0.1,) * 6),
        Prediction("y/a.JPEG", (999, 7), ("",) * 2, (0.1,) * 2),
    ]
    imagenet_submission.write_submission(str(path), outcomes, ids)
    assert path.read_text() == "1 993\n1000 999 998 997 996\n"


def test_class_names_that_are_wordnet_ids_decide(tmp_path: Path) -> None:
    backwards = WORDNET_IDS[::-1]
    assert imagenet_submission.ids_by_class(IDS, 1000, backwards) == list(range(1, 1001))
    assert imagenet_submission.ids_by_class(IDS, 1000, ["fish"] * 1000) == list(range(1000, 0, -1))
    with pytest.raises(UsageError, match='class "n99999999" is not in the development kit'):
        imagenet_submission.ids_by_class(IDS, 1000, ["n99999999"] * 1000)
    with pytest.raises(UsageError, match="needs a network of ImageNet's 1000 classes, .* has 10"):
        imagenet_submission.ids_by_class(IDS, 10, None)


def test_a_submission_with_a_hole_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    ids = imagenet_submission.ids_by_class(IDS, 1000, None)
    with pytest.raises(RunError, match=r"broken.jpg could not be used"):
        imagenet_submission.write_submission(str(path), OUTCOMES, ids)
    assert not path.exists()
