"""Feeds every reader with mutated inputs, many in one child, which a crash or a hang ends alone."""

import contextlib
import functools
import hashlib
import io
import json
import pickle
import re
import shutil
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from faults.apart import FAILED, REFUSED, SURVIVED, Failed, call, check_message
from faults.readers import Reader
from faults.workshop import Place
from mutation import flip, mutate

from efficientnet_tf.errors import RunError, Stopped, UsageError
from efficientnet_tf.terminal.exit_codes import exit_code

RESULTS = "verdicts.jsonl"
SECONDS = 10  # that one input may take
GROWTH = 700  # MB that one input may take


class Verdict(NamedTuple):
    """What one fault or input led to."""

    category: str
    case: str
    verdict: str
    remark: str = ""


def feed(where: Place, reader: Reader, seed: int, inputs: range) -> list[Verdict]:
    """The verdicts on the inputs of these numbers; each is a function of seed, kind and number."""
    found: list[Verdict] = []
    results = where.own / RESULTS
    while len(found) < len(inputs):
        rest = inputs[len(found) :]
        results.write_text("")
        fed = functools.partial(feed_here, where, reader, seed, rest, results)
        ended = call(run=fed, timeout=len(rest) * SECONDS)
        for line in results.read_text().splitlines():
            number, verdict, remark = json.loads(line)
            found.append(Verdict("mutated: " + reader.name, f"input {number}", verdict, remark))
        if len(found) < len(inputs):
            how = "hangs" if ended.hung else f"ends the process: {ended.signal or ended.code}"
            number = inputs[len(found)]
            remark = f"{how} {ended.err[-300:]}"
            found.append(Verdict("mutated: " + reader.name, f"input {number}", FAILED, remark))
    return found


def feed_here(where: Place, reader: Reader, seed: int, numbers: range, results: Path) -> int:
    """`feed` in this process; writes a line [number, verdict, remark] for each input."""
    _clean(where)
    root = where.copy(reader.root or reader.file)
    damaged = where.own / reader.file
    whole = damaged.read_bytes()
    expected = _fingerprint(reader.read(root))  # whole it must be accepted
    signal.signal(signal.SIGALRM, _late)
    with open(results, "a") as file:
        for number in numbers:
            random = np.random.RandomState([seed, zlib.crc32(reader.name.encode()), number])
            _clean(where)
            where.copy(reader.root or reader.file)
            damaged.write_bytes((flip if number % 2 else mutate)(whole, random))
            verdict, remark = _judged(reader, root, expected)
            file.write(json.dumps([number, verdict, remark]) + "\n")
            file.flush()
    return 0


def _clean(where: Place) -> None:
    """Removes the copies of before."""
    for made in where.own.iterdir():
        if made.is_dir():
            shutil.rmtree(made)
        elif made.name != RESULTS:
            made.unlink()


def _judged(reader: Reader, root: Path, expected: str) -> tuple[str, str]:
    before = _peak(reset=True)
    signal.alarm(SECONDS)
    try:
        found = reader.read(root)
        if reader.sealed and _fingerprint(found) != expected:
            return FAILED, "another result, without a word"
        verdict, remark = SURVIVED, ""
    except (UsageError, RunError, Stopped) as error:
        try:
            check_message(_shown(error))
            verdict, remark = REFUSED, str(error)
        except Failed as wrong:
            return FAILED, str(wrong)
    except TimeoutError:
        return FAILED, f"takes more than {SECONDS} s"
    except BaseException as error:
        return FAILED, _where(error)
    finally:
        signal.alarm(0)
    growth = _peak() - before
    return (FAILED, f"takes {growth} MB") if growth > GROWTH else (verdict, remark)


def _shown(error: Exception) -> str:
    """What a command that ends with this error prints."""

    def fail() -> None:
        raise error

    with contextlib.redirect_stderr(io.StringIO()) as stream:
        exit_code(fail)
    return stream.getvalue()


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(pickle.dumps(value)).hexdigest()


def _late(*_: object) -> None:
    raise TimeoutError


def _peak(reset: bool = False) -> int:
    """MB of memory of this process at its largest."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


def _where(error: BaseException) -> str:
    """The error, and the last line of ours that it came through."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/efficientnet_tf/" in code.co_filename:
            place = f"{code.co_filename.rpartition('/efficientnet_tf/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}: {str(error)[:200]}"


def batches(made: list[Reader], count: int, size: int = 25) -> Iterator[tuple[Reader, range]]:
    """`count` inputs, as many of each kind, in pieces for one child each."""
    each = -(-count // len(made))
    for reader in made:
        for first in range(0, each, size):
            yield reader, range(first, min(first + size, each))
