"""Dropout and stochastic depth: their rates, what their masks depend on, the recorded example."""

import json
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from fake_engine import FakeEngine, features

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.engine import current_engine, use_engine
from efficientnet_tf.models.layers import BatchNormalization, Dropout, StochasticDepth

GOLDEN = Path(__file__).parents[1] / "golden"
EXAMPLE = json.loads((GOLDEN / "drop_connect_and_l2.json").read_text())["drop_connect_example"]


@pytest.mark.parametrize("survival_prob", [0.8, 0.9875, 0.3])
def test_stochastic_depth_keeps_whole_examples_at_its_rate(survival_prob):
    batch = 40_000
    layer = StochasticDepth(survival_prob, name="block2b_drop")
    with use_engine(FakeEngine(seed=3)):
        y = layer(tf.ones((batch, 2, 1, 3)), training=True).numpy()
    kept = y[:, 0, 0, 0] > 0
    np.testing.assert_allclose(y[kept], 1 / survival_prob, rtol=1e-6)
    np.testing.assert_array_equal(y[~kept], 0.0)
    sigma = np.sqrt(survival_prob * (1 - survival_prob) / batch)
    assert abs(kept.mean() - survival_prob) < 5 * sigma


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_drops_single_numbers_at_its_rate(rate):
    layer = Dropout(rate, name="top_dropout")
    with use_engine(FakeEngine(seed=3)):
        y = layer(tf.ones((200, 300)), training=True).numpy()
    kept = y > 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    sigma = np.sqrt(rate * (1 - rate) / y.size)
    assert abs(kept.mean() - (1 - rate)) < 5 * sigma
    # Single numbers: rows and columns are cut nowhere as a whole.
    assert 0 < kept.mean(axis=0).min() < kept.mean(axis=0).max() < 1
    assert 0 < kept.mean(axis=1).min() < kept.mean(axis=1).max() < 1


LAYERS = {
    "dropout": (lambda name=None: Dropout(0.3, name=name), (64, 50)),
    "stochastic_depth": (lambda name=None: StochasticDepth(0.7, name=name), (512, 1, 1, 2)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_without_an_engine_keras_draws_and_the_rate_is_the_same(kind):
    make, shape = LAYERS[kind]
    keras.utils.set_random_seed(11)
    layer = make()
    first, second = (layer(tf.ones(shape), training=True).numpy() for _ in range(2))
    assert (first != second).any()
    draws = np.prod(shape) if kind == "dropout" else shape[0]
    assert abs((first > 0).mean() - 0.7) < 5 * np.sqrt(0.21 / draws)
    np.testing.assert_allclose(first[first > 0], 1 / 0.7, rtol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_masks_depend_on_seed_and_layer_name_alone(kind):
    make, shape = LAYERS[kind]

    def mask(name, seed):
        with use_engine(FakeEngine(seed=seed)):
            return make(name)(tf.ones(shape), training=True).numpy() > 0

    np.testing.assert_array_equal(mask("block2b_drop", 1), mask("block2b_drop", 1))
    assert (mask("block2b_drop", 1) != mask("block2c_drop", 1)).any()
    assert (mask("block2b_drop", 1) != mask("block2b_drop", 2)).any()


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_asks_the_engine_once_under_a_number_made_from_its_name(kind):
    make, shape = LAYERS[kind]
    engine = FakeEngine()
    with use_engine(engine):
        make("block2b_drop")(tf.ones(shape), training=True)
    wanted = shape if kind == "dropout" else (shape[0], 1, 1, 1)
    assert engine.asked == [(wanted, zlib.crc32(b"block2b_drop") % 2**31)]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("training", [False, None])
def test_inference_drops_nothing(kind, training):
    make, shape = LAYERS[kind]
    x = features((*shape[:-1], shape[-1]))
    engine = FakeEngine()
    with use_engine(engine):
        np.testing.assert_array_equal(make()(x, training=training), x)
    assert engine.asked == []


@pytest.mark.parametrize("layer", [Dropout(0.0), StochasticDepth(1.0)])
def test_a_layer_that_drops_nothing_asks_for_nothing(layer):
    x = features((4, 2, 2, 3))
    engine = FakeEngine()
    with use_engine(engine):
        np.testing.assert_array_equal(layer(x, training=True), x)
    assert engine.asked == []


def test_stochastic_depth_repeats_the_recorded_example():
    layer = StochasticDepth(EXAMPLE["survival_prob"])
    with use_engine(FakeEngine(uniform=EXAMPLE["u"])):
        y = layer(np.array(EXAMPLE["x"], np.float32), training=True)
    np.testing.assert_array_equal(y, np.array(EXAMPLE["y"], np.float32))


def test_bfloat16_is_dropped_at_the_exact_rate():
    """The draw is float32 whatever the features are: no rate is rounded to bfloat16."""
    layer = StochasticDepth(0.9875, dtype="mixed_bfloat16")
    draw = np.array([0.0120, 0.0124, 0.0126, 0.0130], np.float32)
    with use_engine(FakeEngine(uniform=draw)):
        y = layer(tf.ones((4, 1, 1, 1), tf.bfloat16), training=True)
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(y, tf.float32)[:, 0, 0, 0] > 0, [0, 0, 1, 1])


def test_the_engine_ends_with_its_block():
    assert current_engine() is None
    outer, inner = FakeEngine(), FakeEngine()
    with use_engine(outer):
        with use_engine(inner):
            assert current_engine() is inner
        assert current_engine() is outer
        with pytest.raises(UsageError), use_engine(inner):
            BatchNormalization(activation="gelu")
        assert current_engine() is outer
    assert current_engine() is None
