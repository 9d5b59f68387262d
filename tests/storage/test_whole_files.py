"""Files here and in a bucket, for which TensorFlow's file system in memory (ram://) stands."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage import files

PLACES = ("here", "bucket")


@pytest.fixture(params=PLACES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "here":
        return str(tmp_path)
    bucket = f"ram://storage/{tmp_path.name}"
    tf.io.gfile.makedirs(bucket)
    return bucket


def test_what_is_written_is_read(folder: str) -> None:
    path = f"{folder}/a.json"
    for content in ({"old": [1, 2.5]}, {"new": "\u00fc"}):
        files.write_json(path, content)
        assert files.read_json(path) == content
    with pytest.raises(TypeError):
        files.write_json(path, {"new": object()})
    assert files.read_json(path) == content
    files.write_text(path, "\u00fc\n")
    assert files.read_bytes(path) == b"\xc3\xbc\n"
    assert tf.io.gfile.listdir(folder) == ["a.json"]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write() -> None:
        with files.replacing(str(path)) as temporary:
            assert temporary.endswith(".csv")
            assert os.path.basename(temporary).startswith(".")
            Path(temporary).write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_a_file_that_cannot_take_its_place(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise tf.errors.UnknownError(None, None, "killed") if "://" in folder else OSError("killed")

    path = f"{folder}/x"
    files.write_bytes(path, b"old")
    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(tf.io.gfile, "rename", fail)
    with pytest.raises(files.CannotWrite, match='/x" cannot be written: killed\\.'):
        files.write_bytes(path, b"new")
    assert files.read_bytes(path) == b"old"


def test_a_file_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_bytes("x", b"1")
    assert Path("x").read_bytes() == b"1"


def test_the_permissions_are_the_users(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    files.write_bytes(str(tmp_path / "ours"), b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_is_not_there(folder: str) -> None:
    path = f"{folder}/none"
    with pytest.raises(UsageError, match=r'none" cannot be read: .*(No such file|NotFound)'):
        files.read_bytes(path)
    with pytest.raises(OSError, match="No such file|NotFound") as caught:
        files.read_json(path)
    assert caught.value.strerror, "callers show it"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write, content in ((files.write_bytes, b""), (files.append_text, "")):
        with pytest.raises(
            files.CannotWrite, match='/x" cannot be written: Not a directory'
        ) as caught:
            write(str(tmp_path / "file" / "x"), content)
        assert (caught.value.strerror, str(caught.value).count("\n")) == ("Not a directory", 1)
    for path, reason in (
        (tmp_path, "it is a folder; give the name of a file"),
        (tmp_path / "file" / "x", "Not a directory"),
        (tmp_path / "none" / "x", "No such file or directory"),
    ):
        with pytest.raises(UsageError) as caught:
            files.check_writable("--output", str(path))
        assert str(caught.value) == f'--output: "{path}" cannot be written: {reason}.'
    files.check_writable("--output", str(tmp_path / "none" / "x"), make_folder=True)
    files.check_writable("--output", str(tmp_path / "file"))
    assert os.listdir(tmp_path / "none") == [], "the trial leaves nothing behind"
    assert sorted(os.listdir(tmp_path)) == ["file", "none"]


def test_entries(folder: str) -> None:
    for name in ("b/x.txt", "a.jpg", "plain"):
        tf.io.gfile.makedirs(os.path.dirname(f"{folder}/{name}"))
        files.write_bytes(f"{folder}/{name}", b"")
    folders, found = files.entries(folder, lambda name: name.endswith(".jpg"))
    assert (folders, sorted(found)) == (["b"], ["a.jpg", "plain"])
    with pytest.raises(OSError, match="No such file|Could not find"):
        files.entries(f"{folder}/none", str.isspace)


def test_files_of_this_machine_need_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys; from efficientnet_tf.storage import files, lock, paths; "
        "files.write_json(sys.argv[1], [1]); assert files.read_json(sys.argv[1]) == [1]; "
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], cwd=root, check=True)


def test_only_regular_files_of_bounded_size_are_opened(tmp_path: Path) -> None:
    pipe, endless, large = (str(tmp_path / name) for name in ("pipe", "endless", "large"))
    os.mkfifo(pipe)  # opening it would wait for ever
    os.symlink("/dev/zero", endless)
    Path(large).write_bytes(bytes(101))
    for path, reason in {
        pipe: "it is a named pipe, not a regular file",
        endless: "it is a device, not a regular file",
        large: "it has 101 bytes, more than the 100 that are read",
        str(tmp_path): "Is a directory",
        f"{tmp_path}/none": "No such file or directory",
    }.items():
        with pytest.raises(UsageError) as caught:
            files.read_bytes(path, at_most=100)
        assert str(caught.value) == f'"{path}" cannot be read: {reason}.'
    assert files.read_bytes(large, at_most=101) == bytes(101)


def test_whether_there_is_a_folder(folder: str) -> None:
    assert files.is_folder(folder)
    files.write_text(f"{folder}/file", "x")
    assert not files.is_folder(f"{folder}/file")
    assert not files.is_folder(f"{folder}/none")
