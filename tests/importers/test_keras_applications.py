"""Files that the real Keras wrote of the real keras.applications: same logits, same input."""

import shutil

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet as keras_efficientnet

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.importers import imagenet, keras_names
from efficientnet_tf.importers.detect import detect, open_weights
from efficientnet_tf.importers.input_contract import apply_contract
from efficientnet_tf.importers.weights_source import merge_source
from efficientnet_tf.models.variants import IMAGENET_MEAN, IMAGENET_STD, VARIANTS
from efficientnet_tf.zoo import create_model

SIZE, CLASSES = 64, 1000
FORMS = ("model.h5", "model.weights.h5", "model.keras")
B0 = VARIANTS["efficientnet-b0"]


@pytest.fixture(scope="module")
def images(make_pictures):
    return make_pictures(2, SIZE, 3)


@pytest.fixture(scope="module")
def theirs(randomise):
    """The real B0 as built with weights=None, everything random, also its input's numbers."""
    keras.utils.set_random_seed(0)
    model = keras.applications.EfficientNetB0(
        weights=None, input_shape=(SIZE, SIZE, 3), classifier_activation=None
    )
    return randomise(model, SIZE)


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    for form in FORMS:
        save(theirs, folder / form)
    return folder


def save(model, path):
    if path.name == "model.weights.h5":
        model.save_weights(path)
    else:
        model.save(path)


@pytest.fixture(scope="module")
def ours():
    return create_model(
        "efficientnet-b0",
        classes=CLASSES,
        classifier_activation=None,
        input_shape=(None, None, 3),
    )


def imported(ours, path, **kwargs):
    """(receipt, source, contract) after an import into `ours`."""
    source = open_weights(str(path), **kwargs)
    for weight in ours.weights:
        weight.assign(np.zeros(weight.shape))
    receipt = merge_source(ours, source)
    contract = source.contract(B0)
    apply_contract(ours, contract)
    return receipt, source, contract


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_logits(ours, theirs, folder, images, form, assert_same):
    receipt, source, contract = imported(ours, folder / form)
    assert_same(ours(images), theirs(images))
    assert contract.family == "own"
    assert source.classes == CLASSES
    assert len(receipt.matched) == 311
    assert receipt.unmatched_source == receipt.unmatched_model == ()
    inputs = {f"{theirs.layers[2].name}/{name}" for name in ("mean", "variance", "count")}
    assert inputs <= set(receipt.ignored_source)
    assert detect(str(folder / form)) == "keras"


def test_all_forms_hold_the_same_arrays(ours, folder):
    assert len({imported(ours, folder / form)[0].checksum for form in FORMS}) == 1


@pytest.mark.parametrize("form", ["model.h5", "model.keras"])
def test_a_whole_model_tells_its_resolution(folder, form):
    assert open_weights(str(folder / form)).contract(B0).resolution == SIZE
    assert open_weights(str(folder / "model.weights.h5")).contract(B0).resolution == 224


def test_weights_never_adapted_take_pixels_in_0_to_1(ours, images, tmp_path, assert_same):
    model = keras.applications.EfficientNetB0(weights=None, input_shape=(SIZE, SIZE, 3))
    model.save_weights(tmp_path / "model.weights.h5")
    source = open_weights(str(tmp_path / "model.weights.h5"))
    contract = source.contract(B0)
    assert (contract.family, contract.mean, contract.std) == ("pixels", (0, 0, 0), (255, 255, 255))


def test_files_of_the_first_keras_3_name_no_layers(
    ours, theirs, folder, images, tmp_path, assert_same
):
    path = tmp_path / "old.weights.h5"
    shutil.copyfile(folder / "model.weights.h5", path)
    with h5py.File(path, "r+") as file:
        for layer in list(file["layers"].values()):
            if "name" in layer["vars"].attrs:
                del layer["vars"].attrs["name"]
            if not len(layer["vars"]):
                del file[layer.name]  # they had no group at all
    imported(ours, path)
    assert_same(ours(images), theirs(images))


@pytest.mark.parametrize("form", FORMS)
def test_a_network_inside_a_users_model(ours, theirs, images, tmp_path, form, assert_same):
    """As in Keras' guide to transfer: the network is a layer of a model with a head of its own."""
    inside = keras.Model(theirs.input, theirs.get_layer("avg_pool").output)
    inputs = keras.Input((SIZE, SIZE, 3))
    head = keras.layers.Dense(CLASSES, name="my_head")
    model = keras.Model(inputs, head(inside(inputs)))
    head.set_weights(theirs.get_layer("predictions").get_weights())
    save(model, tmp_path / form)
    receipt, source, _ = imported(ours, tmp_path / form)
    assert_same(ours(images), theirs(images))
    assert ("my_head/kernel", "predictions/kernel") in receipt.matched
    assert source.classes == CLASSES


def weights_alone(whole, path):
    """What Keras 2's save_weights("x.h5") wrote: the weights of a whole model at the root."""
    with h5py.File(whole) as file, h5py.File(path, "w") as new:
        for name in file["model_weights"]:
            file.copy(f"model_weights/{name}", new)
        new.attrs.update(file["model_weights"].attrs)


def test_legacy_weights_alone(ours, theirs, folder, images, tmp_path, assert_same):
    weights_alone(folder / "model.h5", tmp_path / "weights.h5")
    imported(ours, tmp_path / "weights.h5")
    assert_same(ours(images), theirs(images))


def test_names_as_keras_2_wrote_them(ours, theirs, folder, images, tmp_path, assert_same):
    """stem_conv_1/kernel:0, block1a_dwconv/depthwise_kernel:0; long lists cut in two."""
    weights_alone(folder / "model.h5", tmp_path / "weights.h5")
    with h5py.File(tmp_path / "weights.h5", "r+") as file:
        for layer in list(file):
            names = []
            for name in file[layer].attrs["weight_names"]:
                old = name.decode() if isinstance(name, bytes) else str(name)
                new = old.replace("conv/", "conv_1/", 1) + ":0"
                if "dwconv" in old:
                    new = new.replace("/kernel", "/depthwise_kernel")
                file[layer].move(old, new)
                names.append(new.encode())
            file[layer].attrs["weight_names"] = names
        layers = [str(name) for name in file.attrs["layer_names"]]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"] = [name.encode() for name in layers[:100]]
        file.attrs["layer_names1"] = [name.encode() for name in layers[100:]]
    imported(ours, tmp_path / "weights.h5")
    assert_same(ours(images), theirs(images))


# ---- weights="imagenet"


@pytest.fixture(scope="module")
def published(randomise, tmp_path_factory):
    """A file like the published one: no second Rescaling, the deviation in the variance's place."""
    keras.utils.set_random_seed(0)
    model = keras.applications.EfficientNetB0(weights=None, classifier_activation=None)
    randomise(model, 224, count=8)
    mean, std = (np.array(values) / 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    model.layers[2].set_weights([mean, std, np.zeros(())])
    folder = tmp_path_factory.mktemp("published")
    model.save(folder / "whole.h5")
    weights_alone(folder / "whole.h5", folder / "efficientnetb0.h5")
    return folder / "efficientnetb0.h5"


@pytest.fixture
def downloads(published, monkeypatch):
    """keras.applications finds its download in place of the network."""
    asked = []

    def get_file(name, origin, **kwargs):
        asked.append((name, origin, kwargs["file_hash"]))
        return str(published)

    monkeypatch.setattr(keras_efficientnet.file_utils, "get_file", get_file)
    return asked


@pytest.fixture(scope="module")
def large_images(make_pictures):
    return make_pictures(2, 224, 3)


@pytest.fixture(scope="module")
def keras_imagenet(published):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_efficientnet.file_utils, "get_file", lambda *a, **kw: str(published))
        return keras.applications.EfficientNetB0(weights="imagenet", classifier_activation=None)


@pytest.fixture(scope="module")
def keras_logits(keras_imagenet, large_images):
    return keras_imagenet(large_images)


def test_models_of_imagenet_weights_have_one_more_rescaling(
    ours, keras_imagenet, keras_logits, large_images, tmp_path, assert_same
):
    for form in FORMS:
        save(keras_imagenet, tmp_path / form)
        _, source, contract = imported(ours, tmp_path / form)
        assert contract.family == "imagenet"
        assert source.notes == ()
        assert_same(ours(large_images), keras_logits)


def test_the_published_file_itself_is_repaired_as_keras_does(
    ours, published, keras_logits, large_images, assert_same
):
    _, source, contract = imported(ours, published)
    assert contract.family == "imagenet"
    assert_same(ours(large_images), keras_logits)


def test_the_same_weights_in_a_model_without_the_repair_are_followed_literally(
    ours, published, large_images, tmp_path, assert_same
):
    shutil.copyfile(published, tmp_path / "mine.h5")
    _, source, contract = imported(ours, tmp_path / "mine.h5")
    theirs = keras.applications.EfficientNetB0(weights=None, classifier_activation=None)
    theirs.load_weights(tmp_path / "mine.h5")
    assert_same(ours(large_images), theirs(large_images))
    assert contract.family == "own"
    np.testing.assert_allclose(contract.std, 255 * np.sqrt([0.229, 0.224, 0.225]), rtol=1e-6)
    assert "--contract=imagenet" in source.notes[0]


def test_imagenet_is_fetched_by_keras_and_gives_its_logits(
    ours, keras_logits, downloads, large_images, assert_same
):
    receipt = imagenet.load(ours, "efficientnet-b0")
    assert downloads[-1] == (
        "efficientnetb0.h5",
        "https://storage.googleapis.com/keras-applications/efficientnetb0.h5",
        keras_efficientnet.WEIGHTS_HASHES["b0"][0],
    )
    assert_same(ours(large_images), keras_logits)
    assert len(receipt.matched) == 311
    assert ours.get_layer("normalization").std == IMAGENET_STD


def test_without_a_network_it_says_what_to_do(ours, monkeypatch):
    def get_file(name, origin, **kwargs):
        raise Exception(f"URL fetch failure on {origin}: None -- Name or service not known")

    monkeypatch.setattr(keras_efficientnet.file_utils, "get_file", get_file)
    with pytest.raises(RunError) as error:
        imagenet.load(ours)
    message = str(error.value)
    assert "could not fetch efficientnetb0.h5: URL fetch failure on https://storage" in message
    assert "to ~/.keras/models/efficientnetb0.h5, or import weights you have: python" in message


def test_imagenet_of_other_variants_names_the_script():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="efficientnet-lite0")
    with pytest.raises(UsageError) as error:
        imagenet.load(model)
    assert "nothing is published for efficientnet-lite0 in Keras' place" in str(error.value)
    assert "main.py import-weights --model=efficientnet-lite0" in str(error.value)


def test_imagenet_has_a_thousand_classes(tiny_network):
    with pytest.raises(UsageError, match="has 1000 classes, the model 10.*include_top=False"):
        imagenet.load(tiny_network(), "efficientnet-b0")


# ---- names of all variants


@pytest.mark.parametrize("index", range(8))
def test_names_and_shapes_of_every_model(real_names, make_skeleton, index):
    model = make_skeleton(f"efficientnet-b{index}")
    names = keras_names.names(model)
    expected = {
        name: tuple(shape)
        for name, shape in real_names["keras"][f"EfficientNetB{index}"].items()
        if not name.startswith("normalization")
    }
    assert {names[each.path]: each.shape for each in model.weights} == expected


@pytest.mark.slow
@pytest.mark.parametrize("index", range(8))
def test_recorded_names_are_those_of_the_installed_keras(real_names, index):
    keras.utils.clear_session()  # or its layers without a name are numbered on
    model = getattr(keras.applications, f"EfficientNetB{index}")(weights=None)
    found = {weight.path: list(weight.shape) for weight in model.weights}
    assert found == real_names["keras"][f"EfficientNetB{index}"]


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-edgetpu-S"])
def test_the_skeletons_are_the_models(make_skeleton, name):
    model = create_model(name, classes=1000)
    expected = [(weight.path, tuple(weight.shape)) for weight in model.weights]
    found = [(each.path, each.shape) for each in make_skeleton(name).weights]
    assert sorted(found) == sorted(expected)


# ---- refusals


def refused(path, **kwargs):
    with pytest.raises(UsageError) as error:
        open_weights(str(path), **kwargs)
    return str(error.value)


@pytest.mark.parametrize("form", FORMS)
def test_half_a_file_is_refused(folder, tmp_path, form):
    stored = (folder / form).read_bytes()
    (tmp_path / form).write_bytes(stored[: len(stored) // 2])
    message = refused(tmp_path / form)
    assert str(tmp_path / form) in message
    assert "Copy it again." in message


def test_another_network_of_keras_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="stem_conv")])
    model.save(tmp_path / "model.keras")
    assert refused(tmp_path / "model.keras") == (
        f'--from: "{tmp_path}/model.keras" holds no EfficientNet of keras.applications or qubvel: '
        "expected layers such as block1a_dwconv, found stem_conv/kernel, stem_conv/bias."
    )


def test_hdf5_of_something_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"] = np.zeros((2, 3))
    assert refused(tmp_path / "data.h5") == (
        f'--from: "{tmp_path}/data.h5" is an HDF5 file, but holds no weights of a Keras model '
        "(found images)."
    )


def test_weights_outside_the_file_are_not_followed(folder, tmp_path):
    """HDF5 links could make an import read any file of the machine."""
    shutil.copyfile(folder / "model.h5", tmp_path / "model.h5")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = np.zeros((3, 3, 3, 32), np.float32)
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        layer = file["model_weights/stem_conv/stem_conv"]
        del layer["kernel"]
        layer["kernel"] = h5py.ExternalLink("secret.h5", "kernel")
    assert "is not stored in the file itself. Copy it again." in refused(tmp_path / "model.h5")


def test_another_epsilon_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, name="block1a_dwconv")(inputs)
    x = keras.layers.BatchNormalization(epsilon=1e-5, name="block1a_bn")(x)
    keras.Model(inputs, x).save(tmp_path / "model.keras")
    assert "block1a_bn has epsilon 1e-05, these networks 0.001" in refused(tmp_path / "model.keras")
