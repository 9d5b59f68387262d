"""Trains, evaluates and exports EfficientNet, or another network.

python main.py --model=efficientnet-b4 --tpu=local --data_dir=gs://... --model_dir=gs://...
python main.py --config=digits
python main.py --config=finetune --data_dir=my_photos

Started again with the same flags, a run goes on after its last checkpoint. Exit code 0: done; 1:
failed on the way; 2: wrong use; 130: a signal (Ctrl-C, SIGTERM, a closed terminal) stopped the
training, which saved.
"""

import dataclasses
from types import SimpleNamespace
from typing import Any

from efficientnet_tf.commands import shared_flags
from efficientnet_tf.commands.experiment_flags import take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.evaluation.request import FLAGS as OF_EVALUATE
from efficientnet_tf.models.networks import configured

RESUMABLE = LASTS = True
_MODES = ("train_and_eval", "train", "eval", "export")
NEEDS = ("jinja2", "matplotlib", "PIL")


def take_flags(take: FlagGroups) -> None:
    take.heading("What to do")
    what = f"what to do: one of {', '.join(_MODES)}; the last two are words, too"
    take.text("mode", "train_and_eval", what)
    take.switch("list_models", False, "print the table of networks, as the word models does")
    take_experiment(take)
    take.heading("Where it runs and where it writes")
    shared_flags.take_device(take)
    take.text("model_dir", None, "folder for all that a run writes; default: runs/<config>-<model>")
    anew = "begin at step 0 where there are checkpoints, which are moved to MODEL_DIR/earlier-1"
    take.switch("start_anew", False, anew)
    take.heading("Export")
    shared_flags.take_export(take)
    take.heading("For the word evaluate, or --mode=eval")
    for name, meaning in OF_EVALUATE:
        take.text(name, None, meaning)


def report(model_dir: str, source: Any, with_pictures: bool) -> str:
    """Makes the report of a run at its end; the line to say. See `experiment.modes`."""
    from efficientnet_tf.report.write import try_report  # loads matplotlib: a second

    return try_report(model_dir, source, with_pictures=with_pictures)


def run(given: SimpleNamespace) -> None:
    shared_flags.refuse_arguments(given)
    if given.mode not in _MODES:
        raise UsageError(
            f'--mode must be one of {", ".join(_MODES)}, received "{given.mode}".'
            + nearest(given.mode, _MODES)
        )
    for name, _ in OF_EVALUATE:
        if getattr(given, name) is not None:
            raise UsageError(
                f"--{name} is for the word evaluate, received --mode={given.mode}. Evaluate after "
                "training: evaluate --model_dir=... with this flag."
            )
    # Refuses a wrong model before the seconds that TensorFlow takes to load.
    configured(**dataclasses.asdict(given.config.model))
    options = shared_flags.export_options(given)
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.experiment import modes

    model_dir = given.model_dir or given.default_model_dir
    where = modes.Where(
        model_dir, given.export_dir, shared_flags.device(given), options, given.start_anew
    )
    train = modes.train if given.mode == "train" else modes.train_and_evaluate
    train(given.config, where, report=report)
