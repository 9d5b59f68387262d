"""Three whole training steps of B0 against those of the official program (train_steps_b0.npz).

64x64 images, batch 8, no dropout, label smoothing 0.1, L2 1e-5, rate 0.016 times 0.97 every two
steps, EMA 0.9999. Recorded are, for every variable before and after each step, its mean, its norm
and its first four numbers.

The steps in float64 are held against the record; those in float32, with the CPU's kernels and with
the TPU's (compiled by XLA and made to do with this batch what they do with a large one), against
float64. Both within what rounding explains, see golden/rounding.py.
"""

import itertools
import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden import fill
from golden.recorded import fill_weights
from golden.rounding import (
    UNIT,
    is_rounding,
    is_rounding_of_one,
    of_moments,
    of_scale_and_shift,
    rms,
    with_spread,
)

from efficientnet_tf.config import OptimizerConfig, TrainConfig
from efficientnet_tf.models.layers import BatchNormalization
from efficientnet_tf.optim.loss import is_weight_decayed, l2_penalty
from efficientnet_tf.optim.schedule import Schedule
from efficientnet_tf.training import steps, tpu_kernels
from efficientnet_tf.training.state import TrainState
from efficientnet_tf.training.steps import TrainStep
from efficientnet_tf.zoo import create_model

GOLDEN = Path(__file__).parents[1] / "golden"
L2 = json.loads((GOLDEN / "drop_connect_and_l2.json").read_text())["l2"]
ROOT = "efficientnet-b0"
# Ours -> the ending of the official name.
TABLES = {
    "weights": "",
    "average": "/ExponentialMovingAverage",
    "mean_square": "/RMSProp",
    "momentum": "/RMSProp_1",
}
STATISTICS = ("l2", "mean", "first4")
LAST, BATCH, SIDE = 3, 8, 64


class Recorded:
    def __init__(self):
        with np.load(GOLDEN / "train_steps_b0.npz") as archive:
            self.values = dict(archive)
        self.row = {str(name): row for row, name in enumerate(self.values["names"])}
        images = fill.image_batch(7000, BATCH, SIDE).astype(np.float32)
        labels = self.values["labels"].astype(np.int32)
        self.batch = {"image": tf.constant(images), "label": tf.constant(labels)}


class Run:
    """The steps of one kind: a state with the recorded start and what it computes from there."""

    def __init__(self, recorded, dtype="float32", kernels="cpu_kernels"):
        strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
        with strategy.scope():
            self.model = create_model(
                ROOT,
                classifier_activation=None,
                resolution=SIDE,
                dropout_rate=0,
                survival_prob=1,
                dtype=dtype,
            )
            self.names = fill_weights(
                self.model, ROOT, {"moving_mean": 0.0, "moving_variance": 1.0}
            )
            self.state = TrainState(self.model, with_average=True)
        schedule = Schedule(
            "exponential", 0.016, steps_per_epoch=1, total_steps=10, warmup_epochs=0, decay_epochs=2
        )
        # As float32 has them, in float64, too: TF1's optimizer takes 1 - float32(0.9).
        rho, epsilon = float(np.float32(0.9)), float(np.float32(1e-3))
        optimizer = OptimizerConfig(rho=rho, momentum=rho, epsilon=epsilon)
        train = TrainConfig(global_batch_size=BATCH)
        with pytest.MonkeyPatch.context() as patch:
            if kernels == "tpu_kernels":
                patch.setattr(steps, "kernels_for", lambda strategy: tpu_kernels)
                patch.setattr(tpu_kernels, "LANES", 1)
            train_step = TrainStep(self.state, strategy, schedule, optimizer, train)
            update = train_step.update
            if kernels == "tpu_kernels":
                update = tf.function(update, jit_compile=True, autograph=False)

            def with_gradients(batch):
                loss, gradients = strategy.run(train_step.gradients, args=(batch,))
                return loss, dict(zip(self.state.trainable, gradients, strict=True))

            def run_one(batch):
                return strategy.run(update, args=(batch,))

            self._gradients = tf.function(with_gradients, autograph=False)
            self._update = tf.function(run_one, autograph=False)
            self._update.get_concrete_function(recorded.batch)
        self._batch = recorded.batch
        self.start = self._snapshot()

    def _snapshot(self):
        return {name: value.numpy() for name, value in self.state.named_variables().items()}

    def gradients(self):
        """{path: gradient at the start}, and "loss". The batch-norm statistics move."""
        loss, gradients = self._gradients(self._batch)
        return {"loss": loss.numpy(), **{path: value.numpy() for path, value in gradients.items()}}

    def steps(self):
        """{"step2/momentum/PATH": change since the start}, and "loss 0" to "loss 3".

        A perturbed network starts elsewhere; what counts is which way it goes from there.
        """
        state = self.state
        for path, average in state.average.items():
            average.assign(state.weights[path])
        for path in state.trainable:
            state.mean_square[path].assign(tf.ones_like(state.mean_square[path]))
            state.momentum[path].assign(tf.zeros_like(state.momentum[path]))
        state.step.assign(0)
        start, found = self._snapshot(), {}
        for step in range(LAST + 1):
            for name, value in self._snapshot().items():
                if name.partition("/")[0] in TABLES:
                    found[f"step{step}/{name}"] = value.astype(np.float64) - start[name]
            found[f"loss {step}"] = self._update(self._batch).numpy()
        return found


@pytest.fixture(scope="module")
def recorded():
    return Recorded()


@pytest.fixture(scope="module")
def double(recorded):
    return Run(recorded, "float64")


def add_own_sums(layer, found, spread, prefix=""):
    """Adds to the spread of the gradients of gamma and beta what their own sums round."""
    gamma, beta = prefix + layer.gamma.path, prefix + layer.beta.path
    own = of_scale_and_shift(layer, found[gamma], BATCH)
    spread[gamma] += own
    spread[beta] += own


@pytest.fixture(scope="module")
def exact(double):
    """(the steps in float64, the spread of rounding)."""
    found, spread = with_spread(double.steps, double.model, BATCH)
    for layer in double.model.layers:
        if isinstance(layer, BatchNormalization):
            mean, variance = layer.moving_mean.path, layer.moving_variance.path
            # The first step moved the statistics from 0 and 1 by this part of the batch's.
            part = 1 - layer.momentum
            batch_mean = found[f"step1/weights/{mean}"] / part
            batch_variance = 1 + found[f"step1/weights/{variance}"] / part
            own = of_moments(layer, batch_mean, batch_variance, BATCH)
            for step, table in itertools.product(range(1, LAST + 1), ("weights", "average")):
                spread[f"step{step}/{table}/{mean}"] += step * part * own["moving_mean"]
                spread[f"step{step}/{table}/{variance}"] += step * part * own["moving_variance"]
            for step in range(1, LAST + 1):
                add_own_sums(layer, found, spread, f"step{step}/momentum/")
    for name in spread:
        if name.startswith("step"):  # stored in float32, in the record, too
            spread[name] += UNIT * np.abs(double.start[name.partition("/")[2]]).max()
    return found, spread


def test_every_recorded_variable_is_one_of_ours(recorded, double):
    ours = {
        official + ending
        for path, official in double.names.items()
        for table, ending in TABLES.items()
        if f"{table}/{path}" in double.start
    }
    assert ours == set(recorded.row)
    assert len(ours) == 2 * 311 + 2 * 213
    assert recorded.values["global_step_after"] == LAST


def test_the_losses_are_the_recorded_ones(recorded, exact):
    found, spread = exact
    assert len(recorded.values["loss"]) == LAST + 1
    for step, expected in enumerate(recorded.values["loss"]):
        assert is_rounding(found[f"loss {step}"] - expected, spread[f"loss {step}"])


@pytest.mark.parametrize("step", range(LAST + 1))
@pytest.mark.parametrize("table", TABLES)
def test_every_variable_follows_the_recorded_steps(recorded, double, exact, table, step):
    found, spread = exact
    wrong = {}
    for path, official in double.names.items():
        name = f"step{step}/{table}/{path}"
        if name not in found:  # the statistics of batch norm have no slots
            continue
        value = double.start[f"{table}/{path}"].astype(np.float64) + found[name]
        row = recorded.row[official + TABLES[table]]
        norm, mean, first = (recorded.values[f"step{step}|{kind}"][row] for kind in STATISTICS)
        first = first[: value.size]
        checks = {
            # Neither moves by more than the root mean square of what the numbers move by.
            "norm": is_rounding(
                (np.linalg.norm(value) - norm) / math.sqrt(value.size), spread[name]
            ),
            "mean": is_rounding(value.mean() - mean, spread[name]),
            "first4": is_rounding_of_one(value.ravel()[:4] - first, first, value, spread[name]),
        }
        if not all(checks.values()):
            wrong[name] = checks
    assert wrong == {}


@pytest.mark.parametrize(
    "kernels", ["cpu_kernels", pytest.param("tpu_kernels", marks=pytest.mark.slow)]
)
def test_float32_is_as_near_to_exact_as_float32_can_be(recorded, exact, kernels):
    """On every processor: no other test of these steps depends on it."""
    found, (expected, spread) = Run(recorded, "float32", kernels).steps(), exact
    assert found.keys() == expected.keys()
    wrong = {
        name: rms(found[name] - expected[name]) / spread[name]
        for name in expected
        if not is_rounding(found[name] - expected[name], spread[name])
    }
    assert wrong == {}


def test_the_gradients_are_the_recorded_ones(recorded, double):
    """With the L2 term."""
    found, spread = with_spread(double.gradients, double.model, BATCH)
    assert is_rounding(found["loss"] - recorded.values["grad|loss"], spread["loss"])
    paths = {official: path for path, official in double.names.items() if path in found}
    assert paths.keys() == {str(name) for name in recorded.values["grad_names"]}
    for layer in double.model.layers:
        if isinstance(layer, BatchNormalization):
            add_own_sums(layer, found, spread)
    wrong = {}
    for row, name in enumerate(map(str, recorded.values["grad_names"])):
        value, allowed = found[paths[name]], spread[paths[name]]
        norm, total, first = (
            recorded.values[f"grad|{kind}"][row] for kind in ("l2", "sum", "first4")
        )
        first = first[: value.size]
        checks = {
            "norm": is_rounding((np.linalg.norm(value) - norm) / math.sqrt(value.size), allowed),
            "mean": is_rounding((value.sum() - total) / value.size, allowed),
            "first4": is_rounding_of_one(value.ravel()[:4] - first, first, value, allowed),
        }
        if not all(checks.values()):
            wrong[name] = checks
    assert wrong == {}


# ---- the L2 term by itself


@pytest.fixture(scope="module", params=L2)
def decayed(request):
    model = create_model(request.param, resolution=32)
    names = fill_weights(model, request.param)
    chosen = [weight for weight in model.trainable_weights if is_weight_decayed(weight)]
    return L2[request.param], {names[weight.path]: weight for weight in chosen}


def test_the_recorded_variables_are_decayed(decayed):
    recorded, weights = decayed
    assert weights.keys() == recorded["variables"].keys()


def test_each_weight_adds_the_recorded_penalty(decayed):
    recorded, weights = decayed
    found = {name: float(l2_penalty([weight])) for name, weight in weights.items()}
    assert found == pytest.approx(recorded["variables"], rel=1e-5)


def test_the_sum_is_the_recorded_one(decayed):
    recorded, weights = decayed
    penalty = l2_penalty(list(weights.values()))
    assert float(penalty) == pytest.approx(recorded["sum_of_l2_losses"], rel=1e-6)


def test_biases_outside_batch_norm_are_decayed(decayed):
    """Of the 115 decayed variables of B0, 33 are biases."""
    recorded, weights = decayed
    if recorded is L2[ROOT]:
        assert len(weights) == 115
        assert sum(name.endswith("/bias") for name in weights) == 33
    frozen = keras.layers.Dense(2, trainable=False)
    frozen.build((None, 3))
    assert not any(is_weight_decayed(weight) for weight in frozen.weights)
