"""Makes the report of a run again: report.html in its model_dir, one file that needs no other.

python main.py report --model_dir=runs/digits
python main.py report --model_dir=gs://bucket/run --nopictures

A run writes it at its end; this is for older runs, and after files have changed. Pictures need the
run's checkpoint and its data (TFDS fetches a set that is not there); where these are missing the
page says so. A run may come from elsewhere: files that its configuration names as its data are
opened only if --source or --data_dir names them here. Exit code 0: written. 1: writing failed. 2:
wrong use.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError

NEEDS = ("jinja2", "matplotlib", "PIL")


def take_flags(take: FlagGroups) -> None:
    take.text("model_dir", None, "folder of the run")
    take.text("model", None, "file.py:NAME once more, if the run is of a network of your own")
    take.text("source", None, "the run's data, folder:DIR or csv:FILE, which may have moved")
    take.text("data_dir", None, "the folder of the run's data, which may have moved")
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
    from efficientnet_tf.report.write import unnamed_data, write_report
    from efficientnet_tf.runs.stored_config import read_config

    flags = {"source": given.source, "data_dir": given.data_dir}
    named = {name: value for name, value in flags.items() if value}
    path = write_report(given.model_dir, with_pictures=given.pictures, named=named)
    print(f"report: {path}")
    flag = unnamed_data(read_config(given.model_dir), named)
    if given.pictures and flag:
        print(f"without pictures: the run's data is opened only if you name it: {flag}")
