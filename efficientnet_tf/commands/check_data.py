"""Reads every image of a data set and prints what is there, what is broken and what is odd.

python main.py check-data --source=folder:photos

Exit code 0: everything can be used (there may be warnings). 1: something is broken. 2: wrong use.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import refuse_arguments, take_source, take_splits


def take_flags(take: FlagGroups) -> None:
    take_source(take)
    take_splits(take)
    take.whole("limit", None, "number of images to read of each split; default: all", low=1)
    take.whole("listed", 100, "number of unusable images to name", low=1)


def run(given: SimpleNamespace) -> int:
    refuse_arguments(given)
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.data.prepare.scan import changed_files, scan, table, warnings
    from efficientnet_tf.data.sources.by_name import load_source
    from efficientnet_tf.data.sources.manifest import PREFIXES

    source = load_source(
        given.source,
        given.data_dir,
        num_classes=given.classes,
        label_offset=given.label_offset,
    )
    there = [split for split in PREFIXES if source.num_examples.get(split)]
    reports = [scan(source, split, given.limit) for split in given.splits or there]
    print(table(reports))
    for warning in warnings(reports):
        print(f"warning: {warning}")
    broken = changed_files(given.data_dir, print) if given.data_dir else []
    broken += [line for report in reports for line in report.broken]
    for line in broken[: given.listed]:
        print(f"broken: {line}")
    if len(broken) > given.listed:
        print(f"broken: and {len(broken) - given.listed} more")
    return 1 if broken else 0
