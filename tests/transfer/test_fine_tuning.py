"""Where fine-tuning begins: stages, rates, class weights, and weights from elsewhere."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from efficientnet_tf import create_model
from efficientnet_tf.config import TransferConfig
from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers import imagenet, weights_file
from efficientnet_tf.importers.input_contract import InputContract
from efficientnet_tf.importers.weights_file import WeightsInfo
from efficientnet_tf.runs.init_record import InitialWeights, read_record, write_record
from efficientnet_tf.transfer import fine_tuning

MEAN, STD = (10.5, 20.25, 30.1), (50.0, 60.7, 70.3)


@pytest.fixture(scope="module")
def b0() -> keras.Model:
    return create_model("efficientnet-b0", resolution=32, classes=3)


def test_the_stages_of_b0_are_those_of_table_1(b0: keras.Model) -> None:
    found = fine_tuning.stages(b0)
    assert list(found) == ["stem", *(f"block{i}" for i in range(1, 8)), "head", "predictions"]
    names = {stage: [layer.name for layer in layers] for stage, layers in found.items()}
    assert names["stem"] == ["image", "normalization", "stem_conv", "stem_bn"]
    assert {name[:7] for name in names["block3"]} == {"block3a", "block3b", "reducti"}
    assert names["head"] == ["top_conv", "top_bn", "pooled_features"]
    assert names["predictions"] == ["top_dropout", "predictions"]
    assert sum(map(len, found.values())) == len(b0.layers)


@pytest.mark.parametrize("name", ["resnet-50", "mobilenet-v2", "efficientnet-lite0"])
def test_every_family_has_stages(name: str) -> None:
    model = create_model(name, resolution=64, classes=3)
    found = fine_tuning.stages(model)
    assert next(iter(found)) == "stem"
    assert list(found)[-2:] == ["head", "predictions"]
    fine_tuning.prepare(model, TransferConfig(freeze_until="head"))
    assert {weight.path for weight in model.trainable_weights} == {
        "predictions/kernel",
        "predictions/bias",
    }


def test_an_unknown_stage_is_refused(b0: keras.Model) -> None:
    with pytest.raises(UsageError, match='block7, head, or empty; received "blok5".*"block5"'):
        fine_tuning.prepare(b0, TransferConfig(freeze_until="blok5"))
    with pytest.raises(UsageError, match='received "predictions"'):
        fine_tuning.prepare(b0, TransferConfig(freeze_until="predictions"))


def test_layer_decay_falls_from_the_head_down(b0: keras.Model) -> None:
    asked = TransferConfig(layer_decay=0.8, head_learning_rate=10.0)
    rates = fine_tuning.learning_rates(b0, asked)
    assert rates["predictions/bias"] == 10
    assert rates["top_conv/kernel"] == pytest.approx(0.8)
    assert rates["block7a_se/reduce_kernel"] == pytest.approx(0.8**2)
    assert rates["block1a_bn/gamma"] == pytest.approx(0.8**8)
    assert rates["stem_conv/kernel"] == pytest.approx(0.8**9)
    assert fine_tuning.learning_rates(b0, TransferConfig()) == {}


def test_class_weights() -> None:
    assert fine_tuning.class_weights("none", [1, 2]) is None
    # scikit-learn's rule: images / (classes * images of the class)
    weights = fine_tuning.class_weights("balanced", [6, 3, 3])
    assert weights == pytest.approx([12 / 18, 12 / 9, 12 / 9])
    assert np.average(weights, weights=[6, 3, 3]) == pytest.approx(1)
    assert fine_tuning.class_weights("balanced", [6, 0, 2]) == pytest.approx([8 / 12, 0, 8 / 4])
    assert fine_tuning.class_weights("1, 2.5,0", [1, 1, 1]) == [1, 2.5, 0]


@pytest.mark.parametrize("asked", ["1,2", "1,2,3,4", "1,-1,2", "0,0,0", "a,b,c", "1,nan,1", "all"])
def test_wrong_class_weights_are_refused(asked: str) -> None:
    with pytest.raises(UsageError, match="each of the 3 classes, joined by commas; received"):
        fine_tuning.class_weights(asked, [1, 1, 1])


# Weights from elsewhere

NAMES = tuple(f"digit {i}" for i in range(10))


@pytest.fixture
def stored(tiny_network: Any, tmp_path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Weights of a tiny network with other statistics, and the file that holds them."""
    chance = np.random.RandomState(0)
    model = tiny_network(seed=1)
    arrays = {
        weight.path: chance.uniform(0.5, 1.5, weight.shape).astype(np.float32)
        for weight in model.weights
    }
    info = WeightsInfo(
        model="efficientnet-b0",
        classes=10,
        resolution=16,
        contract=InputContract("own", MEAN, STD, 16),
        source="somewhere",
        source_format="drawn",
        source_sha256="0" * 64,
        class_names=NAMES,
    )
    path = str(tmp_path / "weights.safetensors")
    weights_file.save(path, arrays, info)
    return arrays, path


def load(model: keras.Model, path: str, **more: Any) -> InitialWeights:
    more = {"name": "efficientnet-b0", "class_names": None, **more}
    return fine_tuning.load_initial(model, path, **more)


def assert_loaded(model: keras.Model, arrays: dict[str, np.ndarray], *, head: bool) -> None:
    for weight in model.weights:
        if head or not weight.path.startswith("predictions/"):
            np.testing.assert_array_equal(weight, arrays[weight.path], err_msg=weight.path)


def test_a_head_that_fits_is_taken(tiny_network: Any, stored: Any) -> None:
    arrays, path = stored
    for names in (None, NAMES):
        model = tiny_network(seed=2)
        initial = load(model, path, class_names=names)
        assert not initial.new_head
        assert_loaded(model, arrays, head=True)
        layer = model.get_layer("normalization")
        assert (layer.mean, layer.std) == (MEAN, STD) == (initial.mean, initial.std)


@pytest.mark.parametrize(
    ("classes", "changes"),
    [
        (3, {}),
        (10, {"class_names": tuple("abcdefghij")}),
        (10, {"new_head": True}),
    ],
)
def test_other_classes_have_a_new_head(
    tiny_network: Any, stored: Any, classes: int, changes: dict[str, Any]
) -> None:
    """It is the one the model was built with: uniform in +-1/sqrt(classes), bias 0."""
    arrays, path = stored
    model = tiny_network(seed=2, classes=classes)
    built = model.get_layer("predictions").kernel.numpy()
    initial = load(model, path, **changes)
    assert initial.new_head
    assert_loaded(model, arrays, head=False)
    kernel, bias = model.get_layer("predictions").get_weights()
    np.testing.assert_array_equal(kernel, built)
    assert 0.9 / np.sqrt(classes) < np.abs(kernel).max() <= 1 / np.sqrt(classes)
    assert not bias.any()


def test_a_frozen_model_can_be_loaded_and_another_resolution_too(
    tiny_network: Any, stored: Any
) -> None:
    arrays, path = stored
    model = tiny_network(seed=2, resolution=24)
    fine_tuning.prepare(model, TransferConfig(freeze_until="head", batch_norm="frozen"))
    load(model, path)
    assert_loaded(model, arrays, head=True)


def test_weights_of_another_network_are_refused(tiny_network: Any, stored: Any) -> None:
    _, path = stored
    with pytest.raises(UsageError, match="holds efficientnet-b0, the model is efficientnet-b1"):
        load(tiny_network(), path, name="efficientnet-b1")
    model = tiny_network(width_coefficient=0.2)
    before = model.get_weights()
    with pytest.raises(UsageError, match="does not fit"):
        load(model, path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_is_no_source_of_weights_is_refused(tiny_network: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="init_from must be a .safetensors file, the model_dir"):
        load(tiny_network(), str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="init_from: no run in"):
        load(tiny_network(), str(tmp_path))


def test_imagenet_weights_come_without_their_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' own model without top stands for its download, which needs a network."""
    asked = []

    def fetched(name: str, include_top: bool) -> Any:
        asked.append(include_top)
        return keras.applications.EfficientNetB0(
            weights=None, include_top=include_top, input_shape=(32, 32, 3)
        )

    monkeypatch.setattr(imagenet, "_fetched", fetched)
    model = create_model("efficientnet-b0", resolution=32, classes=7)
    head = model.get_layer("predictions").kernel.numpy()
    stem = model.get_layer("stem_conv").kernel.numpy()
    initial = load(model, "imagenet")
    assert initial.new_head
    assert asked == [False]
    np.testing.assert_array_equal(model.get_layer("predictions").kernel, head)
    assert not np.array_equal(model.get_layer("stem_conv").kernel, stem)


def test_the_record_comes_back(tmp_path: Path) -> None:
    assert read_record(str(tmp_path)) is None
    initial = InitialWeights("b0.safetensors", "ab" * 32, True, MEAN, STD)
    write_record(str(tmp_path), initial)
    assert read_record(str(tmp_path)) == initial
    assert "b0.safetensors, with a new head; sha256 abababababababab" in str(initial)
    assert "head included" in str(dataclasses.replace(initial, new_head=False))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"mean": 1, "std": 2}'])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "init_from.json").write_text(content)
    with pytest.raises(UsageError, match=r'init_from.json".*\n.*input normalisation'):
        read_record(str(tmp_path))
