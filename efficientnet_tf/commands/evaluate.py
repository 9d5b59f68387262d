"""Evaluates a run: its own splits, another data set, or a variant of ImageNet.

python main.py evaluate --model_dir=runs/flowers
python main.py evaluate --model_dir=runs/flowers --eval_source=folder:more_photos
python main.py evaluate --model_dir=runs/b0 --eval_variant=imagenet-v2 --eval_source=folder:DIR

Nothing else is needed: the run's config.json says the rest. docs/evaluation.md explains each flag.
"""

import dataclasses
from types import SimpleNamespace

from efficientnet_tf.commands import train
from efficientnet_tf.commands.experiment_flags import take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import device, refuse_arguments, take_device
from efficientnet_tf.evaluation import request
from efficientnet_tf.models.networks import configured

FOR_A_RUN = LASTS = True
NEEDS = ("jinja2", "matplotlib", "PIL")


def take_flags(take: FlagGroups) -> None:
    take.heading("Which run, and where")
    take.text("model_dir", None, "folder of a run, whose best checkpoint is taken")
    take_device(take)
    take.heading("What is evaluated (docs/evaluation.md)")
    for name, meaning in request.FLAGS:
        take.text(name, None, meaning)
    take_experiment(take)


def run(given: SimpleNamespace) -> None:
    refuse_arguments(given)
    asked = request.evaluation_request({name: getattr(given, name) for name, _ in request.FLAGS})
    configured(**dataclasses.asdict(given.config.model))
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.experiment import modes

    model_dir = given.model_dir or given.default_model_dir
    where = modes.Where(model_dir, device=device(given))
    modes.evaluate(given.config, where, asked, train.report)
