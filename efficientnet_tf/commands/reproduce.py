"""Makes the paper's tables and figures again: its numbers, ours beside them, and the difference.

python main.py reproduce table3 table7
python main.py reproduce all --output_dir=runs/reproduce --results=runs/digits/results.jsonl

A name is one of table1 table2 table3 table7 table5 figure1 figure3 figure4 figure5 figure8 figure6,
or all. Tables become Markdown and CSV, figures PNG, SVG and the CSV of their points. table2,
figure1 and figure5 build networks of keras.applications, which takes half a minute. --results may
be given several times; docs/scaling.md says what is in such a file. table5 and figure6 take runs of
ours on the data sets of Table 6 instead: --run=MODEL_DIR, which may be given several times. Exit
code 0: fine. 1: a file could not be written. 2: wrong use.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import RunError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.reproduce.products import BUILDS_KERAS, chosen, reproduce


def take_flags(take: FlagGroups) -> None:
    take.text("output_dir", "runs/reproduce", "folder that the files are written to")
    take.repeated("results", "file with results of our runs, as JSON lines; may be repeated")
    take.repeated("run", "folder of a fine-tuning run; may be repeated")


def run(given: SimpleNamespace) -> None:
    if set(chosen(given.arguments)) & set(BUILDS_KERAS):
        start_tensorflow()
    try:
        for text in reproduce(given.arguments, given.output_dir, given.results, given.run):
            print(text, flush=True)
    except OSError as error:
        raise RunError(f"{given.output_dir}: {error}") from error
