"""Files written side by side: whole or not at all, and with bounded memory."""

import hashlib
import threading
from pathlib import Path

import pytest
import tensorflow as tf

from efficientnet_tf.data.prepare import shard_writer
from efficientnet_tf.data.prepare.shard_writer import ShardWriters, write_shard
from efficientnet_tf.data.sources.manifest import FileEntry
from efficientnet_tf.errors import RunError


def test_what_is_written(tmp_path: Path) -> None:
    records = [b"first", b"", b"third"]
    entry = write_shard(str(tmp_path), "file", records)
    data = (tmp_path / "file").read_bytes()
    assert entry == FileEntry("file", 3, len(data), hashlib.sha256(data).hexdigest())
    assert list(tf.data.TFRecordDataset(str(tmp_path / "file")).as_numpy_iterator()) == records
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_renamed_or_is_short(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise tf.errors.PermissionDeniedError(None, None, "not yours")

    with monkeypatch.context() as patch:
        patch.setattr(tf.io.gfile, "rename", fail)
        with pytest.raises(RunError, match="train-00000-of-00002 could not be written: not yours"):
            shard_writer.write_shard(str(tmp_path), "train-00000-of-00002", [b"record"])
    with monkeypatch.context() as patch:
        patch.setattr(shard_writer, "_FRAME", 17)
        with pytest.raises(RunError, match="22 of 23 bytes arrived"):
            shard_writer.write_shard(str(tmp_path), "train-00000-of-00002", [b"record"])
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded(tmp_path: Path, monkeypatch) -> None:
    waiting = []
    monkeypatch.setattr(shard_writer, "MAX_WAITING", 3_000)
    with shard_writer.ShardWriters(str(tmp_path), 2, lambda entry: None) as writers:
        for name in ("a", "b", "c"):
            writers.begin(name)
            for _ in range(200):
                writers.add(bytes(1_000))
                waiting.append(writers._waiting)
            writers.end()
    assert max(waiting) <= 4_000
    assert {path.stat().st_size for path in tmp_path.iterdir()} == {200 * 1_016}


def test_records_belong_to_a_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no file was begun"),
        shard_writer.ShardWriters(str(tmp_path), 1, lambda entry: None) as writers,
    ):
        writers.add(b"record")


def test_files_are_written_at_the_same_time(tmp_path: Path, monkeypatch) -> None:
    both = threading.Barrier(2, timeout=20)  # passed by two threads only

    def write(output_dir: str, name: str, records: object) -> FileEntry:
        both.wait()
        return FileEntry(name, 0, 0, "")

    monkeypatch.setattr(shard_writer, "write_shard", write)
    finished: list[FileEntry] = []
    with ShardWriters(str(tmp_path), 2, finished.append) as writers:
        for name in ("a", "b"):
            writers.begin(name)
            writers.end()
    assert sorted(entry.name for entry in finished) == ["a", "b"]


def test_a_failure_ends_the_next_call_and_keeps_what_is_complete(tmp_path: Path) -> None:
    finished: list[FileEntry] = []

    def finish(entry: FileEntry) -> None:
        if entry.name == "b":
            raise RunError("the journal cannot be written")
        finished.append(entry)

    def write_four() -> None:
        with ShardWriters(str(tmp_path), 1, finish) as writers:
            for name in "abcd":
                writers.begin(name)
                writers.add(b"record")
                writers.end()

    with pytest.raises(RunError, match="the journal cannot be written"):
        write_four()
    assert [entry.name for entry in finished] == ["a"]
    assert not list(tmp_path.glob("partial.*"))
