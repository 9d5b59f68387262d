"""Which network to try next: random search and regularised evolution, as ask and tell.

`ask` depends on the seed and on what was told so far, on nothing else: a search that is told the
stored results of a killed one goes on exactly as that would have.

Differences from regularised evolution as published (Real et al., arXiv 1802.01548): a child is
one of the parent's neighbours that was not tried before, where there is one; a network that failed
takes no place in the population; the space is that of space.py, not cells.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.search.space import Network, Space

_ATTEMPTS = 100  # to find a network that was not tried


@dataclass
class RandomSearch:
    """Networks drawn at random, as long as possible none twice.

    Args:
        space: where from.
        seed: of the draws, at least 0.

    Attributes:
        history: (network, objective) in the order told; None for one that failed.
    """

    space: Space
    seed: int = 0
    history: list[tuple[Network, float | None]] = field(default_factory=list)

    def ask(self) -> Network:
        """The next network to try."""
        return self._untried(lambda generator: self.space.draw(generator))

    def tell(self, network: Network, objective: float | None) -> None:
        """What became of a network: its objective, larger is better, or None if it failed."""
        self.history.append((network, objective))

    def is_random(self, index: int) -> bool:
        """Whether the network of this index in the history was drawn at random."""
        return True

    def _untried(self, propose: Callable[[np.random.Generator], Network]) -> Network:
        generator = np.random.default_rng([self.seed, len(self.history)])
        tried = {network for network, _ in self.history}
        for _ in range(_ATTEMPTS):
            network = propose(generator)
            if network not in tried:
                break
        return network


@dataclass
class Evolution(RandomSearch):
    """Regularised evolution: the best of a sample has a child, the oldest of all dies.

    The first `population` networks are those that random search with this seed tries.

    Args:
        space, seed: as of random search.
        population: networks alive, at least 2.
        sample: drawn from the population, with replacement, to choose a parent from; 1 is a
            random walk, many are greedy.

    Raises:
        UsageError: an argument is out of range.
    """

    population: int = 16
    sample: int = 8

    def __post_init__(self) -> None:
        if self.population < 2:
            raise UsageError(f"population must be at least 2, received {self.population}.")
        if not 1 <= self.sample <= self.population:
            raise UsageError(
                f"sample must be from 1 to the population of {self.population}, received "
                f"{self.sample}."
            )

    def ask(self) -> Network:
        """The next network to try."""
        if self.is_random(len(self.history)):
            return super().ask()
        return self._untried(self._child)

    def is_random(self, index: int) -> bool:
        """Whether the network of this index in the history was drawn at random."""
        alive = sum(objective is not None for _, objective in self.history[:index])
        return alive < self.population

    def _child(self, generator: np.random.Generator) -> Network:
        scored = [(value, network) for network, value in self.history if value is not None]
        alive = scored[-self.population :]
        drawn = [alive[i] for i in generator.integers(len(alive), size=self.sample)]
        _, parent = max(drawn, key=lambda pair: pair[0])
        return self.space.mutate(parent, generator)


SEARCHERS = ("evolution", "random")


def make_searcher(
    name: str, space: Space, seed: int = 0, *, population: int = 16, sample: int = 8
) -> RandomSearch:
    """The searcher of this name; `population` and `sample` are evolution's.

    Raises:
        UsageError: no such searcher, or an argument is out of range.
    """
    if name == "random":
        return RandomSearch(space, seed)
    if name == "evolution":
        return Evolution(space, seed, population=population, sample=sample)
    raise UsageError(
        f'searcher must be one of {", ".join(SEARCHERS)}, received "{name}".'
        f"{nearest(name, SEARCHERS)}"
    )
