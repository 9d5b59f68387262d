"""The search for the largest batch, against made-up memory."""

from collections.abc import Callable

import pytest

from efficientnet_tf.tpu.batch_search import LARGEST, Attempt, above, at_most, bracket, next_batch

USABLE = 16e9


def search(guess: float, needs: Callable[[int], float]) -> list[Attempt]:
    attempts: list[Attempt] = []
    while (batch := next_batch(attempts, guess, USABLE)) is not None:
        assert batch not in [attempt.batch for attempt in attempts]
        attempts.append(Attempt(batch, needs(batch) <= USABLE, needs(batch)))
    return attempts


def test_sizes_are_powers_of_two_and_half_as_much_again() -> None:
    sizes = [1]
    while len(sizes) < 9:
        sizes.append(above(sizes[-1]))
    assert sizes == [1, 2, 3, 4, 6, 8, 12, 16, 24]
    assert [at_most(batch) for batch in (0.5, 1, 5, 12, 1000)] == [1, 1, 4, 12, 768]


@pytest.mark.parametrize("guess", [0.1, 3, 100, 2000, 1e9])
@pytest.mark.parametrize("each", [1e6, 7e6, 3e8, 6e9, 15.9e9])
def test_finds_the_largest_from_any_guess(each: float, guess: float) -> None:
    attempts = search(guess, lambda batch: 5e7 + each * batch)
    fitting, refused = bracket(attempts)
    assert 5e7 + each * fitting <= USABLE < 5e7 + each * above(fitting)
    assert refused == above(fitting)
    assert len(attempts) <= 6


def test_a_good_guess_takes_two_compiles() -> None:
    assert [a.batch for a in search(2500, lambda batch: 6.4e6 * batch)] == [2048, 3072]


def test_memory_that_is_not_linear() -> None:
    # The compiler recomputes only when it must: twice the memory of a large batch an image.
    attempts = search(200, lambda b: min(14e6 * b, max(15e9, 6.4e6 * b)))
    assert bracket(attempts) == (2048, 3072)


def test_nothing_fits() -> None:
    attempts = search(10, lambda batch: 17e9 * batch)
    assert bracket(attempts) == (0, 1)


def test_everything_fits() -> None:
    assert bracket(search(10, lambda batch: 1.0)) == (LARGEST, None)


def test_a_refusal_without_a_number() -> None:
    attempts = [Attempt(64, False, None)]
    assert next_batch(attempts, 64, USABLE) == 1
    attempts.append(Attempt(1, True, 1e9))
    assert next_batch(attempts, 64, USABLE) == 2
