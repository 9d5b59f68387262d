"""Scales a network by the paper's rule, and says what it then costs.

python scripts/scale.py --network=efficientnet-b0 --phi=3
python scripts/scale.py --network=resnet-50 --target_multiply_adds=8e9
python scripts/scale.py --network=mobilenet-v2 --dimension=width --target_params=10e6
python scripts/scale.py --published                       B1-B7 against the formula
python scripts/scale.py --phi=-2 --save_model=small.keras
python scripts/scale.py --phi=-4 --train --config=configs/digits.py --model_dir=runs/small

Networks: every one of `main.py --list_models`, or file.py:NAME, one of your own (docs/scaling.md).
With --train all other flags are those of main.py.
"""

import sys

from absl import flags

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models import scale_table
from efficientnet_tf.models.compound import (
    Coefficients,
    Factors,
    Scaled,
    compound,
    model_fields,
    scale,
    solve,
)
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.staged import ScalableNetwork
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code

_NETWORK = flags.DEFINE_string("network", "efficientnet-b0", "baseline: a name or file.py:NAME")
_PHI = flags.DEFINE_float("phi", None, "compound coefficient; negative: smaller than the baseline")
_ALPHA = flags.DEFINE_float("alpha", 1.2, "depth for each step of phi")
_BETA = flags.DEFINE_float("beta", 1.1, "width for each step of phi")
_GAMMA = flags.DEFINE_float("gamma", 1.15, "resolution for each step of phi")
_TOLERANCE = flags.DEFINE_float("tolerance", 0.1, "of alpha * beta^2 * gamma^2 = 2")
_BUDGETS = {
    "multiply_adds": flags.DEFINE_float("target_multiply_adds", None, "solve for it, of one image"),
    "params": flags.DEFINE_float("target_params", None, "solve for it"),
    "memory": flags.DEFINE_float("target_memory", None, "solve for it: activation bytes, float32"),
}
_DIMENSION = flags.DEFINE_string("dimension", None, "depth, width or resolution: scale it alone")
_FACTOR = flags.DEFINE_float("factor", None, "of --dimension, in place of a target")
_CLASSES = flags.DEFINE_integer("classes", None, "default: the network's own", lower_bound=1)
_PUBLISHED = flags.DEFINE_boolean("published", False, "B1 to B7 against the formula, nothing else")
_SAVE = flags.DEFINE_string("save_model", None, "write the scaled network, untrained: NAME.keras")
_TRAIN = flags.DEFINE_boolean("train", False, "go on with main.py on the scaled network")


def scaled_as_asked(network: ScalableNetwork, coefficients: Coefficients) -> Scaled:
    """The one way of scaling that the flags name.

    Raises:
        UsageError: they name none, or several.
    """
    budgets = {name: flag.value for name, flag in _BUDGETS.items() if flag.value is not None}
    ways = [*(f"--target_{name}" for name in budgets)]
    ways += [f"--{flag.name}" for flag in (_PHI, _FACTOR) if flag.value is not None]
    if len(ways) != 1:
        raise UsageError(
            f"expected one of --phi, --factor, --target_multiply_adds, --target_params and "
            f"--target_memory, received {' and '.join(ways) or 'none'}."
        )
    classes, dimension = _CLASSES.value, _DIMENSION.value
    for name, budget in budgets.items():
        return solve(network, name, budget, coefficients, dimension=dimension, classes=classes)
    if _FACTOR.value is not None:
        if dimension not in ("depth", "width", "resolution"):
            raise UsageError(
                f"--factor needs --dimension=depth, width or resolution, received {dimension!r}."
            )
        return scale(network, Factors(**{dimension: _FACTOR.value}), classes)
    if dimension is not None:
        raise UsageError("--dimension goes with --factor or a target; --phi scales all three.")
    return scale(network, compound(_PHI.value, coefficients), classes, _PHI.value)


def show(network: ScalableNetwork, scaled: Scaled, coefficients: Coefficients) -> None:
    """Prints the table, and for EfficientNets the published neighbour."""
    classes = network.classes if _CLASSES.value is None else _CLASSES.value
    factors = scaled.factors
    phi = "" if scaled.phi is None else f", phi {scaled.phi:.4g}"
    print(
        f"{network.name}{phi}: depth x {factors.depth:.4g}, width x {factors.width:.4g}, "
        f"resolution x {factors.resolution:.4g}, {classes} classes"
    )
    baseline = scale(network, Factors(), classes)
    print("\n".join(scale_table.scale_lines(baseline, scaled, classes)))
    if network.name == scale_table.BASELINE and scaled.phi is not None and scaled.phi > 0:
        variant = scale_table.nearest_published(scaled.phi, coefficients)
        published = scale(network, scale_table.factors_of(variant), classes)
        print(f"\nThe nearest published one, {variant.name}, hand-rounded:")
        print("\n".join(scale_table.scale_lines(baseline, published, classes)))


def go_on(network: ScalableNetwork, scaled: Scaled, rest: list[str]) -> int:
    """Saves and trains, where asked to."""
    if _SAVE.value is not None:
        if not _SAVE.value.endswith(".keras"):
            raise UsageError(f"--save_model must end in .keras, received {_SAVE.value}.")
        from efficientnet_tf.machine.startup import start_tensorflow

        start_tensorflow()
        classes = network.classes if _CLASSES.value is None else _CLASSES.value
        try:
            scaled.network.build(classes=classes).save(_SAVE.value)
        except OSError as error:
            raise UsageError(f"--save_model: {_SAVE.value} cannot be written: {error}.") from error
        print(
            f"saved: {_SAVE.value} (before keras.saving.load_model: import "
            "efficientnet_tf.models.layers)"
        )
    if _TRAIN.value:
        from efficientnet_tf.commands import cli

        fields = model_fields(network, scaled)
        overrides = [f"--config.model.{name}={value}" for name, value in fields.items()]
        # ml_collections takes the fields from here while it defines its flag.
        sys.argv = [*rest, f"--model={_NETWORK.value}", *overrides]
        return cli.main(sys.argv)
    return 0


def run(rest: list[str]) -> int:
    """What the flags ask for; the exit code."""
    coefficients = Coefficients(_ALPHA.value, _BETA.value, _GAMMA.value, _TOLERANCE.value)
    if _PUBLISHED.value:
        print("\n".join(scale_table.published_lines(coefficients)))
        return 0
    if len(rest) > 1 and not _TRAIN.value:
        raise UsageError(f'unknown flag or argument "{rest[1]}". See --help.')
    network = find_network(_NETWORK.value)
    scaled = scaled_as_asked(network, coefficients)
    show(network, scaled, coefficients)
    return go_on(network, scaled, rest)


def parse(argv: list[str]) -> list[str]:
    """What is left for main.py."""
    if asks_for_help(argv):
        print(__doc__, flags.FLAGS.main_module_help(), sep="\n")
        sys.exit(0)
    return flags.FLAGS(argv, known_only=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: run(parse(sys.argv))))
