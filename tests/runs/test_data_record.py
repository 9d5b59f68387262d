"""What a run knows of its data set: the same wherever it lies, every change said, none let pass."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from efficientnet_tf.data.sources.csv_file import csv_source
from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.data.sources.in_memory import array_source
from efficientnet_tf.data.sources.records import RecordFiles, RecordSource
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import UsageError
from efficientnet_tf.runs import data_record


def add(root: Path, names: Mapping[str, range]) -> None:
    """Files of so many numbers in each class folder; that they are no images does not matter."""
    for name, numbers in names.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (root / name / f"img_{number}.jpg").touch()


def begin(model_dir: Path, source: Source) -> str:
    model_dir.mkdir(exist_ok=True)
    data_record.write(str(model_dir), source)
    return str(model_dir)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    add(tmp_path / "photos", {"cat": range(20), "dog": range(20)})
    return tmp_path / "photos"


def listed(source: Source) -> dict[str, set[bytes]]:
    return {split: set(source.listing(split)) for split in ("train", "minival", "test")}


def test_added_images_are_refused_with_the_difference(photos: Path, tmp_path: Path) -> None:
    before = folder_source(str(photos))
    run = begin(tmp_path / "run", before)
    assert data_record.check(run, before, accept=False) == {}
    add(photos, {"cat": range(20, 26), "dog": range(20, 26)})
    now = folder_source(str(photos))
    sizes = [f"{before.num_examples[s]} -> {now.num_examples[s]} images" for s in ("train", "test")]
    with pytest.raises(UsageError, match="has changed since the run in") as caught:
        data_record.check(run, now, accept=False)
    assert all(size in str(caught.value) for size in sizes)
    assert "--config.data.accept_changes=True" in str(caught.value).splitlines()[-1]
    changed = data_record.check(run, now, accept=True)
    assert changed["train"] == f"train: {sizes[0]}"
    for split, listing in listed(before).items():
        assert listing <= listed(now)[split]  # each image where it was


def test_images_that_would_change_sides_are_counted(photos: Path, tmp_path: Path) -> None:
    before = folder_source(str(photos), test=6, split_seed=0)
    run = begin(tmp_path / "run", before)
    now = folder_source(str(photos), test=6, split_seed=1)
    moved = len(listed(before)["test"] & listed(now)["train"])
    assert moved
    changed = data_record.check(run, now, accept=True)
    assert changed["test"] == (
        f"test: 6 images as before, but other ones; {moved} of before would now be trained on"
    )


def test_a_relabelled_image_is_a_change(tmp_path: Path) -> None:
    add(tmp_path, {"x": range(9)})
    lines = [f"x/img_{number}.jpg,{'cat' if number < 4 else 'dog'}" for number in range(9)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    run = begin(tmp_path / "run", csv_source(str(tmp_path / "t.csv")))
    (tmp_path / "t.csv").write_text(
        "\n".join([*lines[:4], lines[4].replace("dog", "cat"), *lines[5:]])
    )
    with pytest.raises(UsageError, match="images as before, but other ones"):
        data_record.check(run, csv_source(str(tmp_path / "t.csv")), accept=False)


def test_a_data_set_that_moved_is_the_same(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = "\n".join(f"cat/img_{n}.jpg,{n % 2}" for n in range(20))
    (photos / "t.csv").write_text(table)
    folder = begin(tmp_path / "folder", folder_source(str(photos)))
    listing = begin(tmp_path / "csv", csv_source(str(photos / "t.csv")))
    shutil.move(photos, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert data_record.check(folder, folder_source("elsewhere"), accept=False) == {}
    assert data_record.check(listing, csv_source("elsewhere/t.csv"), accept=False) == {}
    monkeypatch.chdir("elsewhere")
    assert data_record.check(listing, csv_source("t.csv"), accept=False) == {}


@pytest.mark.parametrize(
    ("rename", "difference"),
    [
        ({"dog": "hound"}, 'missing: "dog"; new: "hound"'),
        ({"dog": "ant"}, 'missing: "dog"; new: "ant"'),
        ({"cat": "a", "dog": "b"}, 'missing: "cat", "dog"; new: "a", "b"'),
        ({"": "emu"}, 'has 2 classes and the data set 3, .*new: "emu"'),
    ],
)
def test_other_classes_are_refused_whatever_is_accepted(
    photos: Path, tmp_path: Path, rename: dict[str, str], difference: str
) -> None:
    run = begin(tmp_path / "run", folder_source(str(photos)))
    for old, new in rename.items():
        if old:
            (photos / old).rename(photos / new)
        else:
            add(photos, {new: range(5)})
    for accept in (False, True):
        with pytest.raises(UsageError, match=difference):
            data_record.check(run, folder_source(str(photos)), accept=accept)


def test_classes_without_names_are_counted(tmp_path: Path) -> None:
    def arrays(classes: int) -> Source:
        split = (np.zeros([classes, 2, 2, 3], np.uint8), np.arange(classes))
        splits = dict.fromkeys(("train", "minival", "test"), split)
        return array_source("made", splits, num_classes=classes)

    run = begin(tmp_path / "run", arrays(3))
    assert data_record.check(run, arrays(3), accept=False) == {}
    with pytest.raises(UsageError, match="has 3 classes and the data set 4"):
        data_record.check(run, arrays(4), accept=True)


def test_records_are_known_by_files_counts_and_choice(tmp_path: Path) -> None:
    def records(folder: str, counts: list[int], kept: list[int] | None = None) -> Source:
        paths = [f"{folder}/train-{i}" for i in range(len(counts))]
        chosen = None if kept is None else np.isin(np.arange(sum(counts)), kept)
        files = RecordFiles(paths, np.array(counts), chosen)
        sizes = {"train": int(files.kept_counts().sum()), "minival": 0, "test": 0}
        return RecordSource("r", 2, None, sizes, {"train": files}, lambda record: (record, record))

    run = begin(tmp_path / "run", records("/a", [3, 4], [0, 5]))
    assert data_record.check(run, records("gs://b/c", [3, 4], [0, 5]), accept=False) == {}
    for other in (records("/a", [3, 5], [0, 5]), records("/a", [3, 4], [1, 5]), records("/a", [7])):
        assert list(data_record.check(run, other, accept=True)) == ["train"]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"splits": {}}', "\x00", '{"splits": {"train": 1}}']
)
def test_a_damaged_record_is_named(photos: Path, tmp_path: Path, content: str) -> None:
    source = folder_source(str(photos))
    run = begin(tmp_path / "run", source)
    (tmp_path / "run" / "data.json").write_text(content)
    with pytest.raises(UsageError, match="data.json"):
        data_record.check(run, source, accept=False)


def test_an_older_run_has_no_record(photos: Path, tmp_path: Path) -> None:
    assert data_record.check(str(tmp_path / "none"), folder_source(str(photos)), accept=False) == {}
