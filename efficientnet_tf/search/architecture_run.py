"""A whole architecture search: it tries, trains the best again, and writes tables and pictures."""

import dataclasses
from pathlib import Path

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.device import Device
from efficientnet_tf.models.networks import configured
from efficientnet_tf.models.variants import VARIANTS
from efficientnet_tf.search import architecture_search, pareto
from efficientnet_tf.search.objective import Objective
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.searchers import Evolution, RandomSearch
from efficientnet_tf.search.space import Space

_SHOWN = 10


def space_of(config: ExperimentConfig) -> Space:
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


def search_and_report(
    config: ExperimentConfig,
    searcher: RandomSearch,
    objective: Objective,
    *,
    candidates: int,
    seeds: int,
    confirm_seeds: int,
    folder: str,
    device: Device,
) -> None:
    """Searches, prints the best, writes everything to `folder`; goes on with what is there.

    Args:
        config: of each training.
        candidates: networks to try.
        seeds: trainings of each.
        confirm_seeds: fresh seeds for the best, the median random one and the baseline.

    Raises:
        RunError: as `architecture_search.search` does.
    """
    fresh = range(seeds, seeds + confirm_seeds)
    with Proxy(config, folder, candidates * seeds + 3 * len(fresh), device) as proxy:
        kind = "evolution" if isinstance(searcher, Evolution) else "random"
        proxy.say(f"{searcher.space.size:.3g} networks in the space; {kind} tries {candidates}")
        scored = architecture_search.search(proxy, searcher, objective, candidates, range(seeds))
        best = architecture_search.best_of(scored)
        median = architecture_search.median_random(scored)
        named = {"best": best.network, "baseline": searcher.space.baseline}
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
        pareto.Plotted(
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
