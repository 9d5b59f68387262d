"""What this computer is, in a few words for the record of a run: processor, cores, memory."""

import os
import platform
import re
from pathlib import Path

ROOT = Path("/")


def processor(root: Path = ROOT) -> str:
    """Its name, such as "AMD EPYC 7B13"; the architecture where Linux does not tell."""
    text = _text(root / "proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(\S.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes(root: Path = ROOT) -> int | None:
    """Of the whole computer; None where Linux does not tell."""
    found = re.search(r"^MemTotal:\s*(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    return 1024 * int(found.group(1)) if found else None


def describe() -> dict[str, str]:
    """Names and values for people."""
    memory = memory_bytes()
    return {
        "processor": processor(),
        "cores": str(cores()),
        "memory": "unknown" if memory is None else f"{memory / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
