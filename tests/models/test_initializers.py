"""How the weights of a new network are distributed."""

import os

import keras
import numpy as np
import pytest

from efficientnet_tf.models.initializers import FanOutNormal, dense_initializer, draw_ahead
from efficientnet_tf.models.layers import SqueezeExcitation
from efficientnet_tf.zoo import create_model


@pytest.fixture(scope="module")
def b0():
    keras.utils.set_random_seed(7)
    model = create_model("efficientnet-b0")
    return {weight.path: weight.numpy() for weight in model.weights}


def is_normal(path):
    return path.endswith("kernel") and not path.startswith("predictions")


def official_stddev(path, shape):
    """sqrt(2 / (height * width * last axis)); the last axis of a depthwise kernel is 1."""
    kernel_size, last = shape[0], shape[-1]
    if path.endswith("_dwconv/kernel"):
        assert last == 1
    return np.sqrt(2 / (kernel_size**2 * last))


def test_every_kernel_has_the_official_spread_and_no_bias(b0):
    kernels = {path: value for path, value in b0.items() if is_normal(path)}
    assert len(kernels) == 81  # 1 + 15 + 16 + 2 * 16 + 16 + 1
    wrong = {}
    for path, kernel in kernels.items():
        stddev = official_stddev(path, kernel.shape)
        sigmas_of_stddev = (kernel.std() / stddev - 1) * np.sqrt(2 * kernel.size)
        sigmas_of_mean = kernel.mean() / stddev * np.sqrt(kernel.size)
        if max(abs(sigmas_of_stddev), abs(sigmas_of_mean)) > 5:
            wrong[path] = (sigmas_of_stddev, sigmas_of_mean)
    assert wrong == {}


@pytest.mark.parametrize(
    ("path", "stddev"),
    [
        ("block1a_dwconv/kernel", 0.4714),  # 3x3, whatever the channels
        ("block6d_dwconv/kernel", 0.2828),  # 5x5
        ("stem_conv/kernel", np.sqrt(2 / (9 * 32))),
        ("block7a_expand_conv/kernel", np.sqrt(2 / 1152)),
        ("block7a_se/reduce_kernel", np.sqrt(2 / 48)),
        ("block7a_se/expand_kernel", np.sqrt(2 / 1152)),
        ("top_conv/kernel", np.sqrt(2 / 1280)),
    ],
)
def test_some_spreads_by_hand(b0, path, stddev):
    assert b0[path].std() == pytest.approx(stddev, rel=5 / np.sqrt(2 * b0[path].size))


def test_the_normal_distribution_is_not_truncated(b0):
    scaled = np.concatenate(
        [
            value.ravel() / official_stddev(path, value.shape)
            for path, value in b0.items()
            if is_normal(path)
        ]
    )
    for sigmas, share in ((1, 0.317311), (2, 0.045500), (3, 0.002700), (4, 6.334e-5)):
        beyond = (np.abs(scaled) > sigmas).mean()
        assert abs(beyond - share) < 5 * np.sqrt(share / scaled.size), sigmas


def test_the_classifier_is_uniform_in_one_over_the_root_of_the_classes(b0):
    limit = 1 / np.sqrt(1000)
    kernel = b0["predictions/kernel"]
    assert 0.9999 * limit < kernel.max() <= limit
    assert -limit <= kernel.min() < -0.9999 * limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.005)
    assert np.abs(dense_initializer()((64, 4))).max() <= 0.5


def test_the_rest_starts_at_zero_or_one(b0):
    starts = {"gamma": 1, "moving_variance": 1, "beta": 0, "moving_mean": 0}
    starts |= {"bias": 0, "reduce_bias": 0, "expand_bias": 0}
    rest = {path: value for path, value in b0.items() if not path.endswith("kernel")}
    assert len(rest) == 49 * 4 + 16 * 2 + 1
    for path, value in rest.items():
        np.testing.assert_array_equal(value, starts[path.rsplit("/", 1)[-1]], path)


def correlation(first, second):
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def test_layers_of_equal_shape_start_differently(b0):
    first, second = b0["block6b_expand_conv/kernel"], b0["block6c_expand_conv/kernel"]
    assert abs(correlation(first, second)) < 5 / np.sqrt(first.size)


def test_the_two_kernels_of_squeeze_excitation_start_independently():
    layer = SqueezeExcitation(40)
    layer.build((None, 7, 7, 960))
    first, second = layer.reduce_kernel.numpy(), layer.expand_kernel.numpy()
    assert abs(correlation(first, second)) < 5 / np.sqrt(first.size)


def test_keras_seed_governs_the_start():
    def start(seed):
        keras.utils.set_random_seed(seed)
        model = create_model("efficientnet-b0", width_coefficient=0.1, depth_coefficient=0.1)
        return np.concatenate([weight.numpy().ravel() for weight in model.weights])

    np.testing.assert_array_equal(start(3), start(3))
    assert (start(3) != start(4)).mean() > 0.5


@pytest.mark.parametrize("cores", [1, 3, 64])
def test_kernels_drawn_ahead_do_not_depend_on_the_cores(monkeypatch, cores):
    shapes = {f"layer{index}": (3, 3, 4 + index, 8) for index in range(20)}
    keras.utils.set_random_seed(5)
    expected = [FanOutNormal()(shape) for shape in shapes.values()]
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    keras.utils.set_random_seed(5)
    initializers = draw_ahead(shapes)
    assert initializers.keys() == shapes.keys()
    for (name, shape), kernel in zip(shapes.items(), expected, strict=True):
        np.testing.assert_array_equal(initializers[name](shape), kernel)
        # Once more, now that the numbers in store are used up.
        np.testing.assert_array_equal(initializers[name](shape), kernel)


def test_another_shape_than_the_one_drawn_ahead_can_be_asked_for():
    kernel = draw_ahead({"layer": (1, 1, 8, 8)})["layer"]((3, 3, 256, 32))
    assert kernel.shape == (3, 3, 256, 32)
    stddev = np.sqrt(2 / (9 * 32))
    assert np.std(kernel) == pytest.approx(stddev, rel=5 / np.sqrt(2 * 73_728))


def test_seeds_tell_kernels_apart():
    first, second = (np.array(FanOutNormal(seed=seed)((3, 3, 8, 8))) for seed in (5, 6))
    assert (first != second).mean() > 0.99


@pytest.mark.parametrize("seed", [None, 11])
def test_an_initializer_is_made_again_from_its_configuration(seed):
    initializer = FanOutNormal(seed=seed)
    stored = keras.saving.serialize_keras_object(initializer)
    copy = keras.saving.deserialize_keras_object(stored)
    assert isinstance(copy, FanOutNormal)
    assert copy.get_config() == initializer.get_config() == {"seed": seed}
    if seed is not None:
        np.testing.assert_array_equal(copy((3, 3, 2, 4)), initializer((3, 3, 2, 4)))


def test_a_kernel_has_the_dtype_that_is_asked_for():
    assert FanOutNormal()((1, 1, 4, 4), dtype="bfloat16").dtype == "bfloat16"
    assert FanOutNormal()((1, 1, 4, 4)).dtype == "float32"
