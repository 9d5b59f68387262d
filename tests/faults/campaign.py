"""Injects faults and mutated inputs into everything, and says what survived, refused or failed.

    make test-faults                                  from the repository's root
    PYTHONPATH=tests python -m faults.campaign --seed=7 --only="disk|kill"

All randomness comes from one seed, which is printed. Exit code 1: something failed; the failures
are listed with their causes.
"""

import argparse
import collections
import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from faults import changed, damaged, disks, hostile, kills, surroundings, workshop
from faults.apart import FAILED, REFUSED, SURVIVED, Failed
from faults.mutations import Verdict, batches, feed
from faults.readers import Reader, of_commands, of_files

from efficientnet_tf.commands import command_line
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.table import aligned

INPUTS = 2_200
FAULTS = 300  # eleven minutes on two cores with the inputs; all take twice as long
_SAY_EVERY = 50  # faults, and batches of inputs
KINDS = (changed, damaged, hostile, kills, disks, surroundings)
Job = tuple[Path, int, "tuple[str, str] | tuple[Reader, range]"]


def import_all() -> None:
    """What commands import, once, before children are forked: they then start at once."""
    start_tensorflow()
    for word in command_line.WORDS:
        command_line.word_of(word)
    for module in ("experiment.modes", "report.write", "runs.trained_model"):
        importlib.import_module(f"efficientnet_tf.{module}")


def cases() -> dict[tuple[str, str], object]:
    """Every fault by its category and name."""
    return {(category, name): run for each in KINDS for category, name, run in each.cases()}


def try_one(job: Job) -> list[Verdict]:
    """The verdicts of a fault, or of a batch of mutated inputs."""
    specimens, seed, what = job
    with workshop.place(specimens) as where:
        if isinstance(what[0], Reader):
            return feed(where, what[0], seed, what[1])
        category, name = what
        try:
            return [Verdict(category, name, cases()[what](where, seed))]
        except Failed as failed:
            return [Verdict(category, name, FAILED, str(failed))]
        except Exception as error:  # of this campaign itself: it has shown nothing
            return [Verdict(category, name, FAILED, f"the case itself: {error!r}")]


def jobs(made: Path, seed: int, faults: int, inputs: int, only: str) -> list[Job]:
    """Faults, `faults` of them if they are more, and inputs in batches; the seed decides."""
    wanted = re.compile(only)
    chosen = [key for key in cases() if wanted.search(": ".join(key))]
    if 0 < faults < len(chosen):
        chosen = random.Random(seed).sample(chosen, faults)
    known = (*of_files(), *of_commands(made))
    fed = [each for each in known if wanted.search(f"mutated: {each.name}")]
    small = batches(fed, inputs) if fed else ()
    todo: list[Job] = [(made, seed, key) for key in (*chosen, *small)]
    random.Random(seed).shuffle(todo)
    return todo


def run(todo: Sequence[Job], parallel: int) -> Iterator[list[Verdict]]:
    """What each job led to, as they come."""
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(parallel, mp_context=context)
    try:
        for future in as_completed([pool.submit(try_one, job) for job in todo]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def table(found: Sequence[Verdict]) -> str:
    """A line for each category."""
    kinds = (SURVIVED, REFUSED, FAILED)
    counts: dict[str, collections.Counter[str]] = {}
    for each in sorted(found):
        counts.setdefault(each.category, collections.Counter())[each.verdict] += 1
    rows = [("", "cases", *kinds)]
    for category, counted in [
        *counts.items(),
        ("all", sum(counts.values(), collections.Counter())),
    ]:
        shown = [str(counted[kind] or "-") for kind in kinds]
        rows.append((category, str(counted.total()), *shown))
    return "\n".join(aligned(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--inputs", type=int, default=INPUTS, help="mutated inputs, all together")
    parser.add_argument("--faults", type=int, default=FAULTS, help="drawn by the seed; 0: all")
    parser.add_argument("--only", default="", help="regular expression on categories and names")
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", help="file for the verdicts, as JSON lines")
    given = parser.parse_args()
    began = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):  # in a shell's background one is ignored
        signal.signal(number, signal.default_int_handler)
    print(f"seed {given.seed}; --seed={given.seed} repeats it", flush=True)
    if not disks.take_mounts():
        print("disks cannot be mounted here: full and read-only ones are left out", flush=True)
    import_all()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    found: list[Verdict] = []
    try:
        made = folder / "specimens"
        workshop.make(made)
        todo = jobs(made, given.seed, given.faults, given.inputs, given.only)
        # No bar of tqdm, which the forked commands would take for one of theirs.
        for number, verdicts in enumerate(run(todo, given.parallel), 1):
            found += verdicts
            for each in verdicts:
                if each.verdict == FAILED:
                    remark = each.remark.encode("ascii", "backslashreplace").decode()
                    print(f"failed: {each.category}: {each.case}: {remark}", flush=True)
            if number % _SAY_EVERY == 0:
                print(f"{number} of {len(todo)}, {time.monotonic() - began:.0f} s", flush=True)
    except KeyboardInterrupt:
        print("stopped; this is what was tried until now:")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.output:
        lines = [json.dumps(each._asdict()) for each in sorted(found)]
        Path(given.output).write_text("".join(f"{line}\n" for line in lines))
    mutated = sum(each.category.startswith("mutated") for each in found)
    print(f"\n{table(found)}\n")
    print(
        f"{len(found) - mutated} faults, {mutated} mutated inputs, seed {given.seed}, "
        f"{time.monotonic() - began:.0f} s with {given.parallel} at once"
    )
    return 1 if any(each.verdict == FAILED for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
