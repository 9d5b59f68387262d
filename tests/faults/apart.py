"""Runs a command in a child of its own, and says how it ended: code, output, time and memory.

A child is forked from a process that has imported TensorFlow but has run nothing of it, so that it
is there at once, and a crash, a hang or a full memory takes nothing else with it.
"""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).parents[2]
SURVIVED, REFUSED, FAILED = "survived", "refused clearly", "failed"
MEMORY = 1300  # MB that a command on tiny inputs may take; 250 are there before it begins
_LIMIT = 6 * 2**30  # bytes of data, so that a failure does not take the machine with it
_UNCAUGHT = 99
patience = 600.0  # seconds that a command may take; `set_patience` says how it is found
_INTERNALS = re.compile(
    r"Traceback|[EF]0000 |\{\{(function_)?node |tensorflow/core/|tensorflow/python|\[Op:|"
    r"site-packages|<class '|object at 0x",
)
_CODES = {1, 2, 130}
_LISTED = ("  ", "unusable:", "broken:")  # lines of a list, of any length


def set_patience(seconds: float) -> None:
    """Takes the seconds of a whole training, the longest command, as a measure of the machine."""
    global patience
    patience = min(max(20.0, 5 * seconds), 90.0)


class Failed(Exception):
    """What a fault has done that it must not."""


class Ended(NamedTuple):
    """How a command ended; `signal` is 0 if it ended on its own."""

    code: int
    signal: int
    out: str
    err: str
    seconds: float
    memory: float  # MB at its largest
    hung: bool

    @property
    def message(self) -> str:
        """The refusal, from "error:" or "stopped" on; empty without one."""
        for text in (self.err, self.out):
            found = re.search(r"^(error:|stopped|unusable:|broken:)", text, re.M)
            if found:
                return text[found.start() :]
        return ""


def call(
    *argv: str,
    run: Callable[[], int | None] | None = None,
    cwd: str | Path | None = None,
    env: Mapping[str, str | None] | None = None,
    before: Callable[[], Any] | None = None,
    meanwhile: Callable[[int], Any] | None = None,
    timeout: float | None = None,
) -> Ended:
    """A command line of main.py in a forked child.

    Args:
        run: a function in the place of the command line.
        env: changes to the environment; None: the variable goes.
        before: is called in the child first, to set limits and the like.
        meanwhile: is called here with the id of the child, to kill it and the like.
        timeout: seconds after which it counts as hung; None: `patience`.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _become(argv, run, (out, err), cwd, env or {}, before)
        if meanwhile is not None:
            meanwhile(child)
        status, usage, hung = _wait(child, began + (timeout or patience))
        seconds = time.monotonic() - began
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    code = -number if number else os.WEXITSTATUS(status)
    return Ended(code, number, *texts, seconds, usage.ru_maxrss / 1024, hung)


def start(
    *argv: str,
    shell: str = "",
    env: Mapping[str, str | None] | None = None,
    cwd: str | Path | None = None,
    options: Sequence[str] = (),
) -> Ended:
    """The same in an interpreter of its own, for what is decided as Python starts.

    Args:
        shell: what follows the command in a shell, such as "| head -1".
        options: of Python.
    """
    whole = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    whole = {name: value for name, value in whole.items() if value is not None}
    # set -e and pipefail of a shell: the code is that of the command, not of who reads it.
    command = [
        shutil.which("bash") or "/bin/bash",
        "-c",
        f'"$@" {shell}; exit ${{PIPESTATUS[0]}}',
        "bash",
    ]
    command += [sys.executable, *options, str(ROOT / "main.py"), *argv]
    began = time.monotonic()
    with subprocess.Popen(
        command,
        env=whole,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            out, err = child.communicate(timeout=2 * patience)
            hung = False
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            hung = True
    texts = out.decode(errors="replace"), err.decode(errors="replace")
    number = max(-child.returncode, 0)
    return Ended(child.returncode, number, *texts, time.monotonic() - began, 0.0, hung)


def settled(ended: Ended, *names: str, fine: bool | None = None) -> str:
    """Whether a command has survived a fault or refused it clearly.

    Args:
        names: of which a refusal says one at least: the file, the folder or the flag.
        fine: True: it must end well; False: it must not.

    Raises:
        Failed: neither.
    """
    if ended.hung:
        raise Failed(f"hangs: no end after {ended.seconds:.0f} s")
    if ended.signal:
        raise Failed(f"ended by signal {ended.signal}: {ended.err[-300:]}")
    if ended.memory > MEMORY:
        raise Failed(f"takes {ended.memory:.0f} MB of memory")
    found = _INTERNALS.search(ended.err + ended.out)
    if found or ended.code == _UNCAUGHT:
        last = ended.err.strip().splitlines()[-1:] or [""]
        raise Failed(f"shows {found[0] if found else 'nothing'!r}: {last[0][:300]}")
    if ended.code == 0:
        if fine is False:
            raise Failed("was accepted")
        return SURVIVED
    if fine or ended.code not in _CODES:
        raise Failed(f"ends with code {ended.code}: {ended.message[:300] or ended.err[-300:]}")
    check_message(ended.message, *names)
    return REFUSED


def check_message(message: str, *names: str) -> None:
    """A refusal is one to three lines, lists under them aside, and names what is wrong."""
    if not message.strip():
        raise Failed("refuses without a message")
    lines = [line for line in message.strip().splitlines() if not line.startswith(_LISTED)]
    if len(lines) > 3:
        raise Failed(f"refuses in {len(lines)} lines: {message[:300]!r}")
    if names and not any(name in message for name in names):
        raise Failed(f"names none of {', '.join(names)}: {message[:300]!r}")
    if _INTERNALS.search(message):
        raise Failed(f"shows what is inside: {message[:300]!r}")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", message):
        raise Failed(f"sends control characters to the terminal: {message[:300]!r}")


def _become(
    argv: Sequence[str],
    run: Callable[[], int | None] | None,
    files: tuple[IO[bytes], IO[bytes]],
    cwd: str | Path | None,
    env: Mapping[str, str | None],
    before: Callable[[], Any] | None,
) -> None:
    """The life of the child."""
    code: int | None = _UNCAUGHT
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)
        resource.setrlimit(resource.RLIMIT_DATA, (_LIMIT, _LIMIT))
        for name, value in env.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if cwd is not None:
            os.chdir(cwd)
        if before is not None:
            before()
        sys.argv = ["main.py", *argv]
        from efficientnet_tf.commands import command_line

        code = run() if run is not None else command_line.main(sys.argv)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
    with contextlib.suppress(BaseException):
        sys.stderr.flush()
    os._exit(code or 0)


def _wait(child: int, until: float) -> tuple[int, Any, bool]:
    while time.monotonic() < until:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage, False
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return status, usage, True
