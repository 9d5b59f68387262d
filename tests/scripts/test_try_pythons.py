"""`make test-pythons`, as far as it needs no network: what it reads, finds and compares."""

import runpy
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "try_pythons.py"))


def test_the_line_tried_is_readmes_and_takes_a_current_pip_first() -> None:
    line = SCRIPT["install_line"]((ROOT / "README.md").read_text())
    assert line == "pip install --upgrade pip && pip install ."
    with pytest.raises(SCRIPT["Failed"], match="no line that begins with pip install"):
        SCRIPT["install_line"]("Nothing to install.\n")


def test_an_interpreter_is_found_by_its_version_or_not_at_all() -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert SCRIPT["find_python"](here) is not None
    assert SCRIPT["find_python"]("3.99") is None


def test_what_moved_is_what_was_there_and_changed() -> None:
    before = {"h5py": "3.16.0", "keras": "3.13.2", "rsa": "4.9.1"}
    assert SCRIPT["moved"](before, {**before, "tensorflow": "2.20.0"}) == []
    after = {"h5py": "3.14.0", "keras": "3.13.2"}
    assert SCRIPT["moved"](before, after) == ["h5py 3.16.0 -> 3.14.0", "rsa 4.9.1 -> gone"]


@pytest.mark.parametrize("image", ["cpu", "tpu"])
def test_the_copies_of_colabs_images_are_pinned_throughout(image: str) -> None:
    lines = (ROOT / "requirements" / "colab" / f"{image}.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["absl-py"] == "1.4.0"
    assert ("tensorflow" in pins) is (image == "cpu")


@pytest.fixture
def environment(tmp_path: Path) -> Any:
    """The runner of commands alone, without Python or packages."""
    made = object.__new__(SCRIPT["Environment"])
    made._variables, made._log, made.folder = {"PATH": "/usr/bin:/bin"}, tmp_path / "log", tmp_path
    return made


def test_a_command_fails_with_its_last_line_or_for_its_time(environment: Any) -> None:
    assert environment.run("echo right") == "right\n"
    with pytest.raises(SCRIPT["Failed"], match="exit code 3: .*no such thing"):
        environment.run("echo no such thing >&2; exit 3")
    late = environment.folder / "late"
    with pytest.raises(SCRIPT["Failed"], match="not done after 0 s: sleep 1"):
        environment.run(f"sleep 1; touch {late}", seconds=0.2)
    time.sleep(1.2)
    assert not late.exists()  # what the shell had started is gone, too
