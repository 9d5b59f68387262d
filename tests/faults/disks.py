"""Faults: disks that are full or read only, and limits on files."""

import ctypes
import functools
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.apart import REFUSED, Failed, call, settled
from faults.kills import same_weights, tidy
from faults.workshop import Place, commands

Case = tuple[str, str, Callable[[Place, int], str]]
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
mounts = False  # whether `take_mounts` succeeded


def take_mounts() -> bool:
    """Gives this process, before it has threads, disks of its own; False: it cannot be."""
    kinds = _NEW_MOUNTS if os.geteuid() == 0 else _NEW_MOUNTS | _NEW_USER
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None).unshare(kinds) != 0:
        return False
    if kinds & _NEW_USER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    done = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True)
    global mounts
    mounts = done.returncode == 0
    return mounts


mounts = False  # whether `take_mounts` succeeded


class _Disk:
    """A disk of 16 MB, of which `free` KB are left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", path], check=True)

    def __enter__(self) -> "_Disk":
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.path], check=True)

    def fill(self, free: int) -> None:
        self.empty()
        there = os.statvfs(self.path)
        size = there.f_bavail * there.f_frsize - free * 1024
        (self.path / "filler").write_bytes(bytes(max(size, 0)))

    def empty(self) -> None:
        (self.path / "filler").unlink(missing_ok=True)

    def read_only(self, yes: bool = True) -> None:
        how = "remount,ro" if yes else "remount,rw"
        subprocess.run(["mount", "-o", how, self.path], check=True)


def _full(where: Place, _: int, *, word: str, free: int) -> str:
    """A disk gets full; what was there is still there, and with room the command goes on."""
    with _Disk(where.own / "disk") as disk:
        run = disk.path / "run"
        shutil.copytree(where.specimens / "run", run)
        old = {"compare": "compare.html", "predict": "answers.csv", "report": "run/report.html"}
        kept = disk.path / old.get(word, "kept")
        kept.write_text("what was there")
        command = commands(where, run, disk.path)[word]
        disk.fill(free)
        ended = call(*command)
        verdict = settled(ended, str(disk.path), "--model_dir", "--output")
        if verdict == REFUSED and kept.read_text() != "what was there":
            raise Failed("the old file was destroyed")
        before_work = ended.code == 2
        if word == "evaluate" and not before_work and "top-1" not in ended.out:
            raise Failed("the scores were not printed")
        disk.empty()
        settled(call(*command), fine=True)
        if word == "train":
            same_weights(disk.path / "new", where.specimens / "trained")
        tidy(disk.path)
        return verdict


def _unwritable(where: Place, _: int, *, word: str) -> str:
    """Nothing can be written; a word that writes says so before it works, or prints its answer."""
    with _Disk(where.own / "disk") as disk:
        run = disk.path / "run"
        shutil.copytree(where.specimens / "run", run)
        disk.read_only()
        ended = call(*commands(where, run, disk.path)[word])
        fine = {"predict, printed": True, "evaluate": None}.get(word, False)
        verdict = settled(ended, str(disk.path), "--model_dir", fine=fine)
        worked = word == "evaluate" and ended.seconds > 4
        if worked and "top-1" not in ended.out:
            raise Failed("evaluated without printing the scores")
        return verdict


def _limited(where: Place, _: int, *, kind: int, value: int, word: str) -> str:
    def limit() -> None:
        resource.setrlimit(kind, (value, value))

    command = commands(where, where.copy("run"), where.own)[word]
    return settled(call(*command, before=limit), "--", str(where.own), str(where.specimens))


def cases() -> Iterator[Case]:
    """(category, name, how to try it) of each."""
    for word in ("train", "predict", "export", "prepare", "check-data"):
        for value in (24, 64):
            tried = functools.partial(_limited, kind=resource.RLIMIT_NOFILE, value=value, word=word)
            yield "small limits", f"{value} open files, {word}", tried
        for value in (5_000, 20_000):
            tried = functools.partial(_limited, kind=resource.RLIMIT_FSIZE, value=value, word=word)
            yield "small limits", f"files of {value} bytes, {word}", tried
    if not mounts:
        return
    writing = ("train", "resume", "evaluate", "export", "prepare", "predict", "compare", "report")
    for word in (*writing, "import-weights"):
        for free in (0, 60):
            tried = functools.partial(_full, word=word, free=free)
            yield "full disks", f"{word}, {free} KB free", tried
    for word in (*writing, "import-weights", "cam", "predict, printed"):
        yield "disks that are read only", word, functools.partial(_unwritable, word=word)
