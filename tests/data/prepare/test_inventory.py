"""The manifest of files that other programs wrote."""

from pathlib import Path

import pytest

from efficientnet_tf.data.prepare.conversion import prepare
from efficientnet_tf.data.prepare.inventory import read_class_names, write_manifest
from efficientnet_tf.data.prepare.journal import JOURNAL
from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.errors import RunError, UsageError


def test_equals_the_manifest_of_the_writer(tmp_path: Path) -> None:
    source = digits_source()
    written = prepare(source, str(tmp_path), shards={"train": 3, "minival": 1, "test": 2})
    (tmp_path / manifest.MANIFEST).unlink()
    names = source.class_names
    made = write_manifest(str(tmp_path), num_classes=10, class_names=names, name="digits")
    assert made == manifest.read(str(tmp_path))
    assert made.files == written.files
    assert made.origin is None
    assert (made.name, made.num_classes, made.class_names) == ("digits", 10, names)
    manifest.verify(made, str(tmp_path), checksums=True)


def test_official_files(make_imagenet) -> None:
    folder = make_imagenet([3, 4], [5])
    made = write_manifest(str(folder), num_classes=20, label_offset=0, checksums=False)
    assert made.num_examples == {"train": 7, "test": 5}
    assert [entry.examples for entry in made.files["train"]] == [3, 4]
    assert {entry.sha256 for entries in made.files.values() for entry in entries} == {""}
    assert (made.name, made.label_offset, made.class_names) == (folder.name, 0, None)
    manifest.verify(made, str(folder))
    replaced = write_manifest(str(folder), num_classes=20)  # a manifest in the way is renewed
    assert all(entry.sha256 for entries in replaced.files.values() for entry in entries)


def test_what_is_refused(make_imagenet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'a manifest is written; ".*nowhere" is not a folder'):
        write_manifest(str(tmp_path / "nowhere"), num_classes=3)
    with pytest.raises(UsageError, match="holds no train-NNNNN-of-MMMMM files"):
        write_manifest(str(tmp_path), num_classes=3)
    folder = make_imagenet([1, 1, 1], [1])
    with pytest.raises(
        UsageError, match="num_classes must be a whole number of at least 1, received 0"
    ):
        write_manifest(str(folder), num_classes=0)
    with pytest.raises(UsageError, match=r"class_names must be one per class \(3\), received 2"):
        write_manifest(str(folder), num_classes=3, class_names=["cat", "dog"])
    (folder / "train-00001-of-00003").unlink()
    with pytest.raises(UsageError, match="lacks 1 of 3 train files, such as train-00001-of-00003"):
        write_manifest(str(folder), num_classes=3)
    (folder / "train-00000-of-00007").touch()
    with pytest.raises(UsageError, match="found sets of 3 and of 7"):
        write_manifest(str(folder), num_classes=3)
    (folder / JOURNAL).touch()
    with pytest.raises(UsageError, match="holds the files of a run that is not finished"):
        write_manifest(str(folder), num_classes=3)
    assert not (folder / manifest.MANIFEST).exists()


def test_a_cut_file_is_refused(make_imagenet) -> None:
    folder = make_imagenet([2], [1])
    path = folder / "train-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RunError, match="train-00000-of-00001, record 1 .* cut off"):
        write_manifest(str(folder), num_classes=3)
    assert not (folder / manifest.MANIFEST).exists()


def test_class_names(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("cat\ndög\n")
    assert read_class_names(str(path)) == ["cat", "dög"]
    path.write_bytes(b"d\xf6g")
    for wrong in (path, tmp_path / "nothing.txt"):
        with pytest.raises(UsageError, match="class_names must be a text file with one name per"):
            read_class_names(str(wrong))
