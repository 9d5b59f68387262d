"""Checkpoints: everything comes back to the last bit, or nothing does and the message says why."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.config import ExperimentConfig, finish, to_dict
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.runs import checkpoint_files
from efficientnet_tf.runs.checkpoint import (
    Checkpointer,
    check_model_dir,
    claim_model_dir,
)
from efficientnet_tf.runs.data_record import read_classes, write_classes
from efficientnet_tf.training.state import TrainState


def fill(state: TrainState, seed: int = 5) -> dict[str, np.ndarray]:
    """Gives every variable a value of its own, and returns the values."""
    chance = np.random.RandomState(seed)
    filled = {}
    for name, variable in state.named_variables().items():
        value = np.asarray(chance.standard_normal(variable.shape) * 1e3)
        filled[name] = value.astype(variable.dtype.as_numpy_dtype)
        variable.assign(filled[name])
    return filled


def values(state: TrainState) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in state.named_variables().items()}


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture
def saved(tmp_path: Path, tiny_state: Any) -> tuple[str, dict[str, np.ndarray]]:
    """Path of a checkpoint of the tiny network, and the values in it."""
    state = tiny_state()
    filled = fill(state)
    return Checkpointer(str(tmp_path), state, keep=3).save(7), filled


def test_every_variable_comes_back_to_the_last_bit(
    tmp_path: Path, tiny_state: Any, saved: Any
) -> None:
    path, filled = saved
    state = tiny_state(seed=1)
    checkpointer = Checkpointer(str(tmp_path), state, keep=3)
    assert checkpointer.newest == path
    checkpointer.restore(path)
    assert_equal(values(state), filled)
    assert len(filled) > 100


def test_the_names_can_be_read_by_people(saved: Any) -> None:
    stored = [name for name, _ in tf.train.list_variables(saved[0])]
    ours = [name for name in stored if name.startswith("variables/")]
    assert len(ours) == len(saved[1])
    assert "variables/weights.Sstem_conv.Skernel/.ATTRIBUTES/VARIABLE_VALUE" in ours
    assert "variables/step/.ATTRIBUTES/VARIABLE_VALUE" in ours


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 4)])
def test_another_number_of_replicas_takes_it(
    tmp_path: Path, tiny_state: Any, replicas: Any, before: int, after: int
) -> None:
    state = tiny_state(replicas(before))
    filled = fill(state)
    path = Checkpointer(str(tmp_path), state, keep=1).save(1)
    restored = tiny_state(replicas(after), seed=1)
    Checkpointer(str(tmp_path), restored, keep=1).restore(path)
    for name, variable in restored.named_variables().items():
        copies = replicas(after).experimental_local_results(variable)
        assert len(copies) == after
        for copy in copies:
            np.testing.assert_array_equal(copy, filled[name], err_msg=name)


def refusal(tmp_path: Path, state: TrainState, path: str) -> str:
    """The message with which `path` is refused; the state must be as before."""
    before = values(state)
    with pytest.raises(UsageError) as caught:
        Checkpointer(str(tmp_path), state, keep=3).restore(path)
    assert_equal(values(state), before)
    return str(caught.value)


def test_other_shapes_are_refused_and_listed(tmp_path: Path, tiny_state: Any, saved: Any) -> None:
    message = refusal(tmp_path, tiny_state(classes=12), saved[0])
    # kernel and bias, each as weight, mean square, momentum and average
    assert f'"{saved[0]}" is of another model, 8 differences' in message
    assert "weights/predictions/bias: shape (10,) in the checkpoint, (12,) here" in message
    assert "another --model_dir" in message


def test_differences_are_listed_both_ways(tmp_path: Path, tiny_state: Any, saved: Any) -> None:
    message = refusal(tmp_path, tiny_state(with_average=False), saved[0])
    assert re.search(r"average/\S+: not in this model", message)
    assert "not in the checkpoint" not in message
    state = tiny_state(with_average=False)
    path = Checkpointer(str(tmp_path / "other"), state, keep=3).save(1)
    message = refusal(tmp_path / "other", tiny_state(), path)
    assert re.search(r"average/\S+: not in the checkpoint", message)
    assert "not in this model" not in message


def test_many_differences_are_counted(tmp_path: Path, tiny_state: Any, saved: Any) -> None:
    message = refusal(tmp_path, tiny_state(width_coefficient=1.0), saved[0])
    count = int(re.search(r"(\d+) differences", message)[1])
    lines = message.splitlines()
    assert len(lines) == 1 + 8 + 1 + 1
    assert lines[9].strip() == f"and {count - 8} more"


def _truncate(path: str, ending: str) -> None:
    file = path + ending
    os.truncate(file, os.path.getsize(file) // 2)


def _flip(path: str, ending: str) -> None:
    content = bytearray(Path(path + ending).read_bytes())
    content[len(content) // 2] ^= 0xFF
    Path(path + ending).write_bytes(content)


DATA = ".data-00000-of-00001"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: _truncate(path, DATA),
        lambda path: _truncate(path, ".index"),
        lambda path: _flip(path, DATA),
        lambda path: os.remove(path + DATA),
        lambda path: os.remove(path + ".index"),
    ],
    ids=["data cut", "index cut", "data flipped", "data lost", "index lost"],
)
def test_damaged_checkpoints_are_refused(
    tmp_path: Path, tiny_state: Any, saved: Any, damage: Callable[[str], None]
) -> None:
    path, _ = saved
    state = tiny_state()
    damage(path)
    message = refusal(tmp_path, state, path)
    assert f'the checkpoint "{path}" cannot be read: ' in message
    assert "\n" not in message
    # Whoever asks for the newest is told what to do; an index that is lost hides the rest.
    older = Checkpointer(str(tmp_path), state, keep=3).save(5)
    paths = [path, older]
    said: list[str] = []
    restore = Checkpointer(str(tmp_path), tiny_state(), keep=3).restore
    checkpoint_files.first_readable(paths, restore, said.append)
    (line,) = said
    assert line == f"warning: {message} Taken in its place: {older}"
    assert set(checkpoint_files.saved(str(tmp_path), "checkpoints")) <= set(paths)
    with pytest.raises(UsageError, match=r"cannot be read: .*\nNo other .*--start_anew, which"):
        checkpoint_files.first_readable(paths[:1], restore, said.append)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\0garbage", b'model_checkpoint_path: "c'])
def test_the_file_that_names_the_newest_is_not_needed(
    tmp_path: Path, tiny_state: Any, content: bytes | None
) -> None:
    state = tiny_state()
    checkpointer = Checkpointer(str(tmp_path), state, keep=2)
    for step in (10, 20, 30):
        checkpointer.save(step)
    file = tmp_path / "checkpoints" / "checkpoint"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    again = Checkpointer(str(tmp_path), state, keep=2)
    assert again.newest == str(tmp_path / "checkpoints" / "ckpt-30")
    # A run that goes on from an older one keeps it until the next is whole, and its own newest.
    again.save(25)
    steps = sorted(path.stem for path in file.parent.glob("*.index"))
    assert steps == ["ckpt-20", "ckpt-25", "ckpt-30"]
    assert tf.train.latest_checkpoint(str(file.parent)) == str(file.parent / "ckpt-25")


@pytest.mark.parametrize(
    ("files", "begins"),
    [
        ({}, True),
        ({"history.jsonl": '{"step": 3}\n', "timing.jsonl": ""}, True),  # killed before the first
        ({"history.jsonl": '{"step": 3}\n'}, False),  # of an older version, which says no more
        ({"timing.jsonl": '{"step": 3, "seconds/checkpoint": 1}\n'}, False),
        ({"history.jsonl": "", "timing.jsonl": "\udcff"}, False),  # nobody knows
    ],
)
def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(
    tmp_path: Path, files: dict[str, str], begins: bool
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content, errors="surrogateescape")
    if begins:
        checkpoint_files.check_not_begun(str(tmp_path))
        return
    with pytest.raises(UsageError, match=r"\n.*--start_anew, which moves"):
        checkpoint_files.check_not_begun(str(tmp_path))
    folder = checkpoint_files.set_aside(str(tmp_path))
    assert folder == str(tmp_path / "earlier-1")
    assert {name: (tmp_path / "earlier-1" / name).exists() for name in files} == dict.fromkeys(
        files, True
    )
    checkpoint_files.check_not_begun(str(tmp_path))
    assert checkpoint_files.set_aside(str(tmp_path)) is None


def test_what_killed_processes_left_is_removed(tmp_path: Path, tiny_state: Any) -> None:
    Checkpointer(str(tmp_path), tiny_state(), keep=2).save(5)
    folder = tmp_path / "checkpoints"
    whole = {path.name for path in folder.iterdir()}
    (folder / "ckpt-9_temp").mkdir()
    (folder / "ckpt-9_temp" / "part-00000-of-00001.index").touch()
    for name in ("checkpoint.tmp123", "ckpt-9.index.tempstate4"):
        (folder / name).touch()
    dead = subprocess.Popen(["true"])
    dead.wait()
    ours = [tmp_path / f".{dead.pid}.config.json", tmp_path / f".{os.getppid()}.evaluation.json"]
    mine = [tmp_path / "notes.tmp", tmp_path / "x_temp", tmp_path / ".env"]
    for path in (*ours, *mine):
        path.touch()
    checkpoint_files.remove_unfinished(str(tmp_path))
    assert {path.name for path in folder.iterdir()} == whole
    assert [path.exists() for path in ours] == [False, True]
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize("names", [None, ("cat", "dög")])
def test_the_classes_of_a_run_come_back(tmp_path: Path, names: tuple[str, ...] | None) -> None:
    assert read_classes(str(tmp_path)) is None  # a run that is older than the file
    write_classes(str(tmp_path), 2, names)
    assert read_classes(str(tmp_path)) == (2, names)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"num_classes": 2, "class_names": ["cat"]}', '{"num_classes": []}']
)
def test_a_damaged_file_of_classes_is_one_message(tmp_path: Path, content: str) -> None:
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(UsageError, match=r"classes.json. ?(,|is|does) .*\nRemove it"):
        read_classes(str(tmp_path))


def test_the_newest_few_are_kept_and_the_best_besides(tmp_path: Path, tiny_state: Any) -> None:
    state = tiny_state()
    checkpointer = Checkpointer(str(tmp_path), state, keep=2)
    assert checkpointer.newest is None
    assert checkpointer.best is None
    for step in (10, 20, 30, 40):
        state.step.assign(step)
        checkpointer.save(step)
        if step < 30:
            checkpointer.save_best(step)

    def steps(folder: str) -> list[str]:
        return sorted(path.stem for path in (tmp_path / folder).glob("*.index"))

    assert steps("checkpoints") == ["ckpt-30", "ckpt-40"]
    assert steps("best") == ["ckpt-20"]
    assert checkpointer.newest == str(tmp_path / "checkpoints" / "ckpt-40")
    assert checkpointer.best == str(tmp_path / "best" / "ckpt-20")
    checkpointer.restore(checkpointer.best)
    assert state.step.numpy() == 20

    again = Checkpointer(str(tmp_path), state, keep=2)  # another process goes on
    assert (again.newest, again.best) == (checkpointer.newest, checkpointer.best)
    again.save(50)
    assert steps("checkpoints") == ["ckpt-40", "ckpt-50"]


@pytest.mark.parametrize("save_as", ["save", "save_best"])
def test_a_failed_write_names_the_last_good_checkpoint(
    tmp_path: Path, tiny_state: Any, monkeypatch: pytest.MonkeyPatch, save_as: str
) -> None:
    checkpointer = Checkpointer(str(tmp_path), tiny_state(), keep=3)
    path = checkpointer.save(5)

    def fail(self: Any, path: str) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device\nmore")

    monkeypatch.setattr(tf.train.Checkpoint, "write", fail)
    with pytest.raises(RunError) as caught:
        getattr(checkpointer, save_as)(10)
    message = str(caught.value)
    assert f'checkpoint of step 10 could not be written to "{tmp_path}"' in message
    assert "No space left on device. Is the disk full?" in message
    assert f"The last good checkpoint is {path}" in message


def test_a_first_write_that_fails_says_that_there_is_none(tmp_path: Path, tiny_state: Any) -> None:
    checkpointer = Checkpointer(str(tmp_path / "run"), tiny_state(), keep=3)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(RunError, match="The last good checkpoint is none"):
        checkpointer.save(5)


# config.json


def configured(**train: Any) -> ExperimentConfig:
    config = ExperimentConfig()
    for name, value in train.items():
        setattr(config.train, name, value)
    return finish(config)


def test_a_new_folder_gets_the_configuration(tmp_path: Path) -> None:
    model_dir = tmp_path / "a" / "b"
    config = configured(seed=3)
    check_model_dir(str(model_dir), config)
    assert not model_dir.parent.exists(), "a check writes nothing"
    claim_model_dir(str(model_dir), config)
    assert json.loads((model_dir / "config.json").read_text()) == to_dict(config)
    check_model_dir(str(model_dir), config)  # the same run goes on


def test_a_free_field_may_change_and_is_written_down(tmp_path: Path) -> None:
    claim_model_dir(str(tmp_path), configured(epochs=10.0))
    check_model_dir(str(tmp_path), configured(epochs=20.0))
    claim_model_dir(str(tmp_path), configured(epochs=20.0))
    assert json.loads((tmp_path / "config.json").read_text())["train.epochs"] == 20.0


def test_another_experiment_is_refused_with_the_differences(tmp_path: Path) -> None:
    claim_model_dir(str(tmp_path), configured())
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(UsageError) as caught:
        check_model_dir(str(tmp_path), configured(seed=3, global_batch_size=64, epochs=1.0))
    message = str(caught.value)
    assert f'"{tmp_path}" holds a run with another configuration' in message
    assert "\n  train.global_batch_size: 2048 -> 64\n  train.seed: 0 -> 3\n" in message
    assert "epochs" not in message
    assert "another --model_dir" in message
    assert (tmp_path / "config.json").read_text() == before


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for model_dir in (f"{tmp_path}/file/run", "/proc/run"):
        check_model_dir(model_dir, configured())
        with pytest.raises(UsageError, match=f'^--model_dir: "{model_dir}" cannot be written: '):
            claim_model_dir(model_dir, configured())


@pytest.mark.parametrize("content", [b"", b'{"train.seed": ', b"[]", b"\xff\xfe\0"])
def test_a_broken_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(
        UsageError, match=r"config.json\"( is empty|, line 1: ).*\nPut the file back"
    ):
        check_model_dir(str(tmp_path), configured())


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(
        UsageError, match=f'^--model_dir: "{tmp_path}/config.json" cannot be read: '
    ):
        check_model_dir(str(tmp_path), configured())
