"""Compiles the train, eval and serving functions of an experiment for a TPU, where there is none.

python main.py preflight --model=efficientnet-b4 --tpu_type=v5litepod-8 --global_batch_size=1024
python main.py preflight --model=efficientnet-b4 --tpu_type=v5litepod-8 --find_max_batch
python main.py preflight --all --csv=runs/tpu_batches.csv

It prints whether each function fits, its peak memory, operations, bytes and collectives, and which
limit of the chip binds. It needs Linux x86-64 and the extra [tpu-check]. Exit code 0: everything
fits; 1: something does not, or fails otherwise; 2: wrong use.
"""

import sys
from types import SimpleNamespace

from efficientnet_tf.commands.experiment_flags import take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import refuse_arguments
from efficientnet_tf.config import with_fields
from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.tpu import all_batches, requirements
from efficientnet_tf.tpu.targets import target

_FUNCTIONS = ("train", "eval", "serving")
_MODELS = [f"efficientnet-b{number}" for number in range(8)]
_TYPES, _ALL_TYPES = ["v5litepod-8"], ["v3-8", "v5litepod-8", "v6e-8"]


def take_flags(take: FlagGroups) -> None:
    slices = "TPU slice, such as v6e-4 (a wrong name lists all), or several with commas"
    take.many("tpu_type", None, f"{slices}; default: {_TYPES[0]}, of --all {','.join(_ALL_TYPES)}")
    batch = "images in one update, over all chips; default: the configuration's"
    take.whole("global_batch_size", None, batch, low=1)
    take.some("functions", _FUNCTIONS, "functions to compile")
    take.whole("serving_batch_size", 8, "number of images in one serving call", low=1)
    take.switch("full", False, "use full optimisation, which takes several times as long")
    take.switch("find_max_batch", False, "find the largest batch of the train step instead")
    take.switch("all", False, "do so for all --models on all --tpu_type, as a table")
    take.many("models", _MODELS, "with --all: names of the networks")
    rows = "with --find_max_batch and --all: file of every compile, resumed from"
    take.text("csv", "runs/tpu_batches.csv", rows)
    take.text("markdown", None, "with --all: file for the table, besides standard output")
    take_experiment(take)


def run(given: SimpleNamespace) -> int:
    refuse_arguments(given)
    config, level = given.config, "full" if given.full else "fast"
    names = given.tpu_type or (_ALL_TYPES if given.all else _TYPES)
    targets = [target(name) for name in names]
    requirements.prepare()
    if given.all:
        # The configuration's own flags, for the process of each model.
        flags = [each for each in sys.argv if each.startswith(("--config", "--data_dir="))]
        table = all_batches.find_all(config, given.models, targets, level, given.csv, flags)
        print(table)
        if given.markdown:
            with open(given.markdown, "w", encoding="utf-8") as file:
                file.write(table + "\n")
        return 0
    start_tensorflow()
    from efficientnet_tf.tpu import preflight

    if given.find_max_batch:
        preflight.find_max_batch(config, targets, level, given.csv)
        return 0
    if len(targets) > 1:
        raise UsageError("--tpu_type: one slice, or --find_max_batch or --all with several.")
    if given.global_batch_size is not None:
        config = with_fields(config, {"train.global_batch_size": given.global_batch_size})
    fits = preflight.check(config, targets[0], given.functions, level, given.serving_batch_size)
    return 0 if fits else 1
