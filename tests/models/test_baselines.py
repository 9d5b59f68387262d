"""MobileNets and ResNet-50: those of keras.applications unscaled, and how they scale."""

import keras
import numpy as np
import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.variants import IMAGENET_MEAN, IMAGENET_STD
from efficientnet_tf.zoo import create_model

# Constructor, side of the images for the logits, parameters (keras.io/api/applications: 4.3, 3.5
# and 25.6 million; exactly as its models count them).
THEIRS = {
    "mobilenet-v1": (keras.applications.MobileNet, 128, 4_253_864),
    "mobilenet-v2": (keras.applications.MobileNetV2, 96, 3_538_984),
    "resnet-50": (keras.applications.ResNet50, 96, 25_636_712),
}


@pytest.mark.parametrize("name", THEIRS)
def test_parameters_and_logits_are_those_of_keras_applications(name: str) -> None:
    construct, side, params = THEIRS[name]
    theirs = construct(weights=None, classifier_activation=None, input_shape=(side, side, 3))
    ours = create_model(name, resolution=side, classifier_activation=None)
    assert ours.count_params() == theirs.count_params() == params
    random = np.random.RandomState(0)
    # Also of what starts as 0 and 1, lest a gamma in the place of a variance goes unseen.
    values = [
        random.normal(0, np.sqrt(2 / np.prod(value.shape[:-1])), value.shape)
        if value.ndim > 1
        else random.uniform(0.5, 1.5, value.shape)
        for value in theirs.get_weights()
    ]
    theirs.set_weights(values)
    # Layers come in the same order; the classifier of MobileNetV1 is a convolution there.
    ours.set_weights(
        [value.reshape(own.shape) for value, own in zip(values, ours.weights, strict=True)]
    )
    images = random.randint(0, 256, (2, side, side, 3)).astype(np.float32)
    normal = (images - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    expected = np.asarray(theirs(normal.astype(np.float32)))
    np.testing.assert_allclose(ours(images), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", [*THEIRS, "resnet-50-v1.5"])
def test_scaled_ones_are_counted_as_they_are_built(name: str) -> None:
    network = find_network(name).scaled(depth=1.4, width=0.3, resolution=80)
    model = network.build(classes=7)
    counts = count(network.operations(7))
    assert model.count_params() == counts.total_params
    assert model.input_shape == (None, 80, 80, 3)


def test_version_1_5_costs_what_its_published_figure_says() -> None:
    """4.1 G multiply-adds (torchvision); version 1 has 3.8 (1512.03385, table 1)."""
    costs = [
        count(find_network(name).scaled().operations(1000)).multiply_adds / 1e9
        for name in ("resnet-50-v1.5", "resnet-50")
    ]
    assert costs == pytest.approx([4.09, 3.86], abs=0.005)


def test_depth_multiplies_the_blocks_of_every_stage_but_not_stem_and_head() -> None:
    assert find_network("resnet-50").scaled().num_blocks == 2 + 3 + 4 + 6 + 3
    assert find_network("resnet-50").scaled(depth=4).num_blocks == 2 + 12 + 16 + 24 + 12
    assert (
        find_network("mobilenet-v2").scaled(depth=1.1).num_blocks == 2 + 2 + 3 + 4 + 5 + 4 + 4 + 2
    )


def test_the_head_of_a_narrow_mobilenet_v2_keeps_its_width() -> None:
    """Section 3 of 1801.04381: multipliers below one leave the last convolution."""
    for width, filters in ((0.5, 1280), (1.0, 1280), (2.0, 2560)):
        *_, head, _ = find_network("mobilenet-v2").scaled(width=width).operations(1000)
        assert head.filters == filters


@pytest.mark.parametrize(
    "field", [{"blocks_args": ("r1_k3_s11_e1_i32_o16",)}, {"survival_prob": 0.9}]
)
def test_what_only_the_family_takes_is_refused(field: dict) -> None:
    with pytest.raises(UsageError, match=r"cannot be set for mobilenet-v2: only networks of this"):
        create_model("mobilenet-v2", **field)
