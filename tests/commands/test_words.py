"""Every word of the one command: its file, its help, its answer to a misspelt flag."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf.commands import command_line
from efficientnet_tf.commands.flag_groups import FlagGroups

ROOT = Path(__file__).parents[2]
COMMANDS = ROOT / "efficientnet_tf" / "commands"
# What is shared by the words' files, and no word.
SHARED = {"__init__", "command_line", "experiment_flags", "flag_groups", "shared_flags"}


def flags_of(name: str) -> list[str]:
    take = FlagGroups()
    command_line.word_of(name).take_flags(take)
    return [*take.names, *(["config"] if take.wants_experiment else [])]


HAVE_FLAGS = [name for name in command_line.WORDS if flags_of(name)]
# All command lines in one process, for none of them may start a framework.
PROGRAM = """
import contextlib, io, json, sys
from efficientnet_tf.commands import command_line
answers = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["main.py", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command_line.main(sys.argv)
    loaded = [name for name in ("tensorflow", "keras", "jax") if name in sys.modules]
    answers.append([code, out.getvalue(), err.getvalue(), loaded])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Any]:
    """Exit code, output, errors and frameworks in memory after --help and a misspelt flag."""
    helps = [(name, "--help") for name in command_line.WORDS]
    misspelt = [
        (name, f"--{flags_of(name)[0]}x=1") for name in command_line.WORDS if flags_of(name)
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([*helps, *misspelt])],
        cwd=tmp_path_factory.mktemp("words"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip([*helps, *misspelt], json.loads(done.stdout), strict=True))


def test_every_word_has_a_file_under_80_lines_and_every_file_is_a_word() -> None:
    files = {path.stem: path.read_text().count("\n") for path in COMMANDS.glob("*.py")}
    words = {name.replace("-", "_") for name in command_line.WORDS}
    assert set(files) - SHARED == words
    assert {name: lines for name, lines in files.items() if name in words and lines >= 80} == {}


@pytest.mark.parametrize("name", command_line.WORDS)
def test_help_says_what_it_does_and_each_flag_once(name: str, answers: Any) -> None:
    code, out, err, loaded = answers[name, "--help"]
    assert (code, err, loaded) == (0, "", [])
    word = command_line.word_of(name)
    assert out.startswith(word.doc)
    command = "python main.py" if name == "train" else f"python main.py {name}"
    assert f"\n{command}" in word.doc
    if word.reads_flags:
        return  # it names the word whose flags it has
    lines = out.splitlines()
    for flag in flags_of(name):
        assert sum(line.startswith(f"  --{flag} ") for line in lines) == 1, flag


@pytest.mark.parametrize("name", HAVE_FLAGS)
def test_a_misspelt_flag_is_one_message_with_the_nearest_name(name: str, answers: Any) -> None:
    flag = flags_of(name)[0]
    code, out, err, loaded = answers[name, f"--{flag}x=1"]
    assert (code, loaded) == (2, [])
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    word = command_line.word_of(name)
    if word.passes_on:
        return  # the flag may be that of another word
    assert err.startswith(f"error: unknown flag --{flag}x. Did you mean ")
    assert f'"{flag}"' in err
    if not word.reads_flags:
        assert out == ""
