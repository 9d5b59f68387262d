"""One process holds a file, until it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.lock import NAME, alone, held, lock

ROOT = Path(__file__).parents[2]
HOLD = "import sys; from efficientnet_tf.storage.lock import lock; print(lock(open(sys.argv[1])))"


def other(path: Path) -> str:
    """What another process hears when it asks for the lock."""
    command = [sys.executable, "-c", HOLD, str(path)]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_a_lock_ends_with_its_file(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")  # Windows
    path = tmp_path / "log.txt"
    with open(path, "ab") as file:
        assert lock(file)
        assert other(path) == "False\n"
    assert other(path) == "True\n"


def test_a_folder_is_held_by_one_until_it_ends(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")  # Windows
    folder = str(tmp_path / "run")
    script = "import sys\nfrom efficientnet_tf.storage.lock import held\n"
    script += f"with held({folder!r}): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(UsageError, match=rf"trains in .*process {process.pid} on .*\nWait for"),
            held(folder),
        ):
            pass
        process.kill()  # by which the lock ends
    with held(folder), pytest.raises(UsageError, match="another process"), held(folder):
        pass


def test_a_folder_in_which_nothing_was_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    with held(str(folder)):
        assert (folder / NAME).exists()
    assert not folder.exists()
    with held(str(folder)):
        (folder / "config.json").touch()
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", NAME]
    (tmp_path / "file").touch()
    wrong = "file/run. cannot be written: Not a dir.*\nGive a folder"
    with pytest.raises(UsageError, match=wrong), held(str(tmp_path / "file" / "run")):
        pass
    with held("gs://bucket/run"):
        pass


def test_a_folder_is_held_without_a_file_in_it(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")  # Windows
    folder = str(tmp_path)
    with alone("--output_dir", folder):
        with (
            pytest.raises(UsageError, match="--output_dir: another process is at work in") as error,
            alone("--output_dir", folder),
        ):
            pass
        assert folder in str(error.value)
    with alone("--output_dir", folder):
        assert list(tmp_path.iterdir()) == []
