"""config.json in model_dir: the configuration of a run, as the run stored it."""

import os
from collections.abc import Mapping
from typing import Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.files import exists
from efficientnet_tf.storage.json_files import read_object


def stored_fields(model_dir: str) -> dict[str, Any] | None:
    """All fields by their dotted names, of an older version some may be missing; None: no run.

    Raises:
        UsageError: the file cannot be read or holds no configuration.
    """
    path = os.path.join(model_dir, "config.json")
    if not exists(path):
        return None
    try:
        return read_object(path, "Put the file back from a copy, or give another --model_dir.")
    except UsageError as error:
        raise UsageError(f"--model_dir: {error}") from error


def read_config(model_dir: str) -> Mapping[str, Any]:
    """As `stored_fields`.

    Raises:
        UsageError: there is no run, or its configuration cannot be read.
    """
    stored = stored_fields(model_dir)
    if stored is None:
        raise UsageError(
            f'--model_dir: no run in "{model_dir}" (expected a file config.json). Give the '
            "--model_dir of a run of main.py."
        )
    return stored


def names_files(source: str, data_dir: str | None) -> bool:
    """Whether a data set of a configuration is a place of files that someone chose.

    A run may come from anywhere, and what its configuration names need not be for its eyes: such
    places are opened only for a command that names the data or computes on it.
    """
    return bool(data_dir) or (":" in source and not source.startswith("tfds:"))
