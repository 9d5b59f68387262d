"""Reads every image of a data set: a table of what is there, what is broken and what is odd.

python scripts/check_data.py --source=folder:photos

Exit code 0: everything can be used (there may be warnings). 1: something is broken. 2: wrong use.
"""

import sys

from absl import app, flags

from efficientnet_tf.errors import RunError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import exit_code

_SOURCE = flags.DEFINE_string("source", "digits", "as config.data.source: folder:PATH, tfds:NAME")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "where the source's files are, if it needs that")
_SPLITS = flags.DEFINE_list("splits", None, "of train,minival,test; default: all there are")
_LIMIT = flags.DEFINE_integer("limit", None, "images of a split; default: all", lower_bound=1)
_LISTED = flags.DEFINE_integer("listed", 100, "unusable images that are named", lower_bound=1)
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 0, "if no manifest says so; 0: 1000")


def run() -> list[str]:
    """Prints the table and the warnings; what is broken."""
    start_tensorflow()
    from efficientnet_tf.data.prepare.scan import scan, table, warnings
    from efficientnet_tf.data.sources import manifest
    from efficientnet_tf.data.sources.by_name import load_source

    source = load_source(_SOURCE.value, _DATA_DIR.value, num_classes=_NUM_CLASSES.value)
    there = [split for split in manifest.PREFIXES if source.num_examples.get(split)]
    reports = [scan(source, split, _LIMIT.value) for split in _SPLITS.value or there]
    print(table(reports))
    for warning in warnings(reports):
        print(f"warning: {warning}")
    broken = [line for report in reports for line in report.broken]
    stored = manifest.read(_DATA_DIR.value) if _DATA_DIR.value else None
    if stored is not None:
        try:
            manifest.verify(stored, _DATA_DIR.value, checksums=True)
            print(f"all files are as {manifest.MANIFEST} says")
        except RunError as error:
            broken.insert(0, str(error))
    for line in broken[: _LISTED.value]:
        print(f"broken: {line}")
    if len(broken) > _LISTED.value:
        print(f"broken: and {len(broken) - _LISTED.value} more")
    return broken


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument "{argv[1]}"')
    sys.exit(exit_code(lambda: 1 if run() else 0))


if __name__ == "__main__":
    app.run(main)
