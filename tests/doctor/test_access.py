"""Folders of a run: written, read, left as they were, and refused in plain words."""

import threading
from pathlib import Path

import pytest
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.doctor import access
from efficientnet_tf.machine.findings import BAD, OK, ok
from efficientnet_tf.runs.checkpoint import claim_model_dir


def small(flip: bool = True) -> config_lib.ExperimentConfig:
    config = config_lib.ExperimentConfig()
    config.data.flip = flip
    return config_lib.finish(config)


def test_model_dir_is_written_and_left_as_it_was(tmp_path: Path) -> None:
    finding = access.check_writing(str(tmp_path / "a" / "b"), small())
    assert finding.status == OK
    assert "written, read back, removed" in finding.text
    assert "GB free" in finding.text
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").touch()
    assert access.check_writing(str(tmp_path), small()).status == OK
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_run_that_begins_meanwhile_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = tf.io.gfile.remove

    def and_another_writes(path: str) -> None:
        remove(path)
        (tmp_path / "runs" / "theirs").touch()

    monkeypatch.setattr(tf.io.gfile, "remove", and_another_writes)
    assert access.check_writing(str(tmp_path / "runs" / "mine"), small()).status == OK
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["theirs"]


def test_a_model_dir_that_cannot_be_written_is_bad(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = access.check_writing(str(tmp_path / "file" / "run"), small())
    assert finding.status == BAD
    assert "--model_dir" in finding.remedies[0]


def test_a_model_dir_of_another_run_is_bad(tmp_path: Path) -> None:
    claim_model_dir(str(tmp_path), small())
    assert access.check_writing(str(tmp_path), small()).status == OK
    finding = access.check_writing(str(tmp_path), small(flip=False))
    assert finding.status == BAD
    assert "another configuration" in finding.text


def test_too_little_space_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    finding = access.check_writing(str(tmp_path), small())
    assert finding.status == BAD
    assert "keep_checkpoints" in finding.remedies[0]


def test_data_dir_is_listed_and_read(tmp_path: Path) -> None:
    assert access.check_reading(str(tmp_path)).status == BAD
    (tmp_path / "train-00000-of-00001").write_bytes(b"x" * 10)
    assert access.check_reading(str(tmp_path)) == ok("data_dir", f"{tmp_path}: 1 entries, read")
    missing = access.check_reading(str(tmp_path / "missing"))
    assert missing.status == BAD
    assert missing.remedies


def test_a_place_that_does_not_answer_is_bad_and_holds_nothing_up() -> None:
    forever = threading.Event()
    finding = access.within(0.05, "data_dir", lambda: ok("data_dir", str(forever.wait())))
    forever.set()
    assert finding.status == BAD
    assert finding.text == "no answer in 0 s"
    assert "gcloud" in finding.remedies[0]


def test_an_error_in_a_check_is_not_taken_for_silence() -> None:
    with pytest.raises(ZeroDivisionError):
        access.within(5, "data_dir", lambda: ok("data_dir", str(1 / 0)))
