"""The process of one candidate, seen from the search: started, waited for, and what became of it.

The other side is child.py.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS_TO_SAVE = 30.0  # that a candidate has when the search is stopped
_STOPPED = (-signal.SIGTERM, -signal.SIGINT)


def train_in_process(job: dict[str, Any], run: Path) -> dict[str, Any]:
    """Trains a candidate in a process of its own; what it wrote, see child.py.

    If it dies without writing, "error" has the cause and the last line of its output. An exception
    here, such as Ctrl-C, ends it, too, with time to save a checkpoint.

    Args:
        job: config, tpu, tpu_zone and tpu_project.
        run: its folder; gets job.json, log.txt, result.json and the files of the training.
    """
    run.mkdir(parents=True, exist_ok=True)
    result, log = run / "result.json", run / "log.txt"
    result.unlink(missing_ok=True)
    job = {**job, "model_dir": str(run), "result": str(result)}
    (run / "job.json").write_text(json.dumps(job, indent=2), encoding="utf-8")
    # The package may not be installed, and the search may have been started from anywhere.
    paths = filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])
    with open(log, "ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "efficientnet_tf.search.child", str(run / "job.json")],
            stdin=subprocess.PIPE,  # closes when this process ends: then the child does, too
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C comes to the search, which stops the child
        )
    try:
        code = child.wait()
    finally:
        _stop(child)
    if result.exists():
        return json.loads(result.read_text(encoding="utf-8"))
    if code in _STOPPED:
        return {"stopped": True}
    return {"error": f"{_cause(code)}: {_last_line(log)}"}


def _stop(child: subprocess.Popen) -> None:
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_SECONDS_TO_SAVE)
        child.kill()
        child.wait()
    if child.stdin is not None:
        child.stdin.close()


def _cause(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name} (out of memory?)" if name == "SIGKILL" else f"killed by {name}"
    return f"ended with exit code {code}"


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"
