"""Makes the paper's tables and figures again: its numbers, ours beside them, and the difference.

python scripts/reproduce.py table3 table7
python scripts/reproduce.py all --output_dir=runs/reproduce --results=runs/digits/results.jsonl

Names: table1 table2 table3 table7 table5 figure1 figure3 figure4 figure5 figure8 figure6, or all.
Tables become Markdown and CSV, figures PNG, SVG and the CSV of their points. table2, figure1 and
figure5 build networks of keras.applications: half a minute. --results may be given several times;
docs/scaling.md says what is in such a file. table5 and figure6 take runs of ours on the data sets
of Table 6 instead: --run=MODEL_DIR, which may be given several times.
Exit code 0: fine. 1: a file could not be written. 2: wrong use.
"""

import sys

from absl import app, flags

from efficientnet_tf.errors import RunError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.reproduce.products import BUILDS_KERAS, chosen, reproduce
from efficientnet_tf.terminal.exit_codes import exit_code

_OUTPUT_DIR = flags.DEFINE_string("output_dir", "runs/reproduce", "where the files are written")
_RESULTS = flags.DEFINE_multi_string("results", [], "JSON lines of runs of ours; may be repeated")
_RUN = flags.DEFINE_multi_string("run", [], "model_dir of a transfer run; may be repeated")


def run(names: list[str]) -> None:
    if set(chosen(names)) & set(BUILDS_KERAS):
        start_tensorflow()
    try:
        for text in reproduce(names, _OUTPUT_DIR.value, _RESULTS.value, _RUN.value):
            print(text, flush=True)
    except OSError as error:
        raise RunError(f"{_OUTPUT_DIR.value}: {error}") from error


def main(argv: list[str]) -> None:
    sys.exit(exit_code(lambda: run(argv[1:])))


if __name__ == "__main__":
    app.run(main)
