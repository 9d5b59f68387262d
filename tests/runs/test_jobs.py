"""A job: its output, what became of it, and that it does not outlive who started it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from efficientnet_tf.errors import RunError, Stopped, UsageError
from efficientnet_tf.runs import jobs

ROOT = Path(__file__).parents[2]
SAVES = """
import signal, sys, time
def save(*_):
    print("saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, save)
print("begun", flush=True)
time.sleep(100)
"""
IGNORES = SAVES.replace("sys.exit(130)", "time.sleep(100)")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of jobs in `job.py`, which Python finds beside it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "log.txt").write_text("error: of an earlier job\n")
    return tmp_path / "log.txt"


def run(log: Path, code: str, *arguments: str) -> None:
    (log.parent / "job.py").write_text(code)
    with open(log, "ab") as file:
        jobs.run("it", "job", arguments, file)


def test_a_job_has_its_arguments_its_name_and_a_log(log: Path) -> None:
    run(log, "import sys; print(__name__, sys.argv[1:]); print('two', file=sys.stderr)", "a", "-b")
    assert log.read_text() == "error: of an earlier job\n__main__ ['a', '-b']\ntwo\n"


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("import sys; sys.exit('last')", RunError, "ended with exit code 1: last"),
        ("import sys; sys.exit(2)", RunError, "ended with exit code 2: no output"),
        ("import sys; sys.exit('error: a\\nb')", RunError, "a\nb"),
        ("print('error: a\\nb'); exit(2)", UsageError, "a\nb"),
        ("import os; os.kill(os.getpid(), 11)", RunError, "killed by SIGSEGV: no output"),
        ("exit(130)", Stopped, "it was stopped; the same command goes on from there"),
        (
            "import os; os.kill(os.getpid(), 15)",
            Stopped,
            "it was stopped; the same command goes on from there",
        ),
    ],
)
def test_what_became_of_a_job(log: Path, code: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        run(log, code)
    assert type(caught.value) is error
    assert str(caught.value) == said


@pytest.mark.parametrize(("code", "end"), [(SAVES, 130), (IGNORES, -signal.SIGKILL)])
def test_an_exception_ends_the_job_which_may_save(
    log: Path, monkeypatch: pytest.MonkeyPatch, code: str, end: int
) -> None:
    started: list[subprocess.Popen] = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            if not started:
                started.append(self)
                while "begun" not in log.read_text():
                    assert self.poll() is None
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(jobs.subprocess, "Popen", Interrupted)
    monkeypatch.setattr(jobs, "_SECONDS_TO_SAVE", 2.0)
    with pytest.raises(KeyboardInterrupt):
        run(log, code)
    assert started[0].returncode == end
    assert log.read_text().endswith("begun\nsaved\n")


def test_a_job_saves_and_ends_when_who_started_it_is_gone(log: Path) -> None:
    (log.parent / "job.py").write_text(SAVES)
    with subprocess.Popen(
        [sys.executable, "-m", "efficientnet_tf.runs.jobs", "job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        assert job.stdout.readline() == "begun\n"
        job.stdin.close()  # as the system does when the other process is killed
        assert job.stdout.read() == "saved\n"
    assert job.returncode == 130
