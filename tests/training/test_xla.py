"""The update as XLA compiles it, the plain layers included: what a TPU asks for first."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.config import OptimizerConfig, TrainConfig
from efficientnet_tf.optim.schedule import Schedule
from efficientnet_tf.training.steps import TrainStep

BATCH = {
    "image": tf.constant(np.random.RandomState(0).randint(0, 256, (8, 16, 16, 3)), tf.uint8),
    "label": tf.range(8),
}


@pytest.mark.parametrize(("dtype", "parts"), [("float32", 2), ("mixed_bfloat16", 1)])
def test_the_update_compiles_and_computes_the_same_masks_and_all(
    replicas: Any, tiny_state: Any, monkeypatch: pytest.MonkeyPatch, dtype: str, parts: int
) -> None:
    monkeypatch.setattr("efficientnet_tf.training.steps.kernels_for", lambda strategy: None)
    strategy = replicas(1)
    schedule = Schedule("exponential", 0.1, steps_per_epoch=1.0, total_steps=10, warmup_epochs=0)
    optimizer = OptimizerConfig(clip_norm=1.0)
    train = TrainConfig(global_batch_size=8, accumulation_steps=parts)
    losses, states = [], []
    for compiled in (False, True):
        state = tiny_state(strategy, dtype=dtype, dropout_rate=0.5, survival_prob=0.5)
        step = TrainStep(state, strategy, schedule, optimizer, train)
        update = tf.function(step.update, jit_compile=compiled, autograph=False)
        losses.append(strategy.run(update, args=(BATCH,)).numpy())
        states.append({name: v.numpy() for name, v in state.named_variables().items()})
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(losses[1], losses[0], rtol=tolerance)
    plain, compiled_state = states
    assert compiled_state["step"] == 1
    for name, value in plain.items():
        scale = max(np.abs(value).max(), 1e-3)
        np.testing.assert_allclose(
            compiled_state[name], value, rtol=0, atol=10 * tolerance * scale, err_msg=name
        )
