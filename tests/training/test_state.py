"""What a training state holds, and under which names."""

from typing import Any

import keras
import numpy as np
import pytest

from efficientnet_tf.training.state import TrainState


def test_slots_start_as_in_the_official_run(tiny_state: Any) -> None:
    state = tiny_state()
    assert len(state.trainable) > 20
    assert state.mean_square.keys() == state.momentum.keys() == state.trainable.keys()
    for path, weight in state.trainable.items():
        # As TF1: the mean square starts at one, the momentum at zero
        np.testing.assert_array_equal(state.mean_square[path], np.ones(weight.shape, np.float32))
        np.testing.assert_array_equal(state.momentum[path], np.zeros(weight.shape, np.float32))
    for path, weight in state.weights.items():
        np.testing.assert_array_equal(state.average[path], weight, err_msg=path)
    assert int(state.step) == 0
    assert float(state.best_top1) == -1, "so that even a first accuracy of 0 is the best so far"
    assert int(state.evaluations_without_gain) == 0


def test_averages_cover_batch_norm_statistics_too(tiny_state: Any) -> None:
    state = tiny_state()
    assert state.average.keys() == state.weights.keys()
    moving = [path for path in state.average if path.endswith(("moving_mean", "moving_variance"))]
    assert len(moving) == 2 * sum(path.endswith("gamma") for path in state.trainable)
    assert not set(moving) & set(state.trainable)
    assert len(state.moving_statistics()) == 2 * len(moving)  # raw and averaged


def test_averages_can_be_off(tiny_state: Any) -> None:
    state = tiny_state(with_average=False)
    assert state.average == {}
    assert state.evaluation_weights(averaged=True) == []
    assert not any(name.startswith("average/") for name in state.named_variables())


def test_names_are_readable_and_nothing_is_left_out(tiny_state: Any) -> None:
    state = tiny_state()
    named = state.named_variables()
    weights, trainable = len(state.weights), len(state.trainable)
    assert len(named) == 4 + 2 * weights + 2 * trainable
    assert len({id(variable) for variable in named.values()}) == len(named)
    for name in ("weights/stem_conv/kernel", "average/stem_bn/moving_mean", "step", "best_step"):
        assert name in named
    assert named["mean_square/predictions/bias"] is state.mean_square["predictions/bias"]
    assert len(state.model.weights) == weights


def test_state_variables_are_not_trained(tiny_state: Any) -> None:
    state = tiny_state()
    raw = {id(weight) for weight in state.weights.values()}
    for name, variable in state.named_variables().items():
        if id(variable) not in raw:
            assert not variable.trainable, name


def test_frozen_layers_have_no_slots_but_averages(tiny_network: Any) -> None:
    model = tiny_network()
    model.get_layer("stem_conv").trainable = False
    state = TrainState(model, with_average=True)
    assert "stem_conv/kernel" not in state.momentum
    assert "stem_conv/kernel" in state.average


@pytest.mark.parametrize("averaged", [True, False])
def test_evaluation_weights_pair_each_weight_with_its_average(
    tiny_state: Any, averaged: bool
) -> None:
    state = tiny_state()
    pairs = state.evaluation_weights(averaged)
    if not averaged:
        assert pairs == []
        return
    assert [weight.path for weight, _ in pairs] == [weight.path for weight in state.model.weights]
    for weight, value in pairs:
        assert value is state.average[weight.path]


@pytest.mark.parametrize("with_average", [True, False])
def test_another_model_takes_the_averages_or_else_the_weights(
    tiny_state: Any, tiny_network: Any, with_average: bool
) -> None:
    state = tiny_state(with_average=with_average)
    for number, value in enumerate(state.average.values()):
        value.assign_add(np.full(value.shape, number, np.float32))
    other = tiny_network(seed=1, classifier_activation="softmax")
    state.copy_average_to(other)
    expected = state.average if with_average else state.weights
    for weight in other.weights:
        np.testing.assert_array_equal(weight, expected[weight.path], err_msg=weight.path)
    if with_average:
        assert not np.array_equal(other.weights[-1], state.model.weights[-1])


def test_replicas_start_from_the_same_values(replicas: Any, tiny_state: Any) -> None:
    one, two = tiny_state(), tiny_state(replicas(2))
    expected = one.named_variables()
    strategy = replicas(2)
    for name, variable in two.named_variables().items():
        copies = strategy.experimental_local_results(variable)
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_array_equal(copy, expected[name], err_msg=name)


def test_it_holds_the_model_it_was_given(tiny_network: Any) -> None:
    model = tiny_network()
    state = TrainState(model, with_average=True)
    assert state.model is model
    assert isinstance(model, keras.Model)
    state.weights["predictions/bias"].assign(np.full(10, 3.0))
    np.testing.assert_array_equal(model.get_layer("predictions").bias, np.full(10, 3.0))
