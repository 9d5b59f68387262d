"""Architecture search (paper, section 4): a searcher proposes, the proxy trains, the best wins.

The best of many is partly lucky: it was chosen by the noise of its own training, too. `confirm`
trains it again with seeds that the search has not seen, beside the median of the networks that
were drawn at random and the baseline; only those numbers may be compared.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from efficientnet_tf.errors import RunError
from efficientnet_tf.search.objective import Objective
from efficientnet_tf.search.proxy import Candidate, Proxy
from efficientnet_tf.search.results import Result, mean_and_spread
from efficientnet_tf.search.searchers import RandomSearch
from efficientnet_tf.search.space import Network
from efficientnet_tf.storage.files import write_text
from efficientnet_tf.terminal.table import aligned

BEST = "best.txt"


@dataclass(frozen=True)
class Scored:
    """A network that was trained with every seed.

    Attributes:
        key: names its folder.
        network: block strings.
        is_random: whether it was drawn at random rather than evolved.
        top1, spread: mean and sample standard deviation over seeds (None: one seed), in [0, 1].
        multiply_adds, params: for one image; trainable weights.
        objective: of the mean top-1.
        objective_spread: standard deviation over seeds of the objective.
    """

    key: str
    network: Network
    is_random: bool
    top1: float
    spread: float | None
    multiply_adds: int
    params: int
    objective: float
    objective_spread: float | None


def candidate_of(network: Network) -> Candidate:
    """The candidate of a network; the same network always has the same key."""
    digest = hashlib.sha256("\n".join(network).encode()).hexdigest()[:8]
    return Candidate(f"net-{digest}", {"model.blocks_args": network})


def flag_of(network: Network) -> str:
    """The flag of main.py that trains a network, as a shell takes it."""
    strings = ",".join(f'"{string}"' for string in network)
    return f"--config.model.blocks_args='({strings},)'"


def _score(
    key: str, network: Network, rows: Sequence[Result], objective: Objective, *, is_random: bool
) -> Scored | None:
    """None if a training failed: half a result would be compared with whole ones."""
    if any(row.error is not None for row in rows):
        return None
    top1, spread = mean_and_spread([row.top1 for row in rows])
    worth = objective(1.0, rows[0].multiply_adds)
    return Scored(
        key=key,
        network=network,
        is_random=is_random,
        top1=top1,
        spread=spread,
        multiply_adds=rows[0].multiply_adds,
        params=rows[0].params,
        objective=top1 * worth,
        objective_spread=None if spread is None else spread * worth,
    )


def search(
    proxy: Proxy,
    searcher: RandomSearch,
    objective: Objective,
    candidates: int,
    seeds: Sequence[int],
) -> list[Scored]:
    """Tries so many networks; those that were trained, in the order tried, each once.

    Raises:
        RunError: none of them could be trained; or as `Proxy.evaluate` does.
    """
    found: dict[str, Scored] = {}
    for index in range(candidates):
        network = searcher.ask()
        candidate = candidate_of(network)
        rows = proxy.evaluate(candidate, seeds)
        is_random = searcher.is_random(index)
        scored = _score(candidate.key, network, rows, objective, is_random=is_random)
        if scored is not None:
            found.setdefault(candidate.key, scored)
        searcher.tell(network, None if scored is None else scored.objective)
    if not found:
        raise RunError(
            f"none of the {candidates} networks could be trained; {proxy.results.path} has the "
            "reasons."
        )
    return list(found.values())


def best_of(scored: Sequence[Scored]) -> Scored:
    """The network of the largest objective; of equals the first."""
    return max(scored, key=lambda each: each.objective)


def median_random(scored: Sequence[Scored]) -> Scored | None:
    """The median, by objective, of those drawn at random (of two the better), if there are any."""
    ordered = sorted((each for each in scored if each.is_random), key=lambda each: each.objective)
    return ordered[len(ordered) // 2] if ordered else None


def confirm(
    proxy: Proxy, objective: Objective, networks: Mapping[str, Network], seeds: Sequence[int]
) -> dict[str, Scored]:
    """Trains networks with fresh seeds; those that succeeded, by the names given.

    Raises:
        RunError: as `Proxy.evaluate` does.
    """
    found = {}
    for name, network in networks.items():
        candidate = candidate_of(network)
        rows = proxy.evaluate(candidate, seeds)
        scored = _score(candidate.key, network, rows, objective, is_random=False)
        if scored is not None:
            found[name] = scored
    return found


_HEADER = ("network", "objective", "+-", "top-1 %", "+-", "multiply-adds", "params", "blocks")


def table(rows: Sequence[tuple[str, Scored]]) -> str:
    """Lines for people: named networks with their numbers, in the order given."""
    cells = [_HEADER]
    for name, each in rows:
        spread = "" if each.spread is None else f"{100 * each.spread:.2f}"
        of_objective = "" if each.objective_spread is None else f"{each.objective_spread:.4f}"
        cells.append(
            (
                name,
                f"{each.objective:.4f}",
                of_objective,
                f"{100 * each.top1:.2f}",
                spread,
                f"{each.multiply_adds:,}",
                f"{each.params:,}",
                " ".join(each.network),
            )
        )
    return "\n".join(aligned(cells, "<>>>>>><"))


def write_best(folder: str, network: Network) -> str:
    """Writes the flag that trains the network to best.txt; the path."""
    path = os.path.join(folder, BEST)
    write_text(path, flag_of(network) + "\n")
    return path
