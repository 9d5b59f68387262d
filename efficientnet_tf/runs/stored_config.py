"""config.json in model_dir: the configuration of a run, as the run stored it."""

import os
from collections.abc import Mapping
from typing import Any

from efficientnet_tf.errors import UsageError, first_line
from efficientnet_tf.storage.files import exists, read_json


def read_config(model_dir: str) -> Mapping[str, Any]:
    """All fields by their dotted names; of an older version some may be missing.

    Raises:
        UsageError: there is no run, or its configuration cannot be read.
    """
    path = os.path.join(model_dir, "config.json")
    if not exists(path):
        raise UsageError(
            f'--model_dir: no run in "{model_dir}" (expected a file config.json). Give the '
            "--model_dir of a run of main.py."
        )
    try:
        stored = read_json(path)
        if not isinstance(stored, dict):
            raise ValueError(f"expected an object, received {stored!r}")
        return stored
    except OSError as error:
        raise UsageError(f'--model_dir: "{path}" cannot be read: {first_line(error)}.') from error
    except ValueError as error:
        raise UsageError(f'--model_dir: "{path}" holds no configuration ({error}).') from error
