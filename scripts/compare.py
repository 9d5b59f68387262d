"""Puts runs side by side: what differs in their configurations, what came out, how long it took.

python scripts/compare.py runs/a runs/b
python scripts/compare.py runs/a runs/b runs/c --output=comparison.html

Prints a table; --output writes it as one HTML file, too, with the curves laid over each other.
Exit code 0: done. 1: the file cannot be written. 2: wrong use, such as a folder that is no run.
"""

import sys
from pathlib import Path

from absl import app, flags

from efficientnet_tf.errors import RunError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import exit_code

_OUTPUT = flags.DEFINE_string("output", None, "an HTML file to write")


def run(model_dirs: list[str]) -> None:
    start_tensorflow()
    from efficientnet_tf.report import comparison

    runs = comparison.read_runs(model_dirs)
    print(comparison.text(runs))
    if _OUTPUT.value:
        try:
            Path(_OUTPUT.value).write_text(comparison.html(runs), encoding="utf-8")
        except OSError as error:
            raise RunError(
                f'--output: "{_OUTPUT.value}" cannot be written: {error.strerror}. Give a file in '
                "a folder that is there."
            ) from error
        print(f"\ncomparison: {_OUTPUT.value}")


if __name__ == "__main__":
    app.run(lambda argv: sys.exit(exit_code(lambda: run(argv[1:]))))
