"""Scales a network by the paper's rule, and says what it then costs.

python main.py scale --model=efficientnet-b0 --phi=3
python main.py scale --model=resnet-50 --target_multiply_adds=8e9
python main.py scale --model=mobilenet-v2 --dimension=width --target_params=10e6
python main.py scale --published                       B1-B7 against the formula
python main.py scale --phi=-2 --save_model=small.keras
python main.py scale --phi=-4 --train --config=configs/digits.py --model_dir=runs/small

A model is one of `main.py models`, or file.py:NAME, one of your own (docs/scaling.md). The compound
coefficient phi makes it alpha^phi deeper, beta^phi wider and gives it gamma^phi times the pixels a
side. With --train all other flags are those of the word train.
"""

import sys
from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import coefficients, take_coefficients
from efficientnet_tf.errors import UsageError
from efficientnet_tf.models import compound, scale_table
from efficientnet_tf.models.networks import find_network

PASSES_ON = True
_WAYS = ("phi", "factor", "target_multiply_adds", "target_params", "target_memory")


def take_flags(take: FlagGroups) -> None:
    take.text("model", "efficientnet-b0", "network to scale: a name or file.py:NAME")
    take.number("phi", None, "compound coefficient; negative: smaller than the network")
    take_coefficients(take)
    take.number("target_multiply_adds", None, "multiply-adds of one image to reach")
    take.number("target_params", None, "number of parameters to reach")
    take.number("target_memory", None, "bytes of float32 activations to reach")
    take.choice("dimension", None, compound.DIMENSIONS, "scale this one alone")
    take.number("factor", None, "factor on --dimension, in place of a target")
    take.whole("classes", None, "number of classes; default: the network's own", low=1)
    take.switch("published", False, "compare B1 to B7 with the formula, and do nothing else")
    take.text("save_model", None, "file for the scaled network, untrained: NAME.keras")
    take.switch("train", False, "go on with training the scaled network")


def run(given: SimpleNamespace) -> int:
    if given.published:
        print("\n".join(scale_table.published_lines(coefficients(given))))
        return 0
    if given.arguments and not given.train:
        raise UsageError(f'unknown flag or argument "{given.arguments[0]}". See --help.')
    network = find_network(given.model)
    classes = network.classes if given.classes is None else given.classes
    triple = coefficients(given)
    named = {way: getattr(given, way) for way in _WAYS if getattr(given, way) is not None}
    if len(named) != 1:
        raise UsageError(
            f"expected one of --{', --'.join(_WAYS[:-1])} and --{_WAYS[-1]}, received "
            f"{' and '.join(f'--{way}' for way in named) or 'none'}."
        )
    [(way, value)] = named.items()
    way = way.removeprefix("target_")
    scaled = scale_table.scaled_by(network, way, value, triple, given.dimension, classes)
    print("\n".join(scale_table.comparison_lines(network, scaled, triple, classes)))
    if given.save_model is not None:
        if not given.save_model.endswith(".keras"):
            raise UsageError(f"--save_model must end in .keras, received {given.save_model}.")
        from efficientnet_tf.machine.startup import start_tensorflow

        start_tensorflow()
        scale_table.save(scaled.network, classes, given.save_model)
    if not given.train:
        return 0
    from efficientnet_tf.commands import command_line

    fields = compound.model_fields(network, scaled).items()
    overrides = [f"--config.model.{name}={value}" for name, value in fields]
    # ml_collections takes the fields from here while it defines its flag.
    sys.argv = [sys.argv[0], "train", *given.arguments, f"--model={given.model}", *overrides]
    return command_line.main()
