"""Profiles against what others have published and against TensorFlow's own counter."""

from typing import Any

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from efficientnet_tf.models.profile.measure import Profile, profile
from efficientnet_tf.zoo import create_model


def build(name: str) -> Any:
    """A network of keras.applications with random weights, or one of ours."""
    if name.startswith("keras:"):
        return getattr(keras.applications, name.removeprefix("keras:"))(weights=None)
    return create_model(name)


def count(model: Any) -> Profile:
    any_size = model.inputs[0].shape[1] is None
    return profile(model, (224, 224, 3) if any_size else None)


# Published multiply-adds at the network's own resolution, with all digits given, and the number of
# trainable weights, exact or as it is given in millions. A figure counts as met if ours, rounded
# to as many digits, is the same.
# torchvision: "_ops" (10^9) and "num_params" of the weights' metadata in torchvision/models/*.py,
#   shown at pytorch.org/vision/stable/models.html as GFLOPS and Params.
# Howard: Table 4 of arXiv 1704.04861. He: Table 1 of arXiv 1512.03385. slim: the table in
#   research/slim/nets/nasnet/README.md of tensorflow/models. Tan: Table 2 of arXiv 1905.11946.
BILLION, MILLION = 1e9, 1e6
PUBLISHED = [
    ("DenseNet121", "2.834", BILLION, 7_978_856),  # torchvision
    ("MobileNet", "569", MILLION, "4.2"),  # Howard
    ("MobileNetV2", "0.301", BILLION, 3_504_872),  # torchvision
    ("MobileNetV3Small", "0.057", BILLION, 2_542_856),  # torchvision
    ("MobileNetV3Large", "0.217", BILLION, 5_483_032),  # torchvision
    # torchvision; its 27,161,264 weights are with the auxiliary head, Tan gives 24M without.
    ("InceptionV3", "5.713", BILLION, "24"),
    ("Xception", "8.4", BILLION, "23"),  # Tan
    pytest.param("VGG16", "15.47", BILLION, 138_357_544, marks=pytest.mark.slow),  # torchvision
    ("ConvNeXtTiny", "4.456", BILLION, 28_589_128),  # torchvision
    pytest.param("NASNetMobile", "564", MILLION, "5.3", marks=pytest.mark.slow),  # slim
    pytest.param("EfficientNetV2S", "8.366", BILLION, 21_458_488, marks=pytest.mark.slow),  # t.v.
]


def rounded(number: float, published: str) -> str:
    return f"{number:.{len(published.partition('.')[2])}f}"


@pytest.mark.parametrize(("name", "multiply_adds", "unit", "params"), PUBLISHED)
def test_published_figures(name, multiply_adds, unit, params):
    model = build(f"keras:{name}")
    found = count(model)
    assert rounded(found.multiply_adds / unit, multiply_adds) == multiply_adds
    if isinstance(params, str):
        assert rounded(found.trainable_params / MILLION, params) == params
    else:
        assert found.trainable_params == params
    assert found.total_params == model.count_params()
    # LayerScale multiplies channels by weights, as batch norm does.
    assert found.uncounted == (("LayerScale",) if name == "ConvNeXtTiny" else ())


def check_resnet(found: Profile, torchvision_ops: str, torchvision_params: int) -> None:
    """Against torchvision's ResNet v1.5; Keras has the v1 of the paper, with biases.

    In v1.5 the stride of three blocks is in the 3x3 convolution: the 1x1 before it works on four
    times the positions, and 3/4 of its multiply-adds come in addition.
    """
    moved = sum(
        3 * width * width // 2 * side * side for width, side in ((256, 28), (512, 14), (1024, 7))
    )
    assert rounded((found.multiply_adds + moved) / BILLION, torchvision_ops) == torchvision_ops
    # A bias for each channel of a batch norm, which has two moving statistics for each.
    biases = (found.total_params - found.trainable_params) // 2
    assert found.trainable_params - biases == torchvision_params


def test_resnet_50():
    found = count(build("keras:ResNet50"))
    check_resnet(found, "4.089", 25_557_032)
    # He gives 3.8: 3.858 is not that in any rounding but cutting off. The 4.1 of Tan's Table 2 is
    # v1.5's.
    assert int(10 * found.multiply_adds / BILLION) == 38


@pytest.mark.slow
def test_resnet_101():
    found = count(build("keras:ResNet101"))
    check_resnet(found, "7.801", 44_549_160)
    assert rounded(found.multiply_adds / BILLION, "7.6") == "7.6"  # He


COUNTED_OPERATIONS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")


def tensorflow_count(model: keras.Model) -> float:
    """Multiply-adds that TensorFlow's profiler finds in the frozen graph of a model.

    It counts two operations for each multiply-add, for operations of TensorFlow, with rules and
    shapes of its own.
    """
    image = tf.TensorSpec((1, *model.inputs[0].shape[1:]))
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(image)
    frozen = convert_to_constants.convert_variables_to_constants_v2(function)
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    node = tf.compat.v1.profiler.profile(frozen.graph, cmd="op", options=options)
    operations = {}
    while node.children:  # each kind of operation is the child of a costlier one
        (node,) = node.children
        operations[node.name] = node.float_ops
    return sum(operations.get(name, 0) for name in COUNTED_OPERATIONS) / 2


# Not ConvNeXt: Keras runs its grouped convolutions in a compiled function that the profiler does
# not look into.
@pytest.mark.parametrize(
    "name",
    [
        "efficientnet-b0",
        "efficientnet-edgetpu-S",
        "keras:MobileNetV2",
        pytest.param("keras:Xception", marks=pytest.mark.slow),
        pytest.param("keras:ResNet50", marks=pytest.mark.slow),
        pytest.param("keras:DenseNet121", marks=pytest.mark.slow),
        pytest.param("efficientnet-b3", marks=pytest.mark.slow),
    ],
)
def test_tensorflow_counts_the_same(name):
    model = build(name)
    # SE is 0.16% of B0.
    assert count(model).multiply_adds == pytest.approx(tensorflow_count(model), rel=0.001)
