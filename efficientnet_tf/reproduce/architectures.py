"""Parameters and multiply-adds of the paper's networks, counted now.

Networks of this package are counted from arithmetic; those of keras.applications are built without
weights and profiled, which loads TensorFlow and takes seconds each.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from efficientnet_tf.models.networks import find_network
from efficientnet_tf.models.operations import count

# The paper's name: (function of keras.applications, side of the image in pixels).
KERAS = {
    "ResNet-50": ("ResNet50", 224),
    "DenseNet-169": ("DenseNet169", 224),
    "ResNet-152": ("ResNet152", 224),
    "Inception-v3": ("InceptionV3", 299),
    "Xception": ("Xception", 299),
    "Inception-resnet-v2": ("InceptionResNetV2", 299),
    "NASNet-A": ("NASNetLarge", 331),
}


@dataclass(frozen=True)
class Counted:
    """What stands for a network of the paper, and what it costs.

    Attributes:
        stand_in: where it comes from, such as `keras.applications.Xception, 299 px`.
        params: trainable ones.
        multiply_adds: for one image.
    """

    stand_in: str
    params: int
    multiply_adds: int


Counter = Callable[[str], Counted | None]


@functools.cache
def of_package(name: str) -> Counted:
    """A network of this package in its published form.

    Raises:
        UsageError: no such network.
    """
    baseline = find_network(name)
    network = baseline.scaled()
    counts = count(network.operations(baseline.classes))
    stand_in = f"{baseline.name}, {network.resolution} px"
    return Counted(stand_in, counts.trainable_params, counts.multiply_adds)


@functools.cache
def of_keras(function: str, resolution: int) -> Counted:
    """A network of keras.applications with its 1000 classes."""
    import keras

    from efficientnet_tf.models.profile.measure import profile

    build = getattr(keras.applications, function)
    found = profile(build(weights=None, input_shape=(resolution, resolution, 3)))
    keras.utils.clear_session()
    stand_in = f"keras.applications.{function}, {resolution} px"
    return Counted(stand_in, found.trainable_params, found.multiply_adds)


def counted(name: str) -> Counted | None:
    """The network that the paper calls `name`; None if nothing here can stand for it."""
    if name.startswith("EfficientNet"):
        return of_package(name.lower())
    return of_keras(*KERAS[name]) if name in KERAS else None
