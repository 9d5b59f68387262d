"""The same training several times, with other seeds or other folds held out: mean and spread.

Each run is a job in a folder of its own, so one that fails takes no other with it.
A run that has its result is not started again, one that was stopped goes on. A folder takes one
process at a time, and other flags only as long as none has begun to train there. With seeds the
result is what main.py says of the test split. With folds every image of train and minival is held
out once; a run is then trained to its end and only there evaluated on its fold, for a checkpoint
chosen by that fold would be flattered by it.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.runs import data_record, jobs
from efficientnet_tf.storage.files import write_json
from efficientnet_tf.storage.json_files import misfit, read_object, read_text
from efficientnet_tf.storage.lock import lock
from efficientnet_tf.storage.paths import is_remote

_FLAGS, _LOG = "flags.json", "log.txt"
_BEGUN = "config.json"  # which main.py writes once nothing more can be wrong with its flags
SUMMARY = "summary.json"
METRICS = ("top1", "top5", "loss", "mean_per_class_accuracy")


@dataclass(frozen=True)
class Repeat:
    """One of the runs.

    Attributes:
        name: of its folder, "seed-0" or "fold-2".
        flags: what it adds to the common ones.
        modes: of main.py, one after another.
        split: whose evaluation is its result.
    """

    name: str
    flags: tuple[str, ...]
    modes: tuple[str, ...] = ("train_and_eval",)
    split: str = "test"


def seeds(count: int) -> list[Repeat]:
    return [Repeat(f"seed-{seed}", (f"--config.train.seed={seed}",)) for seed in range(count)]


def folds(count: int) -> list[Repeat]:
    return [
        Repeat(
            f"fold-{fold}",
            (f"--config.data.folds={count}", f"--config.data.fold={fold}"),
            ("train", "eval"),
            "minival",
        )
        for fold in range(count)
    ]


def run_all(
    runs: Sequence[Repeat], flags: Sequence[str], folder: str, say: Callable[[str], Any] = print
) -> list[dict[str, Any]]:
    """Starts the runs in turn; what each one's result file holds.

    Args:
        flags: of main.py, common to all runs.
        folder: has a folder for each run, with its log.txt beside what main.py writes.

    Raises:
        UsageError: main.py refused the flags, or the folder holds runs of other flags, is in use
            or cannot be written.
        RunError: a run failed, or the data set has changed between two.
        Stopped: a signal ended a run.
    """
    found: list[dict[str, Any]] = []
    for run in runs:
        result = train(run, flags, folder)
        found.append(result)
        _check_same_data(folder, [each.name for each in runs[: len(found)]])
        say(f"{run.name}: {describe(result)}")
    return found


def train(run: Repeat, flags: Sequence[str], folder: str) -> dict[str, Any]:
    """Brings one run to its result; see `run_all`."""
    model_dir = Path(folder) / run.name
    wanted = [*flags, *run.flags]
    if is_remote(folder):
        raise UsageError(f'--model_dir must be a folder of this machine, received "{folder}".')
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        (model_dir / _LOG).touch()
    except OSError as error:
        raise UsageError(
            f'--model_dir: "{model_dir}" cannot be written: {error.strerror}. Give a folder that '
            "you may write to."
        ) from error
    with open(model_dir / _LOG, "ab") as log:
        if not lock(log):  # which a process of main.py that outlives this one holds, too
            raise UsageError(
                f'--model_dir: a run is going on in "{model_dir}". Wait for it, or stop it.'
            )
        _check_flags(model_dir, wanted)
        for mode in run.modes if _result(model_dir, run.split) is None else ():
            split = [f"--split={run.split}"] if mode == "eval" else []
            own = [f"--mode={mode}", *split, f"--model_dir={model_dir}"]
            try:
                jobs.run(run.name, "efficientnet_tf", [*wanted, *own], log)
            except RunError as error:
                raise RunError(f"{run.name}: {error}\nThe same command goes on.") from error
    result = _result(model_dir, run.split)
    if result is None:
        raise RunError(f"{run.name} has no evaluation of {run.split}; {model_dir / _LOG} says why.")
    return result


def _result(model_dir: Path, split: str) -> dict[str, Any] | None:
    """The evaluation of the averaged weights, of the raw ones where a run keeps no averages."""
    for weights in ("", "-raw"):
        path = model_dir / f"evaluation-{split}{weights}.json"
        if path.exists():
            remedy = "Remove it: the same command evaluates again."
            result = read_object(str(path), remedy)
            reason = misfit(result, dict.fromkeys(METRICS, float))
            if reason or not {"top1", "loss"} <= result.keys():
                raise UsageError(f'"{path}" holds no result ({reason or "no scores"}).\n{remedy}')
            return result
    return None


def _check_flags(model_dir: Path, flags: Sequence[str]) -> None:
    """A folder is for one command; its flags are kept there."""
    path = model_dir / _FLAGS
    if path.exists() and (model_dir / _BEGUN).exists():
        remedy = "Use another --model_dir."
        try:
            stored = json.loads(read_text(str(path), remedy))
        except (ValueError, RecursionError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f'"{path}" holds no flags ({error}).\n{remedy}') from error
        if stored != list(flags):
            shown = " ".join(map(str, stored)) if isinstance(stored, list) else repr(stored)
            raise UsageError(
                f'--model_dir: "{model_dir}" was begun with other flags: {shown}. Use the same, or '
                "another --model_dir."
            )
        return
    write_json(str(path), list(flags))


def _check_same_data(folder: str, names: Sequence[str]) -> None:
    """Of folds, train and minival are other parts of the same images."""
    seen = {}
    for name in names:
        stored = data_record.read(str(Path(folder) / name))
        if stored is not None:
            splits = stored["splits"]
            together = splits["train"]["images"] + splits["minival"]["images"]
            seen[(together, splits["test"]["fingerprint"])] = name
    if len(seen) > 1:
        first, second, *_ = seen.values()
        raise RunError(
            f"the data set has changed between {first} and {second}: their results cannot be "
            "joined.\nBring back the images of then, or repeat all runs in another --model_dir."
        )


def describe(result: dict[str, Any]) -> str:
    return f"top-1 {100 * result['top1']:.2f} %, loss {result['loss']:.4f}"


def summary(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each metric that all results have: mean, standard deviation (of n - 1), min, max."""
    return {
        name: {
            "mean": statistics.fmean(values),
            "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
            "min": min(values),
            "max": max(values),
        }
        for name in METRICS
        if all(name in result for result in results)
        for values in [[result[name] for result in results]]
    }


def spread(results: Sequence[dict[str, Any]]) -> str:
    """`top-1 98.61 +- 0.32 % (98.33 to 98.89), loss 0.0712 +- 0.0100, 3 runs`."""
    top1, loss = (summary(results)[name] for name in ("top1", "loss"))
    percent = {key: 100 * value for key, value in top1.items()}
    return (
        f"top-1 {percent['mean']:.2f} +- {percent['deviation']:.2f} % ({percent['min']:.2f} to "
        f"{percent['max']:.2f}), loss {loss['mean']:.4f} +- {loss['deviation']:.4f}, "
        f"{len(results)} runs"
    )


def write_summary(path: str, results: Sequence[dict[str, Any]]) -> None:
    content = {"runs": len(results), "metrics": summary(results)}
    write_json(path, content)
