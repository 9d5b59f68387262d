"""Makes the report of a run again: report.html in its model_dir, one file that needs no other.

python main.py report --model_dir=runs/digits
python main.py report --model_dir=gs://bucket/run --nopictures

A run writes it at its end; this is for older runs, and after files have changed. Pictures need the
run's data (TFDS fetches a set that is not there) and checkpoint; where these are missing the page
says so. Exit code 0: written. 1: it could not be written. 2: wrong use.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError

NEEDS = ("jinja2", "matplotlib", "PIL")


def take_flags(take: FlagGroups) -> None:
    take.text("model_dir", None, "folder of the run")
    take.text("model", None, "file.py:NAME once more, if the run is of a network of your own")
    take.switch("pictures", True, "read the data and the checkpoint, and show images")


def run(given: SimpleNamespace) -> None:
    if given.arguments:
        raise UsageError(
            f'unexpected argument "{given.arguments[0]}": give the run as --model_dir=RUN.'
        )
    if not given.model_dir:
        raise UsageError("--model_dir is missing: give the --model_dir of a run of main.py.")
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.report.write import write_report

    print(f"report: {write_report(given.model_dir, with_pictures=given.pictures)}")
