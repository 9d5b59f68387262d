"""Random numbers that are the same on every engine: the generator threefry-2x32 in integers.

The masks of dropout and stochastic depth come from here. The generators of TensorFlow, of
TensorFlow under XLA and of JAX give different numbers for the same seed; this one is arithmetic on
32-bit words (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", 20 rounds), so a
training with everything random switched on can be compared between them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _word(value: int) -> Any:
    return ops.convert_to_tensor(np.array(value, np.uint32))


def _rotated(x: Any, by: int) -> Any:
    return ops.bitwise_or(ops.left_shift(x, _word(by)), ops.right_shift(x, _word(32 - by)))


def threefry(key: Sequence[Any], counter: Sequence[Any]) -> tuple[Any, Any]:
    """Two words for each pair of a counter, a function of key and counter alone.

    Args:
        key: two uint32 tensors, scalars.
        counter: two uint32 tensors of one shape.
    """
    keys = (*key, ops.bitwise_xor(ops.bitwise_xor(key[0], key[1]), _word(_PARITY)))
    x, y = ops.add(counter[0], keys[0]), ops.add(counter[1], keys[1])
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            x = ops.add(x, y)
            y = ops.bitwise_xor(_rotated(y, rotation), x)
        x = ops.add(x, keys[(block + 1) % 3])
        y = ops.add(y, ops.add(keys[(block + 2) % 3], _word(block + 1)))
    return x, y


def uniform(count: Any, words: Sequence[Any]) -> Any:
    """Float32 numbers in [0, 1), multiples of 2**-24: [count].

    Args:
        count: how many, a whole number or scalar tensor.
        words: four uint32 scalars that they are a function of.
    """
    key = threefry(words[:2], words[2:])
    blocks = ops.cast(ops.arange(0, (count + 1) // 2, dtype="int32"), "uint32")
    both = ops.concatenate(threefry(key, (blocks, ops.zeros_like(blocks))))[:count]
    high = ops.right_shift(both, _word(8))
    # By way of int32, for not every device turns uint32 into floats; 24 bits fit.
    return ops.cast(ops.cast(high, "int32"), "float32") * np.float32(2.0**-24)
