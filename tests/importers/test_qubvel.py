"""qubvel/efficientnet: no Keras of today runs it, so files are written in its layout.

Layers and their order follow its published code (efficientnet/model.py): no layer before
stem_conv, `padding="same"`, the classifier called probs, and Keras 2's names of weights. That a
file of the package itself is read the same way could not be tried.
"""

import h5py
import keras
import numpy as np
import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers import keras_names, qubvel
from efficientnet_tf.importers.detect import detect, open_weights
from efficientnet_tf.importers.input_contract import apply_contract
from efficientnet_tf.importers.weights_source import merge_source
from efficientnet_tf.models.variants import IMAGENET_MEAN, IMAGENET_STD, VARIANTS
from efficientnet_tf.zoo import create_model

B0 = VARIANTS["efficientnet-b0"]


def network():
    return create_model(
        "efficientnet-b0",
        classes=7,
        classifier_activation=None,
        input_shape=(64, 64, 3),
        width_coefficient=0.2,
        depth_coefficient=0.3,
    )


def write(path, model, top=True):
    """What `model.save_weights(path)` of Keras 2 wrote."""
    values = {weight.path: weight.numpy() for weight in model.weights}
    layers = {"input_1": [], "stem_activation": []}
    for ours, theirs in keras_names.names(model, "probs").items():
        layer, _, weight = theirs.rpartition("/")
        if layer.endswith("_dwconv"):
            weight = "depthwise_kernel"
        if top or layer != "probs":
            layers.setdefault(layer, []).append((f"{layer}/{weight}:0", values[ours]))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.2.4"
        for layer, weights in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name, _ in weights]
            for name, value in weights:
                group[name] = value


@pytest.fixture(scope="module")
def theirs(randomise):
    keras.utils.set_random_seed(0)
    return randomise(network(), 64)


@pytest.fixture(scope="module")
def path(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("qubvel") / "efficientnet-b0.h5"
    write(path, theirs)
    return str(path)


def test_logits_of_images_normalised_outside_and_inside(theirs, path, make_pictures, assert_same):
    images = make_pictures(2, 64, 1)
    # Theirs: pixels normalised by the caller, nothing before the stem.
    stem = theirs.get_layer("normalization")
    stem.mean, stem.std = (0.0,) * 3, (1.0,) * 3
    outside = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    want = np.asarray(theirs(outside.astype(np.float32)))
    stem.mean, stem.std = IMAGENET_MEAN, IMAGENET_STD
    model = network()
    source = open_weights(path)
    receipt = merge_source(model, source)
    apply_contract(model, source.contract(B0))
    assert_same(model(images), want)
    assert len(receipt.matched) == len(model.weights)
    assert source.classes == 7
    assert source.format == "qubvel/efficientnet, legacy .h5"


def test_it_is_told_from_keras_applications(path):
    assert detect(path) == "qubvel"


def test_the_input_is_imagenets(path):
    contract = qubvel.open_file(path).contract(B0)
    assert (contract.family, contract.resolution) == ("imagenet", 224)


def test_files_without_classifier_need_a_new_one(theirs, tmp_path):
    write(tmp_path / "notop.h5", theirs, top=False)
    source = open_weights(str(tmp_path / "notop.h5"))
    assert (source.head, source.classes) == ((), None)
    model = network()
    with pytest.raises(UsageError, match="predictions/kernel .*: no predictions/kernel"):
        merge_source(model, source)
    receipt = merge_source(model, source, new_head=True)
    assert receipt.unmatched_model == ("predictions/kernel", "predictions/bias")
    assert len(receipt.matched) == len(model.weights) - 2
