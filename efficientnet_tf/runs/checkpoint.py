"""Saving and resuming a run: its checkpoints, the best one, and the copy of its configuration.

In model_dir:
    config.json               the resolved configuration, written once
    classes.json              how many classes the network tells apart, and their names
    checkpoints/ckpt-<step>   the newest few, everything that training changes
    best/ckpt-<step>          the one with the best minival top-1
Variables carry readable names ("weights/stem_conv/kernel", "average/...", "step").

Order of precedence on start: a checkpoint in model_dir continues that run; without one the run
starts from the weights of `init_from`, or from scratch. TensorFlow writes a checkpoint to temporary
files, renames them and only then points the file `checkpoint` at it, so a killed process leaves the
previous one in force.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.storage.files import read_bytes, read_json, write_json
from efficientnet_tf.training.multi_worker import Workers
from efficientnet_tf.training.state import TrainState

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_PREFIX = "variables/"
_SHOWN = 8
_NEWEST = "checkpoints"


def check_model_dir(model_dir: str, config: config_lib.ExperimentConfig) -> None:
    """Checks that model_dir is new or holds a run of the same configuration; writes nothing.

    Raises:
        UsageError: the folder cannot be read, or holds a run of another configuration.
    """
    path = os.path.join(model_dir, "config.json")
    try:
        stored = read_json(path) if tf.io.gfile.exists(path) else {}
        if not isinstance(stored, dict):
            raise ValueError(f"expected an object, received {stored!r}")
    except (tf.errors.OpError, OSError) as error:
        raise UsageError(
            f'--model_dir: "{model_dir}" cannot be read: {first_line(error)}.'
        ) from error
    except ValueError as error:  # no JSON, no text at all, or JSON of something else
        raise UsageError(
            f'--model_dir: "{path}" holds no configuration ({error}); the run there cannot be '
            "resumed. Give another folder."
        ) from error
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
        UsageError: the folder cannot be written.
    """
    try:
        tf.io.gfile.makedirs(model_dir)
        # What was accepted once is not accepted for ever.
        stored = {**config_lib.to_dict(config), "data.accept_changes": False}
        write_json(os.path.join(model_dir, "config.json"), stored)
    except (tf.errors.OpError, OSError) as error:
        raise UsageError(
            f'--model_dir: "{model_dir}" cannot be written: {first_line(error)}. '
            "Give a folder that you may write to."
        ) from error


def write_classes(model_dir: str, num_classes: int, class_names: Sequence[str] | None) -> None:
    """Writes classes.json, so that a run can be used where its data set is not."""
    names = None if class_names is None else list(class_names)
    content = {"num_classes": num_classes, "class_names": names}
    write_json(os.path.join(model_dir, "classes.json"), content)


def read_classes(model_dir: str) -> tuple[int, tuple[str, ...] | None] | None:
    """Number and names of the classes of a run; None if it is older than classes.json.

    Raises:
        UsageError: the file cannot be understood.
    """
    path = os.path.join(model_dir, "classes.json")
    if not tf.io.gfile.exists(path):
        return None
    try:
        content = json.loads(read_bytes(path))
        number, names = int(content["num_classes"]), content["class_names"]
        if names is not None and len(names) != number:
            raise ValueError(f"{number} classes, {len(names)} names")
        return number, None if names is None else tuple(names)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f'--model_dir: "{path}" does not say the classes of the run ({error}). Remove it: they '
            "are then read from its checkpoint and its data set."
        ) from error


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
        UsageError: it is unreadable or of another model; the message lists the differences.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        shapes = reader.get_variable_to_shape_map()
        keys = {_stored_name(key) or "": key for key in shapes}
        keys = {name: key for name, key in keys.items() if name and name.startswith(table)}
        lines = _differences(variables, {name: shapes[key] for name, key in keys.items()})
        values = {} if lines else {name: reader.get_tensor(key) for name, key in keys.items()}
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a file cut off
        raise UsageError(
            f'the checkpoint "{path}" cannot be read: {first_line(error)}. '
            "Remove it to go on from an older one, or use another --model_dir."
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


def newest_checkpoint(model_dir: str) -> str | None:
    """Path of the checkpoint that a run in model_dir would go on from."""
    return tf.train.latest_checkpoint(os.path.join(model_dir, _NEWEST))


class Checkpointer:
    """Saves a state into model_dir and restores it strictly: every variable, no leftovers.

    Args:
        workers: of a run of several processes: all of them save together, the chief writes.
    """

    def __init__(
        self, model_dir: str, state: TrainState, keep: int, workers: Workers | None = None
    ) -> None:
        self._model_dir = model_dir
        self._workers = workers
        self._variables = state.named_variables()
        holder = tf.train.Checkpoint(variables=self._variables)
        self._newest = tf.train.CheckpointManager(
            holder, os.path.join(model_dir, _NEWEST), max_to_keep=keep
        )
        self._best = tf.train.CheckpointManager(
            holder, os.path.join(model_dir, "best"), max_to_keep=1
        )

    @property
    def newest(self) -> str | None:
        """Path of the newest complete checkpoint."""
        return newest_checkpoint(self._model_dir)

    @property
    def best(self) -> str | None:
        """Path of the checkpoint with the best minival top-1."""
        return tf.train.latest_checkpoint(self._best.directory)

    def save(self, step: int) -> str | None:
        """The path of what was written, as `newest`."""
        self._save(self._newest, step)
        return self.newest

    def save_best(self, step: int) -> str | None:
        """The path of what was written, as `best`."""
        self._save(self._best, step)
        return self.best

    def _save(self, manager: tf.train.CheckpointManager, step: int) -> None:
        if self._workers is None or self._workers.is_chief:
            self._write(manager, step)
        if self._workers is not None:
            self._workers.wait()

    def _write(self, manager: tf.train.CheckpointManager, step: int) -> None:
        try:
            manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            last = self.newest or "none"
            raise RunError(
                f'the checkpoint of step {step} could not be written to "{self._model_dir}": '
                f"{first_line(error)}. Is the disk full? The last good checkpoint is {last}; "
                "start the same command again to go on from there."
            ) from error

    def restore(self, path: str) -> None:
        """Sets every variable of the state from a checkpoint, or none.

        Raises:
            UsageError: it is unreadable or of another model; the message lists the differences.
        """
        restore_variables(path, self._variables)
