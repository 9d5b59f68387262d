"""Puts runs side by side: what differs in their configurations, what came out, how long it took.

python main.py compare runs/a runs/b
python main.py compare runs/a runs/b runs/c --output=comparison.html

It prints a table; --output writes it as one HTML file, too, with the curves laid over each other.
Exit code 0: done. 1: writing failed. 2: wrong use, such as a folder that is no run.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.storage.files import check_writable, write_text

NEEDS = ("jinja2", "matplotlib")


def take_flags(take: FlagGroups) -> None:
    take.text("output", None, "HTML file to write")


def run(given: SimpleNamespace) -> None:
    if given.output:
        check_writable("--output", given.output)
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.report import comparison

    runs = comparison.read_runs(given.arguments)
    print(comparison.text(runs), flush=True)
    if given.output:
        write_text(given.output, comparison.html(runs))
        print(f"\ncomparison: {given.output}")
