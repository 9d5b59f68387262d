"""Output that is closed or lost, or cannot show a character: no computation depends on it."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from efficientnet_tf.terminal.lasting import lasting

ROOT = Path(__file__).parents[2]
# Prints more than a pipe holds, like a run, and then says on a file that it came to its end.
SCRIPT = """
import sys
from efficientnet_tf.terminal.lasting import lasting, open_closed_streams
from efficientnet_tf.terminal.progress import TerminalBar
open_closed_streams()
with lasting():
    bar = TerminalBar(sys.stdout, total=3)
    for _ in range(30_000):
        bar.say("a line")
    print("another", file=sys.stderr, flush=True)
    bar.close()
with open(sys.argv[1], "w") as file:
    print("done", file.fileno(), file=file)
"""


@pytest.mark.parametrize(
    "shell", ["{} | head -1", "{} 2>&1 | head -1", "{} >&-", "{} <&- >&- 2>&-"]
)
def test_a_command_outlives_who_reads_it(tmp_path: Path, shell: str) -> None:
    file = tmp_path / "end"
    command = f"{sys.executable} -c '{SCRIPT}' {file}"
    line = f"set -o pipefail; {shell.format(command)}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)
    said, number = file.read_text().split()
    assert (done.returncode, said) == (0, "done"), done.stderr
    assert int(number) > 2, "what was opened is not taken for standard output"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_full_disk_under_a_log_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with lasting():
        print("a line", flush=True)
        print("a line", file=sys.stderr, flush=True)
    assert isinstance(sys.stdout, Full)


def test_characters_that_a_terminal_cannot_show_are_escaped() -> None:
    script = (
        "from efficientnet_tf.commands import command_line; command_line.main(['x', 'caf\\u2615'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert b'unknown word "caf\\u2615"' in done.stderr
