"""The command as a user calls it, and what its answers must not hold."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOISE = re.compile(r"Traceback|0000 00:|[WEI]0000|oneDNN|cuda|WARNING", re.IGNORECASE)


def call(*flags: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What main.py answers in a process of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *flags], cwd=cwd, capture_output=True, text=True
    )
