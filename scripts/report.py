"""Makes the report of a run again: report.html in its model_dir, one file that needs no other.

python scripts/report.py --model_dir=runs/digits
python scripts/report.py --model_dir=gs://bucket/run --nopictures

A run writes it at its end; this is for older runs, and after files have changed. Pictures need the
run's data (TFDS fetches a set that is not there) and checkpoint; where these are missing the page
says so. Exit code 0: written. 1: it could not be written. 2: wrong use.
"""

import sys

from absl import app, flags

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import exit_code

_MODEL_DIR = flags.DEFINE_string("model_dir", None, "of a run of main.py")
_PICTURES = flags.DEFINE_boolean("pictures", True, "read data and checkpoint, and show images")


def run(argv: list[str]) -> None:
    if len(argv) > 1:
        raise UsageError(f'unexpected argument "{argv[1]}": give the run as --model_dir=RUN.')
    if not _MODEL_DIR.value:
        raise UsageError("--model_dir is missing: give the --model_dir of a run of main.py.")
    start_tensorflow()
    from efficientnet_tf.report.write import write_report

    print(f"report: {write_report(_MODEL_DIR.value, with_pictures=_PICTURES.value)}")


if __name__ == "__main__":
    app.run(lambda argv: sys.exit(exit_code(lambda: run(argv))))
