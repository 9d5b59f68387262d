"""The grid of step 1, against cases worked out by hand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.compound import Coefficients
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.operations import Operation
from efficientnet_tf.models.scaling import round_filters, round_repeats
from efficientnet_tf.search import grid as grid_lib
from efficientnet_tf.search.grid import GridPoint, Limits, grid, table, triples


@dataclass(frozen=True)
class Toy:
    """1x1 convolutions: layers * filters^2 * pixels^2 multiply-adds, 4 * 16^2 * 10^2 unscaled."""

    layers: int = 4
    filters: int = 16
    resolution: int = 10
    name: str = "toy"
    classes: int = 10

    @property
    def num_blocks(self) -> int:
        return self.layers

    def operations(self, classes: int) -> Sequence[Operation]:
        kernel, output = (1, 1, *2 * (self.filters,)), (*2 * (self.resolution,), self.filters)
        return [Operation("conv", "conv", kernel, output)] * self.layers

    def scaled(
        self, *, depth: float = 1.0, width: float = 1.0, resolution: int | None = None
    ) -> "Toy":
        filters = round_filters(self.filters, width)
        return Toy(round_repeats(self.layers, depth), filters, resolution or self.resolution)

    def build(self, **arguments: Any) -> Any:
        raise AssertionError("a grid is arithmetic")


def points(*values: tuple[float, float, float], **options: Any) -> list[GridPoint]:
    return grid(Toy(), [Coefficients(a, b, c, 2.0) for a, b, c in values], **options)


def test_the_papers_triple_is_in_the_default_grid_and_no_scaling_is_not() -> None:
    found = triples(grid_lib.ALPHAS, grid_lib.BETAS, grid_lib.GAMMAS, grid_lib.TOLERANCE)
    values = [(each.alpha, each.beta, each.gamma) for each in found]
    assert (1.2, 1.1, 1.15) in values
    assert (1.0, 1.0, 1.0) not in values
    assert len(set(values)) == len(values)
    assert all(1.9 <= a * b**2 * c**2 <= 2.1 for a, b, c in values)


def test_of_these_only_the_papers_triple_doubles() -> None:
    # Its growth is 1.2 * 1.21 * 1.3225 = 1.920; without any one of the three at most 1.600.
    [only] = triples([1, 1.2], [1, 1.1], [1, 1.15], 0.1)
    assert (only.alpha, only.beta, only.gamma) == (1.2, 1.1, 1.15)


def test_the_tolerance_belongs_to_the_grid() -> None:
    # 1.9 and 2.1 are 0.1 from 2; in binary the first is a little more.
    found = triples([1.89, 1.9, 2.1, 2.11], [1], [1], 0.1)
    assert [each.alpha for each in found] == [1.9, 2.1]


def test_ratios_by_hand() -> None:
    found = points((2, 1, 1), (1, 1.4, 1), (1, 1, 1.4), (1.2, 1.1, 1.15))
    # 8 layers; 24 filters for 22.4; 14 pixels; 5 layers for 4.8, 16 filters for 17.6, 12 pixels.
    assert [point.ratio for point in found] == [2.0, 2.25, 1.96, 5 * 144 / 400]
    assert [point.refused for point in found] == [""] * 4
    assert [point.scaled.network.resolution for point in found] == [10, 10, 14, 12]


def test_what_rounding_moves_too_far_is_listed_with_its_ratio() -> None:
    # 5 layers for 4.4, 24 filters for 21.6: 5 / 4 * (24 / 16)^2 = 2.8125 where 2.005 was meant.
    [point] = points((1.1, 1.35, 1))
    assert point.ratio == 2.8125
    assert point.refused == "+41 % from 2 times the multiply-adds"
    assert points((1.1, 1.35, 1), ratio_tolerance=0.41)[0].refused == ""
    lines = table([point, *points((2, 1, 1))]).splitlines()
    assert lines[1].split()[-1] == "accepted"
    assert lines[2].endswith("refused: +41 % from 2 times the multiply-adds")
    assert "2.812" in lines[2]


def test_a_network_is_trained_once() -> None:
    found = points((2, 1, 1), (1.95, 1, 1), (1.76, 1, 1))  # 8 layers for 8, 7.8 and 7.04
    same = "the same network as (2, 1, 1)"
    assert [point.refused for point in found] == ["", same, same]


def test_phi_moves_what_is_wanted() -> None:
    [point] = points((2, 1, 1), phi=2)
    assert (point.ratio, point.refused) == (4.0, "")
    [point] = points((1, 1.4, 1), phi=2)  # 32 filters for 31.36
    assert point.ratio == 4.0
    [point] = points((1.9, 1, 1), phi=-1, ratio_tolerance=0.4)  # 3 layers for 2.1
    assert (point.ratio, point.refused) == (0.75, "+50 % from 0.5 times the multiply-adds")


def test_the_limits_of_equation_1() -> None:
    cost, memory = 8 * 256 * 100, 4 * 8 * 16 * 100  # of (2, 1, 1)
    assert points((2, 1, 1), limits=Limits(cost, memory))[0].refused == ""
    [point] = points((2, 1, 1), limits=Limits(multiply_adds=cost - 1))
    assert point.refused == "more than 204,799 multiply-adds"
    [point] = points((2, 1, 1), limits=Limits(memory=memory - 1))
    assert point.refused == "more than 51,199 bytes of activations"


def test_the_papers_triple_on_b0() -> None:
    [point] = grid(find_network("efficientnet-b0"), [Coefficients()])
    # Layers of Table 1 by 1.2, rounded up: 2 + 3 + 3 + 4 + 4 + 5 + 2; 224 * 1.15 = 257.6 pixels.
    assert (point.scaled.network.num_blocks, point.scaled.network.resolution) == (23, 258)
    assert point.refused == ""
    # Rounding up makes it cost far more than twice, so a strict tolerance refuses it.
    assert 2.5 < point.ratio < 2.6
    [point] = grid(find_network("efficientnet-b0"), [Coefficients()], ratio_tolerance=0.25)
    assert point.refused == "+29 % from 2 times the multiply-adds"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.9], [1], [1], 0.1), "alphas must be numbers of at least 1, received 0.9."),
        (([2], [], [1], 0.1), "betas must be numbers of at least 1, received none."),
        (([2], [1], [math.nan], 0.1), "gammas must be numbers of at least 1, received nan."),
        (([2], [1], [1], -0.1), "tolerance must be a number of at least 0, received -0.1."),
        (
            ([1, 1.2], [1], [1], 0.1),
            "none of the 2 triples has alpha * beta^2 * gamma^2 within 0.1 of 2; the nearest is "
            "(1.2, 1, 1) with 1.200. Give other values, or a larger tolerance.",
        ),
    ],
)
def test_wrong_lists_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        triples(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phi": 0}, "phi must not be 0"),
        ({"phi": math.inf}, "phi must be a finite number"),
        ({"ratio_tolerance": -1}, "ratio_tolerance must be a number of at least 0, received -1."),
    ],
)
def test_wrong_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        points((2, 1, 1), **options)


@pytest.mark.parametrize("name", ["multiply_adds", "memory"])
def test_wrong_limits_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"the limit of {name} must be above 0, received 0."):
        Limits(**{name: 0})
