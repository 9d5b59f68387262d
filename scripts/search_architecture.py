"""Searches a network as section 4 of the paper does: the MnasNet space, ACC x (FLOPS/T)^w.

python scripts/search_architecture.py --config=configs/search_digits.py --candidates=52 \\
    --population=12 --sample=6 --target_multiply_adds=5e6 --output_dir=runs/search

Each candidate is trained by the configuration on its own; its epochs are the budget. Started again
with the same flags, or with more candidates, it goes on where it was. Writes results.jsonl,
best.txt (a flag for main.py), pareto.png and pareto.svg. A proxy ranks what learns fast on its
task: a winner on digits in five epochs is no winner on ImageNet. Exit code 0: done; 1: failed on
the way; 2: wrong use; 130: stopped by Ctrl-C.
"""

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from efficientnet_tf import config as config_lib
from efficientnet_tf.commands import cli
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.models.networks import configured
from efficientnet_tf.models.variants import VARIANTS
from efficientnet_tf.search import architecture_search, pareto
from efficientnet_tf.search.objective import PAPER_EXPONENT, PAPER_TARGET, Objective
from efficientnet_tf.search.proxy import Device, Proxy
from efficientnet_tf.search.searchers import SEARCHERS, make_searcher
from efficientnet_tf.search.space import Space
from efficientnet_tf.terminal.exit_codes import exit_code

# (flag, default, meaning)
_FLAGS: tuple[tuple[str, Any, str], ...] = (
    ("output_dir", "runs/search_architecture", "where everything is written and resumed from"),
    ("searcher", "evolution", f"one of {', '.join(SEARCHERS)}"),
    ("candidates", "64", "networks to try"),
    ("seeds", "1", "trainings of each"),
    ("confirm_seeds", "3", "fresh seeds for the best, the median random one, the baseline; 0: no"),
    ("population", "16", "of evolution; as many are drawn at random first"),
    ("sample", "8", "of evolution: the best of so many is a parent"),
    ("search_seed", "0", "of what is proposed"),
    ("target_multiply_adds", f"{PAPER_TARGET:g}", "T of the objective, for one image"),
    ("exponent", f"{PAPER_EXPONENT:g}", "w of the objective"),
    ("exponent_below", None, "w of networks below the target; default: the same, see objective.py"),
)
_NOT_HERE = ("mode", "model_dir", "export_dir", "list_models")
_OF_MAIN = ("model", "data_dir", "tpu", "tpu_zone", "tpu_project")
_SHOWN = 10


def help_text() -> str:
    lines = [str(__doc__).strip(), "", "Flags:"]
    for name, default, meaning in _FLAGS:
        shown = "" if default is None else f" [{default}]"
        lines.append(f"  --{name:<22}{meaning}{shown}")
    names = ", ".join(f"--{name}" for name in _OF_MAIN)
    lines.append(f"  {names}, --config, --config.FIELD=VALUE as in main.py --help")
    return "\n".join(lines)


def parse(argv: Sequence[str]) -> tuple[flags.FlagValues, config_lib.ExperimentConfig, Device]:
    """This script's flags, the base configuration and where to compute; raises UsageError."""
    values = flags.FlagValues()
    for name, default, meaning in _FLAGS:
        flags.DEFINE_string(name, default, meaning, flag_values=values)
    try:
        rest = values(argv, known_only=True)
    except flags.Error as error:
        raise UsageError(f"{error}. See --help.") from error
    own = [name for name, _, _ in _FLAGS]
    for argument in rest[1:]:
        name = argument.lstrip("-").split("=", 1)[0]
        if name in _NOT_HERE:
            raise UsageError(f"flag --{name} is one of main.py, not of this script. See --help.")
        known = name in _OF_MAIN or name.split(".")[0] == "config"
        if argument.startswith("-") and not known:
            raise UsageError(
                f"unknown flag --{name}.{nearest(name, [*own, *_OF_MAIN])} See --help."
            )
    main_flags, config = cli.parse(rest)
    device = Device(main_flags.tpu, main_flags.tpu_zone, main_flags.tpu_project)
    return values, config, device


def whole(values: flags.FlagValues, name: str, low: int) -> int:
    """A whole number of at least `low` from a flag."""
    text = values[name].value
    if not text.isdecimal() or int(text) < low:
        raise UsageError(f'flag --{name} must be a whole number from {low} on, received "{text}".')
    return int(text)


def number(values: flags.FlagValues, name: str) -> float:
    """A number from a flag."""
    try:
        value = float(values[name].value)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f'flag --{name} must be a number, received "{values[name].value}".')
    return value


def space_of(config: config_lib.ExperimentConfig) -> Space:
    """The space around the configuration's network, which must be one of block strings."""
    configured(**dataclasses.asdict(config.model))  # wrong coefficients are found now
    strings = config.model.blocks_args
    if strings is None:
        name = config.model.name.lower()
        variant = {known.lower(): each for known, each in VARIANTS.items()}.get(name)
        if variant is None:
            raise UsageError(
                f"--model: {config.model.name} has no block strings to search around. Give an "
                "EfficientNet, or --config.model.blocks_args with block strings of your own."
            )
        strings = variant.blocks_args
    return Space(strings)


def objective_of(values: flags.FlagValues) -> Objective:
    below = None if values.exponent_below is None else number(values, "exponent_below")
    try:
        return Objective(number(values, "target_multiply_adds"), number(values, "exponent"), below)
    except UsageError as error:
        raise UsageError(
            f"--target_multiply_adds, --exponent or --exponent_below: {error}"
        ) from error


def run(argv: Sequence[str]) -> None:
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(help_text())
        return
    values, config, device = parse(argv)
    objective = objective_of(values)
    space = space_of(config)
    searcher = make_searcher(
        values.searcher,
        space,
        whole(values, "search_seed", 0),
        population=whole(values, "population", 2),
        sample=whole(values, "sample", 1),
    )
    candidates, seeds = whole(values, "candidates", 1), whole(values, "seeds", 1)
    fresh = range(seeds, seeds + whole(values, "confirm_seeds", 0))
    folder = values.output_dir
    with Proxy(config, folder, candidates * seeds + 3 * len(fresh), device) as proxy:
        proxy.say(f"{space.size:.3g} networks in the space; {values.searcher} tries {candidates}")
        scored = architecture_search.search(proxy, searcher, objective, candidates, range(seeds))
        best = architecture_search.best_of(scored)
        median = architecture_search.median_random(scored)
        named = {"best": best.network, "baseline": space.baseline}
        if median is not None:
            named["median random"] = median.network
        confirmed = {}
        if fresh:
            confirmed = architecture_search.confirm(proxy, objective, named, fresh)
    ordered = sorted(scored, key=lambda each: -each.objective)[:_SHOWN]
    print(f"the best {len(ordered)} of {len(scored)}, as the search saw them:")
    print(architecture_search.table([(each.key, each) for each in ordered]))
    if confirmed:
        print(f"\ntrained again with {len(fresh)} seeds that the search did not see:")
        print(architecture_search.table(list(confirmed.items())))
    points = [
        pareto.Point(
            each.multiply_adds,
            each.top1,
            each.spread,
            "drawn at random" if each.is_random else "evolved",
        )
        for each in scored
    ]
    figure = pareto.draw(
        points,
        scored.index(best),
        lambda cost: objective.top1_at(best.objective, cost),
        f"minival of {config.data.source}",
    )
    paths = [*pareto.save(figure, folder), architecture_search.write_best(folder, best.network)]
    print(f"\nwrote {', '.join(paths)}, {Path(proxy.results.path)}")
    print(architecture_search.flag_of(best.network))


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv), resumable=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
