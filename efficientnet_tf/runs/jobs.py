"""A job: a module of this package in a process of its own, with a log, and what became of it.

`python -m efficientnet_tf.runs.jobs MODULE ARGUMENT...` is that process. Its standard input is a
pipe from the process that started it: when that is gone, however it ended, so is the job.
"""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from efficientnet_tf.errors import RunError, Stopped, UsageError
from efficientnet_tf.terminal.exit_codes import INTERRUPTED, WRONG_USE
from efficientnet_tf.training.loop import ENDING

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS_TO_SAVE = 60.0  # that a job has when it is told to end
_STOPPED = (INTERRUPTED, *(-number for number in ENDING))


def run(name: str, module: str, arguments: Sequence[str], log: IO[bytes]) -> None:
    """Starts a job and waits for its end. An exception here, such as Ctrl-C, ends it, too.

    Args:
        name: of the job, for the message.
        module: what `python -m` would run.
        log: a file opened to append; gets all output.

    Raises:
        Stopped: a signal ended the job.
        UsageError: the job refused its arguments; what it said.
        RunError: the job failed; what it said, or how it ended and its last line.
    """
    # The package may not be installed, and this process may have been started from anywhere.
    paths = filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])
    before = os.fstat(log.fileno()).st_size
    with subprocess.Popen(
        [sys.executable, "-m", "efficientnet_tf.runs.jobs", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C comes to this process, which ends the job
    ) as child:
        try:
            code = child.wait()
        except BaseException:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_SECONDS_TO_SAVE)
            raise
        finally:
            child.kill()
    if code in _STOPPED:
        raise Stopped(f"{name} was stopped; the same command goes on from there")
    if code:
        lines = Path(log.name).read_bytes()[before:].decode("utf-8", "replace").strip().splitlines()
        errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        if errors:
            text = "\n".join(lines[errors[-1] :]).removeprefix("error: ")
            raise UsageError(text) if code == WRONG_USE else RunError(text)
        raise RunError(f"{_cause(code)}: {lines[-1] if lines else 'no output'}")


def _cause(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name} (out of memory?)" if name == "SIGKILL" else f"killed by {name}"
    return f"ended with exit code {code}"


def _end_with_the_parent() -> None:
    """Ends this process when standard input closes. os.read: no lock is held at the exit."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SECONDS_TO_SAVE)
        os._exit(INTERRUPTED)  # files appear by rename, so the last checkpoint stays whole

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _end_with_the_parent()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
