"""Runs a script of this folder in a process of its own: the made-up TPU patches TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from efficientnet_tf.tpu import requirements

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Why the tests that need the TPU compiler are skipped; None if they are not.
MISSING = requirements.missing()
# TensorFlow must have started, quietly, before a script imports it.
_START = (
    "import runpy, sys\n"
    "from efficientnet_tf.machine.startup import start_tensorflow\n"
    "start_tensorflow()\n"
    "del sys.argv[0]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def json_lines(
    script: str, *arguments: str, seconds: float = 600, **environment: str
) -> list[dict[str, Any]]:
    """What the script prints as JSON objects, one a line."""
    paths = os.pathsep.join([str(ROOT), str(HERE)])  # also where the package is not installed
    done = subprocess.run(
        [sys.executable, "-c", _START, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
