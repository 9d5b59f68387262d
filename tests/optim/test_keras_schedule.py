"""The schedule inside Keras: it is followed by an optimizer and survives saving."""

import dataclasses

import keras
import numpy as np
import pytest

from efficientnet_tf.optim.keras_schedule import KerasSchedule
from efficientnet_tf.optim.schedule import Schedule

ODD_OPTIONS = Schedule(
    kind="polynomial",
    peak=0.3,
    steps_per_epoch=7.5,
    total_steps=90,
    warmup_epochs=2.0,
    decay_epochs=1.1,
    decay_factor=0.9,
    staircase=False,
    end=0.01,
    power=3.0,
)


def test_config_keeps_every_option():
    defaults = Schedule("exponential", 0.1, 10.0, 100)
    for field in dataclasses.fields(Schedule):
        # Else the round trip below could lose an option and not show it.
        assert getattr(ODD_OPTIONS, field.name) != getattr(defaults, field.name)
    config = keras.saving.serialize_keras_object(KerasSchedule(ODD_OPTIONS))
    restored = keras.saving.deserialize_keras_object(config)
    assert isinstance(restored, KerasSchedule)
    assert restored.schedule == ODD_OPTIONS


def test_an_optimizer_follows_the_schedule():
    schedule = Schedule("cosine", 0.5, 2.0, 10, warmup_epochs=1.0)
    optimizer = keras.optimizers.SGD(KerasSchedule(schedule))
    weight = keras.Variable(np.zeros(1, np.float32))
    before = 0.0
    for step in range(10):
        optimizer.apply_gradients([(np.ones(1, np.float32), weight)])
        after = float(weight.numpy()[0])
        assert before - after == pytest.approx(schedule(step), abs=1e-6), f"step {step}"
        before = after
