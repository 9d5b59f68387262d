"""threefry-2x32: the published vectors, the same bits on every engine, fair numbers."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.models.random_bits import threefry, uniform

# Of the authors' Random123, file kat_vectors, 20 rounds: key, counter, result.
VECTORS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]
WORDS = (2**31 - 1, 7, 2**32 - 1, 3)


def words(values: tuple[int, ...]) -> list[tf.Tensor]:
    return [tf.constant(value, tf.uint32) for value in values]


@pytest.mark.parametrize(("key", "counter", "result"), VECTORS)
def test_the_published_vectors(key: tuple, counter: tuple, result: tuple) -> None:
    assert tuple(int(word) for word in threefry(words(key), words(counter))) == result


@pytest.mark.parametrize("count", [1, 5, 32, 1001])
def test_the_same_bits_under_xla_and_for_a_count_known_late(count: int) -> None:
    plain = uniform(count, words(WORDS)).numpy()
    assert plain.shape == (count,)
    compiled = tf.function(lambda: uniform(count, words(WORDS)), jit_compile=True, autograph=False)
    np.testing.assert_array_equal(compiled().numpy(), plain)
    late = tf.function(lambda n: uniform(n, words(WORDS)), autograph=False)
    np.testing.assert_array_equal(late(tf.constant(count)).numpy(), plain)
    np.testing.assert_array_equal(uniform(2000, words(WORDS))[:1].numpy(), plain[:1])


def test_the_same_bits_under_jax() -> None:
    pytest.importorskip("jax")
    program = f"""
import os
os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
import json, jax, numpy as np
from efficientnet_tf.models.random_bits import uniform
words = [np.uint32(word) for word in {WORDS}]
drawn = [uniform(1001, words), jax.jit(lambda: uniform(1001, words))()]
print(json.dumps([np.asarray(each).tolist() for each in drawn]))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for drawn in json.loads(run.stdout):
        np.testing.assert_array_equal(drawn, uniform(1001, words(WORDS)).numpy())


def test_the_numbers_are_uniform_and_each_word_matters() -> None:
    drawn = uniform(200_000, words(WORDS)).numpy()
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1
    # Tenths of the range get 20,000 each; standard deviation 134.
    np.testing.assert_allclose(np.histogram(drawn, 10, (0, 1))[0], 20_000, atol=600)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / np.sqrt(len(drawn))
    seen = {tuple(drawn[:4])}
    for place in range(4):
        other = [word ^ (1 if number == place else 0) for number, word in enumerate(WORDS)]
        seen.add(tuple(uniform(4, words(tuple(other))).numpy()))
    assert len(seen) == 5
