"""Faults: commands killed at random moments, files that vanish, two processes at once."""

import functools
import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.apart import REFUSED, SURVIVED, Failed, call, settled
from faults.workshop import Place, commands, training

Case = tuple[str, str, Callable[[Place, int], str]]
_STARTS = 10  # of a command that is killed again and again
_LEFTOVER = re.compile(r"_temp|\.tmp|tempstate|^\.\d+\.")


def same_weights(run: Path, reference: Path) -> None:
    """Raises Failed unless both runs ended with exactly the same variables."""

    def compare() -> int:
        import numpy as np
        import tensorflow as tf

        from efficientnet_tf.runs import checkpoint_files
        from efficientnet_tf.runs.checkpoint_files import NEWEST

        readers = [
            tf.train.load_checkpoint(checkpoint_files.saved(str(each), NEWEST)[0])
            for each in (run, reference)
        ]
        names = [sorted(reader.get_variable_to_shape_map()) for reader in readers]
        if names[0] != names[1]:
            return 3
        keys = [key for key in names[0] if "VARIABLE_VALUE" in key and "save_counter" not in key]
        same = [np.array_equal(*(reader.get_tensor(key) for reader in readers)) for key in keys]
        return 0 if all(same) else 4

    ended = call(run=compare)
    if ended.code != 0:
        what = {3: "other variables", 4: "other weights"}.get(ended.code, ended.err[-300:])
        raise Failed(f"ended with {what} than a run that nothing happened to")


def tidy(folder: Path) -> None:
    """Raises Failed where half a file was left."""
    left = [
        str(path.relative_to(folder)) for path in folder.rglob("*") if _LEFTOVER.search(path.name)
    ]
    if left:
        raise Failed(f"leaves {left[:3]} for ever")


def _steps(run: Path) -> list[int]:
    """The steps of the training in the history of a run."""
    path = run / "history.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]  # a kill may cut the last
    return [row["step"] for row in rows if not any("minival" in key for key in row)]


def once_each(run: Path) -> None:
    """Raises Failed if a step stands twice in the history, or runs backwards."""
    steps = _steps(run)
    if not steps or steps != sorted(set(steps)):
        raise Failed(f"history.jsonl has the steps {steps}")


def _after(seconds: float, number: int) -> Callable[[int], None]:
    def kill(child: int) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return  # it has ended
            time.sleep(0.01)
        os.kill(child, number)

    return kill


def _killed(where: Place, seed: int, *, number: int, how: int) -> str:
    """The same command again and again, killed each time, until it gets to its end."""
    moments = random.Random(f"{seed} {number} {how}")
    run = where.own / "new"
    command = training(where.specimens / "photos", run)
    for start in range(_STARTS):
        before = _steps(run)
        # Often enough from the beginning; then longer, so that it comes to its end.
        ended = call(*command, meanwhile=_after(moments.uniform(0.2, 2.5 + start / 2), how))
        if ended.code == 0:
            break
        if ended.hung or (how == signal.SIGKILL and ended.signal != how):
            raise Failed(f"ends with {ended.code}: {ended.err[-300:]}")
        if how != signal.SIGKILL and ended.signal:
            # Before it listens a signal may end it as any program; then nothing was begun.
            if _steps(run)[-1:] > before[-1:]:
                raise Failed(f"signal {how} ended it without saving")
        elif how != signal.SIGKILL and ended.code != 130:
            raise Failed(f"signal {how} ends it with code {ended.code}: {ended.err[-300:]}")
    else:
        ended = call(*command)
    settled(ended, fine=True)
    same_weights(run, where.specimens / "trained")
    once_each(run)
    tidy(run)
    return SURVIVED


def _killed_word(where: Place, seed: int, *, number: int, word: str) -> str:
    """A word that is killed, and started again: as if nothing had been."""
    moment = random.Random(f"{seed} {word} {number}").uniform(0.05, 2.0)
    run, out = where.copy("run"), where.own / "out"
    out.mkdir()
    words = commands(where, run, out)
    call(*words[word], meanwhile=_after(moment, signal.SIGKILL))
    if word == "export":  # the old export is still whole
        settled(call(*words["predict, served"]), fine=True)
    if (out / "w.safetensors").exists():
        from safetensors.numpy import load_file

        load_file(out / "w.safetensors")
    settled(call(*words[word]), fine=True)
    if word == "prepare":
        for made in (where.specimens / "records").glob("*-of-*"):
            if made.read_bytes() != (out / "records" / made.name).read_bytes():
                raise Failed(f"{made.name} is another file than without the kill")
    tidy(where.own)
    return SURVIVED


def _when(path: Path, act: Callable[[], object]) -> Callable[[int], None]:
    """Acts as soon as the file is there, if the child has not ended before."""

    def wait(child: int) -> None:
        for _ in range(3000):
            if path.exists() or os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.01)
        act()

    return wait


def _vanishes(where: Place, _: int, *, what: str) -> str:
    photos, run = where.copy("photos"), where.own / "new"
    begun = run / "history.jsonl"
    acts: dict[str, Callable[[], object]] = {
        "the folder of the run": lambda: shutil.rmtree(run, ignore_errors=True),
        "the checkpoints": lambda: shutil.rmtree(run / "checkpoints", ignore_errors=True),
        "the data": lambda: shutil.rmtree(photos),
        "an image": lambda: (photos / "cat" / "0.png").unlink(),
        "timing.jsonl": lambda: (run / "timing.jsonl").unlink(missing_ok=True),
        "the working directory": lambda: shutil.rmtree(where.own / "cwd"),
    }
    (where.own / "cwd").mkdir()
    ended = call(
        *training(photos, run, epochs=4.0),
        cwd=where.own / "cwd",
        meanwhile=_when(begun, acts[what]),
    )
    return settled(ended, str(run), str(photos), "--model_dir", "cat")


def _both(where: Place, _: int, *, word: str) -> str:
    """Two processes with one folder: one does the work, the other refuses, nothing is mixed."""
    run, second = where.own / "new", []
    command = commands(where, run, where.own)[word]
    begun = (
        run / "config.json" if word == "train" else where.own / "records" / "manifest.partial.jsonl"
    )
    first = call(*command, meanwhile=_when(begun, lambda: second.append(call(*command))))
    verdicts = [settled(each, str(where.own)) for each in (first, *second)]
    if verdicts.count(SURVIVED) == 2 and "already" not in second[0].out:
        raise Failed("both ended well with one folder at the same time")
    if SURVIVED not in verdicts:
        raise Failed("neither came to its end")
    if word == "train":
        same_weights(run, where.specimens / "trained")
        once_each(run)
    return REFUSED if REFUSED in verdicts else SURVIVED


def cases() -> Iterator[Case]:
    """(category, name, how to try it) of each."""
    counts = {signal.SIGKILL: 14, signal.SIGTERM: 3, signal.SIGINT: 3, signal.SIGHUP: 3}
    for how, count in counts.items():
        for number in range(count):
            tried = functools.partial(_killed, number=number, how=how)
            yield "kills: training", f"{how.name} {number}", tried
    for word in ("prepare", "export", "evaluate", "predict", "report", "import-weights"):
        for number in range(3):
            tried = functools.partial(_killed_word, number=number, word=word)
            yield "kills: other words", f"{word} {number}", tried
    for what in (
        "the folder of the run",
        "the checkpoints",
        "the data",
        "an image",
        "timing.jsonl",
        "the working directory",
    ):
        yield "vanishing files", what, functools.partial(_vanishes, what=what)
    for word in ("train", "prepare"):
        yield "two at once", word, functools.partial(_both, word=word)
