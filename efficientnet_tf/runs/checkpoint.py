"""Saving and resuming a run: its checkpoints, the best one, and the copy of its configuration.

In model_dir:
    config.json               the resolved configuration, written once
    classes.json              how many classes the network tells apart, and their names
    checkpoints/ckpt-<step>   the newest few, everything that training changes
    best/ckpt-<step>          the one with the best minival top-1
Variables carry readable names ("weights/stem_conv/kernel", "average/...", "step").

Order of precedence on start: a checkpoint in model_dir continues that run; without one the run
starts from the weights of `init_from`, or from scratch. TensorFlow writes a checkpoint to temporary
files and renames them, its index last, so a killed process leaves the previous one in force; one
that is damaged nevertheless is passed over for an older one (`checkpoint_files.py`).
"""

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.runs import checkpoint_files
from efficientnet_tf.runs.checkpoint_files import BEST, NEWEST, UnreadableCheckpoint
from efficientnet_tf.runs.stored_config import stored_fields
from efficientnet_tf.storage.files import write_json
from efficientnet_tf.training.multi_worker import Workers
from efficientnet_tf.training.state import TrainState

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_PREFIX = "variables/"
_SHOWN = 8


def check_model_dir(model_dir: str, config: config_lib.ExperimentConfig) -> None:
    """Checks that model_dir is new or holds a run of the same configuration; writes nothing.

    Raises:
        UsageError: the folder cannot be read, or holds a run of another configuration, or of one
            that is not known.
    """
    stored = stored_fields(model_dir)
    if stored is None:
        if not checkpoint_files.saved(model_dir, NEWEST, BEST):
            return
        raise UsageError(
            f'--model_dir: "{model_dir}" holds checkpoints but no config.json, so nobody knows '
            "whether they are of the same experiment.\nPut config.json back (metadata.json of the "
            'run\'s export holds it as "config"), or give another --model_dir.'
        )
    lines = config_lib.differences(config, stored)
    if lines:
        raise UsageError(
            f'--model_dir: "{model_dir}" holds a run with another configuration '
            "(theirs -> yours):\n  " + "\n  ".join(lines) + "\n"
            "Use the same configuration to continue it, or another --model_dir for a new run."
        )


def claim_model_dir(model_dir: str, config: config_lib.ExperimentConfig) -> None:
    """Makes model_dir and writes the configuration, once nothing more can be wrong with it.

    Raises:
        UsageError: the folder cannot be made.
        RunError: the file cannot be written.
    """
    try:
        tf.io.gfile.makedirs(model_dir)
    except (tf.errors.OpError, OSError) as error:
        raise UsageError(
            f'--model_dir: "{model_dir}" cannot be written: {first_line(error)}. '
            "Give a folder that you may write to."
        ) from error
    # What was accepted once is not accepted for ever.
    stored = {**config_lib.to_dict(config), "data.accept_changes": False}
    write_json(os.path.join(model_dir, "config.json"), stored)


def _stored_name(key: str) -> str | None:
    """The name of a variable as we gave it, from TensorFlow's key; None for its bookkeeping."""
    if not (key.startswith(_PREFIX) and key.endswith(_SUFFIX)):
        return None
    escaped = key.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    return escaped.replace(".S", "/").replace("..", ".")


def restore_variables(path: str, variables: Mapping[str, Any], table: str = "") -> None:
    """Sets every variable from the one of its name in a checkpoint, or none.

    Args:
        variables: by the names of `TrainState.named_variables`.
        table: begin of the names that must be there and no others ("average/"); "": all.

    Raises:
        UnreadableCheckpoint: it is damaged.
        UsageError: it is of another model; the message lists the differences.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        shapes = reader.get_variable_to_shape_map()
        keys = {_stored_name(key) or "": key for key in shapes}
        keys = {name: key for name, key in keys.items() if name and name.startswith(table)}
        lines = _differences(variables, {name: shapes[key] for name, key in keys.items()})
        values = {} if lines else {name: reader.get_tensor(key) for name, key in keys.items()}
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a file cut off
        raise UnreadableCheckpoint(
            f'the checkpoint "{path}" cannot be read: {first_line(error)}.'
        ) from error
    if lines:
        shown = "\n  ".join(lines[:_SHOWN])
        more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise UsageError(
            f'the checkpoint "{path}" is of another model, {len(lines)} differences:\n  '
            f"{shown}{more}\nUse the model it was made with, or another --model_dir."
        )
    for name, variable in variables.items():
        variable.assign(values[name])


def _differences(variables: Mapping[str, Any], stored: Mapping[str, list[int]]) -> list[str]:
    lines = []
    for name, variable in variables.items():
        if name not in stored:
            lines.append(f"{name}: not in the checkpoint")
        elif tuple(stored[name]) != tuple(variable.shape):
            lines.append(
                f"{name}: shape {tuple(stored[name])} in the checkpoint, "
                f"{tuple(variable.shape)} here"
            )
    return lines + [f"{name}: not in this model" for name in stored if name not in variables]


class Checkpointer:
    """Saves a state into model_dir and restores it strictly: every variable, no leftovers.

    Args:
        workers: of a run of several processes: all of them save together, the chief writes.
    """

    def __init__(
        self, model_dir: str, state: TrainState, keep: int, workers: Workers | None = None
    ) -> None:
        self._model_dir = model_dir
        self._keep = keep
        self._workers = workers
        self._variables = state.named_variables()
        self._holder = tf.train.Checkpoint(variables=self._variables)

    @property
    def newest(self) -> str | None:
        """Path of the newest complete checkpoint."""
        return next(iter(checkpoint_files.saved(self._model_dir, NEWEST)), None)

    @property
    def best(self) -> str | None:
        """Path of the checkpoint with the best minival top-1."""
        return next(iter(checkpoint_files.saved(self._model_dir, BEST)), None)

    def save(self, step: int) -> str:
        """The path of what was written, as `newest`."""
        return self._save(NEWEST, step, self._keep)

    def save_best(self, step: int) -> str:
        """The path of what was written, as `best`."""
        return self._save(BEST, step, 1)

    def _save(self, folder: str, step: int, keep: int) -> str:
        folder = os.path.join(self._model_dir, folder)
        path = os.path.join(folder, f"ckpt-{step}")
        if self._workers is None or self._workers.is_chief:
            try:
                tf.io.gfile.makedirs(folder)
                self._holder.write(path)
                checkpoint_files.rotate(folder, step, keep)
            except (tf.errors.OpError, OSError) as error:
                last = self.newest or "none"
                raise RunError(
                    f'the checkpoint of step {step} could not be written to "{self._model_dir}": '
                    f"{first_line(error)}. Is the disk full?\nThe last good checkpoint is {last}; "
                    "start the same command again to go on from there."
                ) from error
        if self._workers is not None:
            self._workers.wait()
        return path

    def restore(self, path: str) -> None:
        """Sets every variable of the state from a checkpoint, or none; see `restore_variables`."""
        restore_variables(path, self._variables)
