"""The MnasNet space as block strings: its members, its size, its neighbourhoods."""

from collections import Counter

import numpy as np
import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.block_string import BlockArgs, decode_all, encode
from efficientnet_tf.models.variants import B0_BLOCKS, make_architecture
from efficientnet_tf.search.space import Network, Space

STRIDED = ("r1_k3_s22_e6_i32_o32_se0.25",)
SAME = ("r2_k3_s11_e6_i32_o32_se0.25",)


def draws(space: Space, count: int, seed: int = 0) -> list[Network]:
    generator = np.random.default_rng(seed)
    return [space.draw(generator) for _ in range(count)]


def reachable(space: Space) -> set[Network]:
    """Every network that mutations lead to from a drawn one."""
    [start] = draws(space, 1)
    found, open_ends = {start}, [start]
    while open_ends:
        for network in space.neighbours(open_ends.pop()):
            if network not in found:
                found.add(network)
                open_ends.append(network)
    return found


# Blocks: 3 MBConv-like operations x 2 SE + 1 fused = 7, x 2 kernels = 14, x 2 skips = 28.
# A strided stage: 1 layer, no residual possible: 14; 2 layers: 28; 24, 32 or 40 filters.
# A stage that keeps its size, 1 layer: 28 if 32 filters come out, else 14; 2 or 3 layers: 28.
@pytest.mark.parametrize(
    ("baseline", "size"),
    [(STRIDED, 3 * (14 + 28)), (SAME, (28 + 2 * 14) + 2 * 3 * 28)],
)
def test_size_and_members_of_a_small_space(baseline: Network, size: int) -> None:
    space = Space(baseline)
    assert space.size == size
    members = reachable(space)
    assert len(members) == size
    assert set(draws(space, 4000)) == members


def test_size_follows_the_filters_between_stages() -> None:
    """The second stage keeps its shape for one of the three filters of the first."""
    space = Space((*STRIDED, "r1_k3_s11_e6_i32_o32"))
    one_layer, two_layers = 28 + 2 * 14, 3 * 28  # of the second stage, after any first one
    assert space.size == 3 * (14 + 28) * (one_layer + two_layers)


def test_no_two_members_are_the_same_network() -> None:
    members = reachable(Space(SAME))
    built = {make_architecture("efficientnet-b0", blocks_args=member) for member in members}
    assert len(built) == len(members)


def test_every_value_of_the_paper_s_space_is_drawn() -> None:
    stages = [decode_all(network) for network in draws(Space(B0_BLOCKS), 300)]
    assert {stage.kernel_size for network in stages for stage in network} == {3, 5}
    assert {stage.se_ratio for network in stages for stage in network} == {None, 0.25}
    assert {stage.id_skip for network in stages for stage in network} == {True, False}
    operations = Counter(
        (stage.conv_type, stage.expand_ratio) for network in stages for stage in network
    )
    assert set(operations) == {(0, 1), (0, 3), (0, 6), (1, 3)}
    assert min(operations.values()) > 0.2 * sum(operations.values())
    # Stage 6 of B0: 4 layers of 192 filters; stage 1: 1 layer of 16, where 0.75 rounds to 16, too.
    assert {network[5].num_repeat for network in stages} == {3, 4, 5}
    assert {network[5].output_filters for network in stages} == {144, 192, 240}
    assert {network[0].num_repeat for network in stages} == {1, 2}
    assert {network[0].output_filters for network in stages} == {16, 24}


def test_drawn_networks_fit_together_and_keep_the_strides() -> None:
    for network in draws(Space(B0_BLOCKS), 50):
        make_architecture("efficientnet-b0", blocks_args=network)
        stages = decode_all(network)
        assert [encode(stage) for stage in stages] == list(network)
        assert stages[0].input_filters == 32
        for before, stage, published in zip(
            stages, stages[1:], decode_all(B0_BLOCKS)[1:], strict=False
        ):
            assert stage.input_filters == before.output_filters
            assert stage.strides == published.strides


def test_draws_are_a_function_of_the_seed() -> None:
    space = Space(B0_BLOCKS)
    assert draws(space, 5) == draws(Space(B0_BLOCKS), 5)
    assert draws(space, 5) != draws(space, 5, seed=1)


def choice_of(stage: BlockArgs) -> dict[str, object]:
    return {
        "operation": (stage.conv_type, stage.expand_ratio),
        "kernel": stage.kernel_size,
        "se": stage.se_ratio,
        "skip": stage.id_skip,
        "filters": stage.output_filters,
        "layers": stage.num_repeat,
    }


def test_a_mutation_changes_one_choice_of_one_stage() -> None:
    space, generator = Space(B0_BLOCKS), np.random.default_rng(0)
    seen: Counter = Counter()
    for parent in draws(space, 60):
        child = space.mutate(parent, generator)
        assert child != parent
        pairs = [
            (choice_of(one), choice_of(other))
            for one, other in zip(decode_all(parent), decode_all(child), strict=True)
        ]
        changed = [
            (stage, name)
            for stage, (one, other) in enumerate(pairs)
            for name in one
            if one[name] != other[name]
        ]
        names = {name for _, name in changed}
        # What goes with it: a fused block has no SE; a skip is only written where it matters.
        main = names - {"skip"} - ({"se"} if "operation" in names else set())
        assert len(main) <= 1
        assert main or names == {"skip"}
        assert len({stage for stage, name in changed if name in main}) <= 1
        seen.update(main or names)
    assert set(seen) == {"operation", "kernel", "se", "skip", "filters", "layers"}


def test_mutations_lead_both_ways() -> None:
    space = Space(SAME)
    member = ("r2_k3_s11_e3_i32_o32",)
    for neighbour in space.neighbours(member):
        assert member in space.neighbours(neighbour), neighbour


def test_neighbours_of_a_single_stage() -> None:
    found = Space(STRIDED).neighbours(("r2_k3_s22_e3_i32_o32",))
    assert sorted(found) == sorted(
        [
            ("r2_k3_s22_e1_i32_o32",),
            ("r2_k3_s22_e6_i32_o32",),
            ("r2_k3_s22_e3_i32_o32_c1",),
            ("r2_k5_s22_e3_i32_o32",),
            ("r2_k3_s22_e3_i32_o32_se0.25",),
            ("r2_k3_s22_e3_i32_o32_noskip",),
            ("r2_k3_s22_e3_i32_o24",),
            ("r2_k3_s22_e3_i32_o40",),
            ("r1_k3_s22_e3_i32_o32",),
        ]
    )


def test_b0_is_in_its_own_space() -> None:
    """The paper found it in this space: step by step one comes to it from anywhere."""
    space = Space(B0_BLOCKS)

    def agreement(network: Network) -> int:
        pairs = zip(decode_all(network), decode_all(B0_BLOCKS), strict=True)
        return sum(
            value == choice_of(published)[name]
            for stage, published in pairs
            for name, value in choice_of(stage).items()
        )

    for network in draws(space, 3):
        steps = 0
        while network != B0_BLOCKS and steps < 60:
            network = max(space.neighbours(network), key=agreement)
            steps += 1
        assert network == B0_BLOCKS


def test_a_wrong_baseline_is_refused() -> None:
    with pytest.raises(UsageError, match='unknown token "x7"'):
        Space(["r1_k3_s11_e1_i32_o16_x7"])
    with pytest.raises(UsageError, match="at least one block string"):
        Space([])
