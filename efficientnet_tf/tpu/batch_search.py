"""The largest batch that fits, found with as few compiles as possible.

Batches are powers of two and one and a half times them: 1, 2, 3, 4, 6, 8, 12, ... The compiler
recomputes activations by itself before it gives up, so memory is not linear in the batch; but
what it says a refused program needs is a good guess of what the largest accepted one is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LARGEST = 3 * 2**16
_SIZES = sorted({size * 2**power for size in (2, 3) for power in range(17)} | {1})


@dataclass(frozen=True)
class Attempt:
    """One compile.

    Attributes:
        batch: images on one device.
        hbm_bytes: peak if it fits, else what the compiler says it needs (None: it did not say).
    """

    batch: int
    fits: bool
    hbm_bytes: float | None


def at_most(batch: float) -> int:
    """The largest size of the grid that is not above `batch`; 1 if none is."""
    return max((size for size in _SIZES if size <= batch), default=1)


def above(batch: int) -> int:
    """The next size of the grid."""
    return next(size for size in _SIZES if size > batch)


def bracket(attempts: Sequence[Attempt]) -> tuple[int, int | None]:
    """(largest batch that fits, smallest that does not); 0 and None where there is none yet."""
    fitting = max((attempt.batch for attempt in attempts if attempt.fits), default=0)
    refused = min((attempt.batch for attempt in attempts if not attempt.fits), default=None)
    return fitting, refused


def next_batch(attempts: Sequence[Attempt], guess: float, usable_bytes: float) -> int | None:
    """What to compile next; None if the largest that fits is known.

    Args:
        attempts: so far.
        guess: images that may fit, for the first compile.
        usable_bytes: memory of the device.
    """
    fitting, refused = bracket(attempts)
    if not attempts:
        return at_most(guess)
    if fitting >= LARGEST or refused == 1 or (refused is not None and refused == above(fitting)):
        return None
    lowest, highest = above(fitting), at_most(refused - 1) if refused is not None else LARGEST
    known = {attempt.batch: attempt.hbm_bytes for attempt in attempts}
    nearest = fitting if refused is None else refused
    needed = known[nearest]
    estimate = at_most(nearest * usable_bytes / needed) if needed else lowest
    return min(max(estimate, lowest), highest)
