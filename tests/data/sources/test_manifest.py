"""manifest.json: what is refused when it is read, and which damage to the files it finds."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.manifest import FileEntry, Manifest
from efficientnet_tf.errors import RunError

RECORDS = [b"first", b"second record", b"3"]
OTHER = "validation-00000-of-00001"


@pytest.fixture
def written(tmp_path: Path) -> Manifest:
    """Two files with records and their manifest, in tmp_path."""
    files = {}
    for split, name in (("train", "train-00000-of-00001"), ("test", OTHER)):
        path = tmp_path / name
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in RECORDS:
                writer.write(record)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files[split] = (FileEntry(name, len(RECORDS), path.stat().st_size, digest),)
    made = Manifest("pets", 2, ("cat", "dög"), 1, files, origin={"seed": 3})
    manifest.write(made, str(tmp_path))
    return made


def test_is_read_as_it_was_written(written: Manifest, tmp_path: Path) -> None:
    assert manifest.read(str(tmp_path)) == written
    assert written.num_examples == {"train": 3, "test": 3}
    unnamed = dataclasses.replace(written, class_names=None, origin=None)
    manifest.write(unnamed, str(tmp_path))
    assert manifest.read(str(tmp_path)) == unnamed
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json",
        "train-00000-of-00001",
        OTHER,
    ]


def test_no_manifest(tmp_path: Path) -> None:
    assert manifest.read(str(tmp_path)) is None


def test_a_bucket_is_a_folder(written: Manifest, tmp_path: Path) -> None:
    bucket = "ram://manifest"  # TensorFlow's file system in memory, reached like gs://
    tf.io.gfile.makedirs(bucket)
    for path in tmp_path.iterdir():
        tf.io.gfile.copy(str(path), f"{bucket}/{path.name}", overwrite=True)
    assert manifest.read(bucket) == written
    manifest.verify(written, bucket, checksums=True)
    tf.io.gfile.remove(f"{bucket}/{OTHER}")
    with pytest.raises(RunError, match="there is no such file"):
        manifest.verify(written, bucket)
    manifest.write(dataclasses.replace(written, name="other"), bucket)
    stored = manifest.read(bucket)
    assert stored is not None
    assert stored.name == "other"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 2, r'"version" must be 1, which this program reads, found 2'),
        ("version", None, r'"version" must be 1, .* found nothing'),
        ("name", None, r'"name" must be a text, found nothing'),
        ("num_classes", "2", r'"num_classes" must be a whole number of at least 1, found \'2\''),
        ("num_classes", 0, r'"num_classes" must be a whole number of at least 1, found 0'),
        ("num_classes", True, r'"num_classes" must be a whole number'),
        ("class_names", "cat", r'"class_names" must be null or a list of texts, found \'cat\''),
        ("class_names", ["cat", 1], r'"class_names" must be null or a list of texts'),
        ("class_names", ["cat"], r'"class_names" must be one per class \(2\), found 1'),
        ("label_offset", 0.5, r'"label_offset" must be a whole number'),
        ("files", [], r'"files" must be an object, found \[\]'),
        ("files", {"eval": []}, r"a split must be one of train, minival, test, found 'eval'"),
        ("files", {"train": 7}, r'"train" must be a list of files, found 7'),
        ("files", {"train": ["x"]}, r"a file must be an object, found 'x'"),
        ("origin", "me", r'"origin" must be null or an object'),
    ],
)
def test_wrong_fields_are_named(
    written: Manifest, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = tmp_path / manifest.MANIFEST
    content = {**json.loads(path.read_text()), key: value}
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"{path} is not a valid manifest: {message}.*--manifest_o"):
        manifest.read(str(tmp_path))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "../../etc/passwd", r'"name" of a file must be a name'),
        ("name", "/etc/passwd", r'"name" of a file must be a name'),
        ("name", "..", r'"name" of a file must be a name'),
        ("name", OTHER, "every file must be listed once"),
        ("examples", -1, r'"examples" must be a whole number of at least 0, found -1'),
        ("bytes", None, r'"bytes" must be a whole number of at least 0, found nothing'),
        ("sha256", "12", r'"sha256" of train-00000-of-00001 must be 64 hexadecimal digits'),
    ],
)
def test_wrong_entries_are_named(
    written: Manifest, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = tmp_path / manifest.MANIFEST
    content = json.loads(path.read_text())
    content["files"]["train"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=message):
        manifest.read(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object(tmp_path: Path, data: bytes) -> None:
    (tmp_path / manifest.MANIFEST).write_bytes(data)
    with pytest.raises(RunError, match=r"manifest\.json is not a valid manifest: "):
        manifest.read(str(tmp_path))


def test_whole_files_pass(written: Manifest, tmp_path: Path, capfd: Any) -> None:
    manifest.verify(written, str(tmp_path))
    assert capfd.readouterr().err == ""
    manifest.verify(written, str(tmp_path), checksums=True)
    assert "checksums: " in capfd.readouterr().err


def test_missing_and_cut_files_are_named(written: Manifest, tmp_path: Path) -> None:
    (tmp_path / "train-00000-of-00001").unlink()
    path = tmp_path / OTHER
    whole = path.read_bytes()
    cut = whole[: -16 - len(RECORDS[-1])]  # at a record's end: TensorFlow reads it without a word
    path.write_bytes(cut)
    assert len(list(tf.data.TFRecordDataset(str(path)))) == 2
    with pytest.raises(RunError) as caught:
        manifest.verify(written, str(tmp_path))
    message = str(caught.value)
    assert f"{tmp_path}: 2 of 2 files are not as manifest.json says" in message
    assert f"train-00000-of-00001: {len(whole)} bytes expected, there is no such file" in message
    assert f"{OTHER}: {len(whole)} bytes expected, found {len(cut)}" in message
    assert "Copy them again" in message
    assert "--manifest_only" in message


def test_only_the_first_wrong_files_are_listed(written: Manifest, tmp_path: Path) -> None:
    missing = tuple(FileEntry(f"train-{i:05d}-of-00020", 1, 9, "") for i in range(20))
    many = dataclasses.replace(written, files={"train": missing})
    expected = r"(?s)20 of 20 files .*train-00007-of-00020.*\n  and 12 more"
    with pytest.raises(RunError, match=expected):
        manifest.verify(many, str(tmp_path))


def test_a_changed_byte_is_found_by_checksums_only(written: Manifest, tmp_path: Path) -> None:
    path = tmp_path / OTHER
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    manifest.verify(written, str(tmp_path))
    with pytest.raises(
        RunError, match=r"1 of 2 files .*\n  validation-.* the contents differ"
    ) as e:
        manifest.verify(written, str(tmp_path), checksums=True)
    assert "train-" not in str(e.value)


def test_checksums_that_were_not_computed(written: Manifest, tmp_path: Path) -> None:
    (entry,) = written.files["train"]
    files = {"train": (dataclasses.replace(entry, sha256=""),)}
    unknown = dataclasses.replace(written, files=files)
    manifest.verify(unknown, str(tmp_path))
    with pytest.raises(RunError, match=r"no checksums of 1 files, such as train-00000-of-00001"):
        manifest.verify(unknown, str(tmp_path), checksums=True)
