"""Random search and regularised evolution on made-up objectives, where the best is known."""

import statistics
from collections.abc import Callable

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.block_string import decode_all
from efficientnet_tf.models.variants import B0_BLOCKS
from efficientnet_tf.search.searchers import Evolution, RandomSearch, make_searcher
from efficientnet_tf.search.space import Network, Space

SPACE = Space(B0_BLOCKS[1:5])
PLANTED = tuple(
    f"r{layers}_k5_s{strides}_e3_i{before}_o{filters}_se0.25_noskip"
    for layers, strides, before, filters in [(3, 22, 16, 32), (3, 22, 32, 48), (4, 22, 48, 64),
                                             (4, 11, 64, 88)]
)  # fmt: skip


def likeness(network: Network) -> float:
    """The share of choices that agree with the planted network; 1 for it alone."""
    agreeing = total = 0
    for one, other in zip(decode_all(network), decode_all(PLANTED), strict=True):
        for name in ("kernel_size", "se_ratio", "id_skip", "output_filters", "num_repeat"):
            agreeing += getattr(one, name) == getattr(other, name)
            total += 1
        agreeing += (one.conv_type, one.expand_ratio) == (other.conv_type, other.expand_ratio)
        total += 1
    return agreeing / total


def run(
    searcher: RandomSearch, count: int, objective: Callable[[Network], float | None] = likeness
) -> list[Network]:
    for _ in range(count):
        network = searcher.ask()
        searcher.tell(network, objective(network))
    return [network for network, _ in searcher.history]


def best(searcher: RandomSearch, count: int) -> float:
    return max(likeness(network) for network in run(searcher, count))


def test_evolution_comes_closer_to_a_planted_network_than_random_search() -> None:
    assert likeness(PLANTED) == 1.0
    evolved = [best(Evolution(SPACE, seed), 120) for seed in range(8)]
    drawn = [best(RandomSearch(SPACE, seed), 120) for seed in range(8)]
    assert all(one > other for one, other in zip(evolved, drawn, strict=True)), (evolved, drawn)
    assert statistics.fmean(evolved) > statistics.fmean(drawn) + 0.15


def test_evolution_finds_the_planted_network_itself() -> None:
    """One of 1e9; random search would need as many."""
    assert SPACE.size > 1e9
    assert best(Evolution(SPACE, 1, population=16, sample=16), 300) == 1.0


@pytest.mark.parametrize("name", ["random", "evolution"])
def test_told_the_stored_results_a_searcher_goes_on_exactly(name: str) -> None:
    whole = make_searcher(name, SPACE, 3, population=8, sample=3)
    run(whole, 40, lambda network: None if "c1" in network[0] else likeness(network))
    for killed_after in (0, 1, 7, 8, 9, 25, 39):
        again = make_searcher(name, SPACE, 3, population=8, sample=3)
        for network, objective in whole.history[:killed_after]:
            assert again.ask() == network
            again.tell(network, objective)
        assert again.ask() == whole.history[killed_after][0]
        fed = make_searcher(name, SPACE, 3, population=8, sample=3)
        fed.history = whole.history[:killed_after]  # never asked before: nothing else counts
        assert fed.ask() == whole.history[killed_after][0]


def test_asking_twice_gives_the_same_network() -> None:
    searcher = Evolution(SPACE, population=4, sample=2)
    run(searcher, 6)
    assert searcher.ask() == searcher.ask()


def test_seeds_differ() -> None:
    assert RandomSearch(SPACE, 0).ask() != RandomSearch(SPACE, 1).ask()


def test_no_network_is_tried_twice_while_there_are_others() -> None:
    small = Space(B0_BLOCKS[:1])  # 140 networks
    networks = run(RandomSearch(small), 60, lambda network: 0.0)
    assert len(set(networks)) == 60
    evolved = run(Evolution(small, population=4, sample=2), 30, lambda network: 0.0)
    assert len(set(evolved)) == 30


def test_a_space_that_is_used_up_does_not_hang() -> None:
    small = Space(B0_BLOCKS[:1])
    networks = run(RandomSearch(small), small.size + 20, lambda network: 0.0)
    assert len(networks) == small.size + 20


def test_the_first_population_is_that_of_random_search() -> None:
    evolution = Evolution(SPACE, 5, population=6, sample=2)
    assert run(evolution, 6) == run(RandomSearch(SPACE, 5), 6)
    assert [evolution.is_random(index) for index in (0, 5, 6, 7)] == [True, True, False, False]
    assert RandomSearch(SPACE).is_random(1000)


def test_the_oldest_dies_even_if_it_is_the_best() -> None:
    """What regularises: nothing lives for ever by one lucky training."""
    evolution = Evolution(SPACE, population=4, sample=4)
    first = evolution.ask()
    evolution.tell(first, 100.0)
    for _ in range(12):
        network = evolution.ask()
        evolution.tell(network, 1.0)
    history = [network for network, _ in evolution.history]
    children_of_first = [child in SPACE.neighbours(first) for child in history]
    assert any(children_of_first[4:])
    for index in range(8, 13):
        alive = history[index - 4 : index]
        assert any(history[index] in SPACE.neighbours(parent) for parent in alive)
        assert first not in alive


def test_a_large_sample_takes_the_best_as_parent() -> None:
    evolution = Evolution(SPACE, population=3, sample=3)
    for value in (1.0, 3.0, 2.0):
        evolution.tell(evolution.ask(), value)
    [_, (best_one, _), _] = evolution.history
    # With replacement: the best is among three of three in 19 of 27 samples.
    children = 0
    for seed in range(40):
        evolution.seed = seed
        children += evolution.ask() in SPACE.neighbours(best_one)
    assert 20 <= children <= 36


def test_a_network_that_failed_is_no_parent_and_takes_no_place() -> None:
    evolution = Evolution(SPACE, population=2, sample=2)
    failed = evolution.ask()
    evolution.tell(failed, None)
    alive = []
    for _ in range(2):
        assert evolution.is_random(len(evolution.history))
        alive.append(evolution.ask())
        evolution.tell(alive[-1], 0.0)  # zero is a result, not a failure
    assert not evolution.is_random(len(evolution.history))
    child = evolution.ask()
    assert any(child in SPACE.neighbours(parent) for parent in alive)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "evolutoin"}, 'searcher must be one of evolution, random, received "evolutoin".*'
                                'Did you mean "evolution"'),
        ({"population": 1, "sample": 1}, "population must be at least 2, received 1"),
        ({"sample": 0}, "sample must be from 1 to the population of 16, received 0"),
        ({"sample": 17}, "sample must be from 1 to the population of 16, received 17"),
    ],
)  # fmt: skip
def test_wrong_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_searcher(**{"name": "evolution", "space": SPACE, **arguments})
