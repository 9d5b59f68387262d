"""Puts runs side by side: what differs in their configurations, what came out, how long it took.

python main.py compare runs/a runs/b
python main.py compare runs/a runs/b runs/c --output=comparison.html

It prints a table; --output writes it as one HTML file, too, with the curves laid over each other.
Exit code 0: done. 1: the file cannot be written. 2: wrong use, such as a folder that is no run.
"""

from pathlib import Path
from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import RunError

NEEDS = ("jinja2", "matplotlib")


def take_flags(take: FlagGroups) -> None:
    take.text("output", None, "HTML file to write")


def run(given: SimpleNamespace) -> None:
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.report import comparison

    runs = comparison.read_runs(given.arguments)
    print(comparison.text(runs))
    if given.output:
        try:
            Path(given.output).write_text(comparison.html(runs), encoding="utf-8")
        except OSError as error:
            raise RunError(
                f'--output: "{given.output}" cannot be written: {error.strerror}. Give a file in '
                "a folder that is there."
            ) from error
        print(f"\ncomparison: {given.output}")
