"""Dropout in a training step: masks differ where they must and repeat where they must."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from linear_network import train_step

from efficientnet_tf.models.layers import Dropout
from efficientnet_tf.training.state import TrainState

WIDTH = 64


def masks(
    strategy: tf.distribute.Strategy, at_step: int = 0, parts: int = 1, seed: int = 0
) -> np.ndarray:
    """How many parts kept each input, by replica: int [replicas, WIDTH].

    Seen through the gradient: row i of the kernel gets one where the mask keeps input i.
    """
    with strategy.scope():
        inputs = keras.Input((WIDTH,))
        x = Dropout(0.5, name="drop")(inputs)
        dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="zeros", name="out")
        state = TrainState(keras.Model(inputs, dense(x)), with_average=False)
    state.step.assign(at_step)
    count = strategy.num_replicas_in_sync
    step = train_step(
        state,
        strategy,
        global_batch_size=count * parts,
        seed=seed,
        accumulation_steps=parts,
        weight_decay=0.0,
        label_smoothing=0.0,
    )
    batch = {"image": tf.ones([parts, WIDTH]), "label": tf.zeros([parts], tf.int32)}
    (gradient,) = strategy.run(lambda: step.gradients(batch)[1])
    copies = strategy.experimental_local_results(gradient)
    # Kept inputs are doubled; zero logits give probabilities of a half: 2 * 0.5 = 1 for each.
    kept = np.stack([-copy.numpy()[:, 0] for copy in copies]) * count * parts
    np.testing.assert_allclose(kept, np.rint(kept), atol=1e-5)
    return np.rint(kept).astype(int)


def test_masks_differ_between_replicas_steps_parts_and_seeds(replicas: Any) -> None:
    first = masks(replicas(4))
    assert set(np.unique(first)) == {0, 1}
    assert 0.35 < first.mean() < 0.65
    later, other_seed = masks(replicas(4), at_step=1), masks(replicas(4), seed=1)
    rows = np.concatenate([first, later, other_seed])
    assert len(np.unique(rows, axis=0)) == 12
    both = masks(replicas(4), parts=2)
    second = both - first  # the first part draws what a whole batch draws
    assert set(np.unique(second)) == {0, 1}
    assert len(np.unique(np.concatenate([rows, second]), axis=0)) == 16


def test_masks_are_reproducible(replicas: Any) -> None:
    for changes in ({}, {"at_step": 7}, {"parts": 3}, {"seed": 5}):
        first = masks(replicas(2), **changes)
        keras.utils.set_random_seed(123)
        np.testing.assert_array_equal(first, masks(replicas(2), **changes))
