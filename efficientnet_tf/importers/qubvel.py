"""Weights of the package `efficientnet` (qubvel/efficientnet on GitHub), in its `.h5` files.

Its layers are called like those of keras.applications, the classifier `probs`. Its networks have
no layers before the stem: users normalise images outside, with ImageNet's mean and standard
deviation on 0..1 (`efficientnet.preprocess_input`). Ours do that inside, from pixels in 0..255.
NoisyStudent and AutoAugment weights have the same input.
"""

from efficientnet_tf.importers import keras_applications
from efficientnet_tf.importers.weights_source import WeightsSource


def open_file(path: str) -> WeightsSource:
    """Opens weights alone or a whole model, with or without classifier.

    Raises:
        UsageError: it cannot be read, or is another network.
    """
    return keras_applications.open_file(path, kind="qubvel/efficientnet")
