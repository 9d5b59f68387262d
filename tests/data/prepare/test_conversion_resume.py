"""What an interrupted conversion left is gone on from, to the files of an uninterrupted one."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from listed_source import SHARDS, Listed, contents, listed

from efficientnet_tf.data.prepare import journal
from efficientnet_tf.data.prepare.conversion import prepare
from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.errors import RunError

ROOT = Path(__file__).parents[3]


class Failing:
    """In the place of tf.io.TFRecordWriter: fails at the 20th record of the file of this name."""

    def __init__(self, name: str, error: BaseException) -> None:
        self._name, self._error, self._writer = name, error, tf.io.TFRecordWriter

    @contextlib.contextmanager
    def __call__(self, path: str) -> Iterator[Any]:
        records = itertools.count(1)

        def write(record: bytes) -> None:
            if path.endswith(self._name) and next(records) == 20:
                raise self._error
            writer.write(record)

        with self._writer(path) as writer:
            yield SimpleNamespace(write=write)


FULL = tf.errors.ResourceExhaustedError(None, None, "No space left on device")


@pytest.mark.parametrize("name", ["train-00004-of-00007", "validation-00001-of-00003"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_full_disk(
    digits: Source, reference: Path, tmp_path: Path, monkeypatch: Any, name: str, threads: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", Failing(name, FULL))
        expected = rf"{tmp_path}/{name} could not be written: No space left .*finished files are k"
        with pytest.raises(RunError, match=expected):
            prepare(digits, str(tmp_path), shards=SHARDS, threads=threads)
    names = sorted(contents(tmp_path))
    assert names[0] == journal.JOURNAL
    assert not [path for path in names if path.startswith("partial.") or path == name]
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-of-*")}
    assert len(kept) >= 4  # those before it, and maybe those beside it
    said: list[str] = []
    prepare(digits, str(tmp_path), shards=SHARDS, threads=threads, say=said.append)
    assert said[0] == f"{len(kept)} of 12 files are finished in {tmp_path}, going on."
    assert contents(tmp_path) == contents(reference)
    for path, written in kept.items():
        assert (tmp_path / path).stat().st_mtime_ns == written


def test_an_interrupted_run_goes_on(
    digits: Source, reference: Path, tmp_path: Path, monkeypatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", Failing("train-00003-of-00007", KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            prepare(digits, str(tmp_path), shards=SHARDS)
    assert not list(tmp_path.glob("partial.*"))
    # The journal may end in the middle of a line, and a listed file may have lost its end.
    with (tmp_path / journal.JOURNAL).open("a") as file:
        file.write('{"name": "train-00003-of-')
    (tmp_path / "train-00001-of-00007").write_bytes(b"")
    prepare(digits, str(tmp_path), shards=SHARDS)
    assert contents(tmp_path) == contents(reference)


def test_resuming_reads_from_the_first_missing_file(tmp_path: Path, monkeypatch) -> None:
    starts = []
    source = listed()

    class Watched(Listed):
        def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
            starts.append(how.start)
            return super().examples(split, how)

    watched = Watched(**vars(source))
    prepare(watched, str(tmp_path), shards={"train": 10})
    whole = contents(tmp_path)
    for name in ("train-00004-of-00010", "train-00007-of-00010"):
        (tmp_path / name).unlink()  # also a finished set is repaired
    prepare(watched, str(tmp_path), shards={"train": 10})
    assert starts == [0, 20]
    assert contents(tmp_path) == whole


KILLED = """
import sys, time
from efficientnet_tf.data.prepare import conversion as prepare
from efficientnet_tf.data.sources.in_memory import digits_source
serialise = prepare.serialise
def slowly(*arguments):
    time.sleep(0.002)
    return serialise(*arguments)
prepare.serialise = slowly
prepare.prepare(digits_source(), sys.argv[1], shards={"train": 7, "minival": 2, "test": 3})
"""


def test_a_killed_run_goes_on(digits: Source, reference: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    partial = tmp_path / "partial.train-00003-of-00007"
    while not partial.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    if process.stderr:
        process.stderr.close()
    found = contents(tmp_path)
    assert "partial.train-00003-of-00007" in found  # it was in the middle of a file
    assert manifest.MANIFEST not in found
    prepare(digits, str(tmp_path), shards=SHARDS)
    assert contents(tmp_path) == contents(reference)


def test_a_complete_folder_is_left_alone(digits: Source, reference: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in reference.iterdir()}
    said: list[str] = []
    made = prepare(digits, str(reference), shards=SHARDS, say=said.append)
    assert said[0] == f"{reference} is complete: nothing to write."
    assert made == manifest.read(str(reference))
    assert {path: path.stat().st_mtime_ns for path in reference.iterdir()} == before
