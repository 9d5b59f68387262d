"""The checkpoints that lie in a run's folder, found by looking at their files.

TensorFlow's file `checkpoint` names the newest one, for other programs; it may be lost, empty or
damaged while the checkpoints are whole, so nothing here depends on it.
"""

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.storage.files import entries, exists, write_text
from efficientnet_tf.storage.json_files import read_records
from efficientnet_tf.storage.paths import is_remote

NEWEST, BEST = "checkpoints", "best"
_FILE = re.compile(r"ckpt-(\d{1,18})\.(index|data-\d+-of-\d+)")
# Of a process that was killed while it wrote: TensorFlow's, and those of storage/files.py.
_OURS = re.compile(r"\.(\d+)\..+")
_TENSORFLOWS = re.compile(r"ckpt-\d+_temp|.+\.(tmp|tempstate)\w*")
_OF_A_RUN = (
    *("config.json", "classes.json", "data.json", "init_from.json"),
    *("history.jsonl", "timing.jsonl", "tensorboard", NEWEST, BEST),
)
_ANEW = (
    "Put the files back from a copy, use another --model_dir, or begin again at step 0 with "
    "--start_anew, which moves what is there aside."
)


class UnreadableCheckpoint(UsageError):
    """The files of a checkpoint are damaged or not all there."""


def _names(folder: str) -> tuple[list[str], list[str]]:
    """Folders and files in a folder, which need not be there."""
    try:
        return entries(folder, lambda name: True) if exists(folder) else ([], [])
    except NotADirectoryError:
        return [], []
    except OSError as error:
        raise UsageError(
            f'--model_dir: "{folder}" cannot be read: {first_line(error)}.\n'
            "Give a folder that you may read."
        ) from error


def _steps(folder: str, ending: str = "index") -> list[int]:
    """Ascending, each once; TensorFlow writes the index last."""
    matches = [_FILE.fullmatch(name) for name in _names(folder)[1]]
    return sorted({int(each[1]) for each in matches if each and each[2].startswith(ending)})


def saved(model_dir: str, *folders: str) -> list[str]:
    """Paths of the checkpoints in these folders of a run, the newest first.

    Raises:
        UsageError: a folder is there and cannot be listed.
    """
    found = [
        (step, os.path.join(model_dir, folder, f"ckpt-{step}"))
        for folder in folders
        for step in _steps(os.path.join(model_dir, folder))
    ]
    return [path for _, path in sorted(found, key=lambda each: -each[0])]


def for_use(model_dir: str) -> list[str]:
    """Those that stand for the run: the best one first, then the newest.

    Raises:
        UsageError: there are none.
    """
    found = saved(model_dir, BEST) + saved(model_dir, NEWEST)
    if not found:
        raise UsageError(
            f'--model_dir: no checkpoint in "{model_dir}" to use.\nTrain first '
            "(--mode=train_and_eval), with the same --model_dir."
        )
    return found


def first_readable(
    paths: Sequence[str], read: Callable[[str], Any], say: Callable[[str], Any]
) -> Any:
    """What `read` returns for the first checkpoint that it can read; the others are named.

    Args:
        read: raises UnreadableCheckpoint for one that is damaged.
        say: is told which were passed over, and why.

    Raises:
        UsageError: none can be read.
    """
    reasons = []
    for path in paths:
        try:
            _check_regular(path)
            found = read(path)
        except UnreadableCheckpoint as error:
            reasons.append(first_line(error))
            continue
        for reason in reasons:
            say(f"warning: {reason} Taken in its place: {path}")
        return found
    raise UsageError("\n".join([*reasons, f"No other checkpoint is there. {_ANEW}"]))


def _check_regular(path: str) -> None:
    """Raises an UnreadableCheckpoint for a file that TensorFlow would wait for without end."""
    folder, name = os.path.split(path)
    for each in _names(folder)[1] if not is_remote(path) else ():
        if each.startswith(f"{name}.") and not os.path.isfile(os.path.join(folder, each)):
            raise UnreadableCheckpoint(
                f'the checkpoint "{path}" cannot be read: {each} is no regular file.'
            )


def check_not_begun(model_dir: str) -> None:
    """Refuses to begin at step 0 where a run has saved checkpoints that are gone.

    A run that was killed before its first checkpoint has nothing to go on from, and begins again.

    Raises:
        UsageError: what the run logged says that it saved some.
    """
    history, timing = (os.path.join(model_dir, f"{name}.jsonl") for name in ("history", "timing"))
    if exists(timing):
        records, _ = read_records(timing, _ANEW)
        had_some = any("seconds/checkpoint" in record for record in records)
    else:
        had_some = exists(history) and bool(read_records(history, _ANEW)[0])
    if had_some:
        raise UsageError(
            f'--model_dir: "{model_dir}" holds the history of a run, but its checkpoints are gone '
            f"(expected ckpt-STEP.index and .data files in {NEWEST}/ or {BEST}/).\n{_ANEW}"
        )


def rotate(folder: str, step: int, keep: int) -> None:
    """After the checkpoint of `step` is whole: names it for other programs, removes the oldest.

    Args:
        keep: how many stay, of those up to `step`; at least 1.

    Raises:
        OSError: a file cannot be written or removed.
    """
    kept = [each for each in _steps(folder) if each <= step][-keep:]
    lines = [f'model_checkpoint_path: "ckpt-{step}"']
    lines += [f'all_model_checkpoint_paths: "ckpt-{each}"' for each in kept]
    write_text(os.path.join(folder, "checkpoint"), "\n".join([*lines, ""]))
    for name in _names(folder)[1]:
        match = _FILE.fullmatch(name)
        if match and int(match[1]) < kept[0]:
            _remove(os.path.join(folder, name))


def _remove(path: str) -> None:
    import tensorflow as tf

    if tf.io.gfile.isdir(path):
        tf.io.gfile.rmtree(path)
    else:
        tf.io.gfile.remove(path)


def remove_unfinished(model_dir: str) -> None:
    """Removes what killed processes left half written. Only for who holds the lock of the run.

    Files of processes that are still there stay: a run is evaluated and reported while it trains.
    """
    import tensorflow as tf

    for name in _names(model_dir)[1]:
        match = _OURS.fullmatch(name)
        if match and not _is_alive(int(match[1])):
            with contextlib.suppress(OSError, tf.errors.OpError):  # it harms nobody
                _remove(os.path.join(model_dir, name))
    for folder in (os.path.join(model_dir, each) for each in (NEWEST, BEST)):
        for name in sum(_names(folder), []):
            if _OURS.fullmatch(name) or _TENSORFLOWS.fullmatch(name):
                with contextlib.suppress(OSError, tf.errors.OpError):
                    _remove(os.path.join(folder, name))


def _is_alive(process: int) -> bool:
    """Whether there is such a process on this machine, other than this one."""
    if process == os.getpid():
        return False
    if os.name == "nt":  # where the call below would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def set_aside(model_dir: str) -> str | None:
    """Moves all that a run would go on from into a new folder in model_dir.

    Returns:
        The new folder; None if there was nothing.

    Raises:
        OSError: something cannot be moved.
    """
    import tensorflow as tf

    there = [name for name in _OF_A_RUN if exists(os.path.join(model_dir, name))]
    if not there:
        return None
    number = 1
    while exists(folder := os.path.join(model_dir, f"earlier-{number}")):
        number += 1
    tf.io.gfile.makedirs(folder)
    for name in there:
        tf.io.gfile.rename(os.path.join(model_dir, name), os.path.join(folder, name))
    return folder
