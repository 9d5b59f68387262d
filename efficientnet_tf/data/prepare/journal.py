"""Which files of a run of `prepare` are finished, so that a killed one can go on.

manifest.partial.jsonl lies beside the files: first what decides their contents (the identity),
then one line for each finished file. When all are there the manifest takes its place, and keeps
the identity as its origin. A file that vanished or lost bytes since is not finished.
"""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.broken import plain_message
from efficientnet_tf.data.sources import manifest as manifest_lib
from efficientnet_tf.data.sources.manifest import FileEntry, Manifest
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.storage.files import write_text

JOURNAL = "manifest.partial.jsonl"
_OTHER_FOLDER = "Use the same arguments to go on, or another output_dir for another data set."


def make_folder(output_dir: str) -> None:
    """Makes the folder if it is not there.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        tf.io.gfile.makedirs(output_dir)
    except tf.errors.OpError as error:
        raise UsageError(
            f'output_dir must be a folder that can be made: "{output_dir}": {plain_message(error)}'
        ) from error


def begin(output_dir: str, identity: Mapping[str, Any]) -> dict[str, FileEntry]:
    """Begins the journal of a folder; the files that are finished already, by name.

    Raises:
        UsageError: the folder holds something else.
        RunError: its manifest or journal is damaged.
    """
    stored = manifest_lib.read(output_dir)
    if stored is not None:
        _check_identity(output_dir, manifest_lib.MANIFEST, stored.origin, identity)
        listed = [entry for files in stored.files.values() for entry in files]
    elif tf.io.gfile.exists(os.path.join(output_dir, JOURNAL)):
        found, listed = _read(output_dir)
        _check_identity(output_dir, JOURNAL, found, identity)
    else:
        _check_no_files(output_dir)
        listed = []
    with ThreadPoolExecutor(manifest_lib.FILES_AT_ONCE) as pool:
        wrong = pool.map(lambda entry: manifest_lib.size_difference(entry, output_dir), listed)
        finished = [entry for entry, text in zip(listed, wrong, strict=True) if text is None]
    if stored is None or len(finished) < len(listed):
        lines = [identity, *map(asdict, finished)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_text(os.path.join(output_dir, JOURNAL), text)
        if stored is not None:
            tf.io.gfile.remove(os.path.join(output_dir, manifest_lib.MANIFEST))
    return {entry.name: entry for entry in finished}


def add(output_dir: str, entry: FileEntry) -> None:
    """Notes a finished file.

    Raises:
        RunError: the journal cannot be written.
    """
    path = os.path.join(output_dir, JOURNAL)
    try:
        with tf.io.gfile.GFile(path, "a") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
    except tf.errors.OpError as error:
        raise RunError(
            f"{path} could not be written: {plain_message(error)} Make room or check the folder, "
            "then run the same command again: finished files are kept."
        ) from error


def finish(output_dir: str, manifest: Manifest) -> None:
    """Puts the manifest in the place of the journal; if there is none, this was done before."""
    path = os.path.join(output_dir, JOURNAL)
    if tf.io.gfile.exists(path):
        manifest_lib.write(manifest, output_dir)
        tf.io.gfile.remove(path)


def _read(output_dir: str) -> tuple[Any, list[FileEntry]]:
    path = os.path.join(output_dir, JOURNAL)
    try:
        with tf.io.gfile.GFile(path) as file:
            first, *lines = file.read().split("\n")
        identity = json.loads(first)
    except (ValueError, tf.errors.OpError) as error:
        raise RunError(
            f"{path} is damaged: {error}. Remove it and the files beside it, and begin again."
        ) from error
    entries = []
    for line in lines:
        try:
            entries.append(manifest_lib.parse_entry(json.loads(line)))
        except ValueError:  # the end of a run that was killed in the middle of a line
            continue
    return identity, entries


def _check_identity(output_dir: str, name: str, found: Any, expected: Mapping[str, Any]) -> None:
    if not isinstance(found, dict):
        raise UsageError(
            f"output_dir must be empty or hold files of this program: {name} in {output_dir} "
            f"does not say how its files were made. {_OTHER_FOLDER}"
        )
    # What was written before there were fingerprints is not refused for it.
    found = {"fingerprints": expected.get("fingerprints"), **found}
    lines = [
        f"{key}: {_shown(found.get(key))} -> {_shown(expected.get(key))}"
        for key in {**expected, **found}
        if found.get(key) != expected.get(key)
    ]
    if lines:
        raise UsageError(
            f"output_dir holds files made with other arguments, as {name} in {output_dir} says "
            "(theirs -> yours):\n  " + "\n  ".join(lines) + f"\n{_OTHER_FOLDER}"
        )


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_no_files(output_dir: str) -> None:
    starts = tuple(f"{prefix}-" for prefix in manifest_lib.PREFIXES.values())
    found = sorted(name for name in tf.io.gfile.listdir(output_dir) if name.startswith(starts))
    if found:
        raise UsageError(
            f"output_dir holds {len(found)} files that are not of a run of this program, such as "
            f"{found[0]} in {output_dir}; they would be mixed up with new ones or overwritten. "
            "Choose another folder."
        )
