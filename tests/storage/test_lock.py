"""One process holds a file, until it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from efficientnet_tf.storage.lock import lock

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
