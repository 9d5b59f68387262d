"""Random damage to bytes, for tests that read what was damaged."""

import numpy as np


def mutate(data: bytes, random: np.random.RandomState) -> bytes:
    """One to three random changes: bytes, bits, cuts, insertions, stretches repeated or swapped."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if not changed:
            break
        # Half of the changes hit the header, where the sizes are.
        end = min(len(changed), 700) if random.rand() < 0.5 else len(changed)
        start = random.randint(end)
        stop = min(len(changed), start + random.randint(1, 200))
        kind = random.randint(8)
        if kind == 0:
            changed[start] ^= 1 << random.randint(8)
        elif kind == 1:
            changed[start] = random.choice([0, 1, 127, 128, 254, 255])
        elif kind == 2:
            del changed[start:]
        elif kind == 3:
            del changed[start:stop]
        elif kind == 4:
            changed[start:start] = changed[start:stop]
        elif kind == 5:
            changed[start:stop] = bytes(random.bytes(stop - start))
        else:  # what stands elsewhere in the file: swapped with it, or copied over it
            other = random.randint(len(changed))
            size = min(stop - start, len(changed) - other)
            piece, there = changed[other : other + size], changed[start : start + size]
            changed[start : start + size] = piece
            if kind == 7 and abs(other - start) >= size:
                changed[other : other + size] = there
    return bytes(changed)


def flip(data: bytes, random: np.random.RandomState) -> bytes:
    """One bit changed, the damage that checks of structure notice least."""
    changed = bytearray(data)
    changed[random.randint(len(changed))] ^= 1 << random.randint(8)
    return bytes(changed)
