"""The whole import, as a function and as the script: files of each program into one of ours."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden import fill
from PIL import Image
from safetensors.numpy import load_file, save_file

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.importers import weights_file
from efficientnet_tf.importers.convert import Import, convert, text
from efficientnet_tf.importers.detect import detect, open_weights
from efficientnet_tf.importers.fingerprint import recognise
from efficientnet_tf.importers.input_contract import (
    apply_contract,
    family_contract,
    from_dict,
    own_contract,
)
from efficientnet_tf.models.variants import IMAGENET_MEAN, IMAGENET_STD, VARIANTS
from efficientnet_tf.zoo import create_model

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
CKPT = str(GOLDEN / "ckpt_tiny")
TIMM = str(GOLDEN / "importers" / "timm_tiny_b0.safetensors")
NARROW = {"width_coefficient": 0.1, "depth_coefficient": 0.3, "resolution": 64}


@pytest.fixture
def output(tmp_path):
    return str(tmp_path / "out.safetensors")


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return str(tmp_path / "image.png")


def wanted(source, output, **changes):
    return Import(source, output, **{"model": "efficientnet-b0", "coefficients": NARROW, **changes})


def refused(source, output, **changes):
    with pytest.raises(UsageError) as error:
        convert(wanted(source, output, **changes))
    assert not Path(output).exists()
    return str(error.value)


def test_the_official_checkpoint_arrives_in_a_new_model(output):
    imported = convert(wanted(CKPT, output))
    model = create_model("efficientnet-b0", classes=10, classifier_activation=None, **NARROW)
    weights_file.load_into(model, output, name="efficientnet-b0")
    images = fill.image_batch(3300, 4, 64).astype(np.float32)
    with np.load(GOLDEN / "ckpt_tiny" / "eval.npz") as archive:
        logits = archive["logits|ema=1"]
    assert np.abs(np.asarray(model(images)) - logits).max() <= 1e-5 * logits.std()
    info = weights_file.read_info(output)
    assert info == imported.info
    assert (info.model, info.classes, info.resolution) == ("efficientnet-b0", 10, 64)
    assert info.coefficients == NARROW
    assert info.contract == family_contract("imagenet", 64)
    assert info.source == f"{CKPT}/model.ckpt-12"


def test_plain_weights_of_the_checkpoint(output):
    averaged = convert(wanted(CKPT, output)).receipt.checksum
    plain = convert(wanted(CKPT, output, use_ema=False))
    assert plain.receipt.checksum != averaged
    assert plain.info.source_format == "official TF1 checkpoint, plain weights"


def test_the_source_is_identified_by_its_contents(output, tmp_path):
    first = convert(wanted(TIMM, output)).info.source_sha256
    arrays = load_file(TIMM)
    arrays["classifier.bias"] += 1
    save_file(arrays, tmp_path / "tf_efficientnet_b0.safetensors")
    second = convert(wanted(str(tmp_path / "tf_efficientnet_b0.safetensors"), output))
    assert first != second.info.source_sha256


def test_a_new_head_is_drawn_from_the_seed(output):
    heads = []
    for seed in (0, 0, 1):
        imported = convert(wanted(TIMM, output, new_head=True, classes=3, seed=seed))
        arrays, info = weights_file.load(output)
        heads.append(arrays["predictions/kernel"])
        assert info.classes == 3
        assert arrays["predictions/kernel"].shape == (128, 3)
        assert arrays["predictions/kernel"].std() > 0
        assert imported.receipt.unmatched_model == ("predictions/kernel", "predictions/bias")
        assert imported.receipt.unmatched_source == ("classifier.bias", "classifier.weight")
    np.testing.assert_array_equal(heads[0], heads[1])
    assert (heads[0] != heads[2]).all()
    stem = load_file(TIMM)["conv_stem.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(arrays["stem_conv/kernel"], stem)


def test_the_contract_can_be_given(output, tmp_path):
    imported = convert(wanted(TIMM, output, contract="advprop"))
    assert imported.info.contract == family_contract("advprop", 64)
    assert imported.model.get_layer("normalization").mean == (127.5,) * 3


def test_advprop_is_known_by_its_folder(output, tmp_path):
    folder = tmp_path / "advprop" / "efficientnet-b0"
    folder.mkdir(parents=True)
    for file in Path(CKPT).glob("*ckpt-12*"):
        (folder / file.name).write_bytes(file.read_bytes())
    prefix = str(folder / "model.ckpt-12")
    assert open_weights(prefix).contract(VARIANTS["efficientnet-b0"]).family == "advprop"
    assert open_weights(CKPT).contract(VARIANTS["efficientnet-b0"]).family == "imagenet"
    assert open_weights(CKPT).contract(VARIANTS["efficientnet-lite0"]).family == "centred"


def test_answers_for_an_image(output, image):
    answers = convert(wanted(TIMM, output, image=image)).answers
    assert len(answers) == 5
    probabilities = [probability for _, _, probability in answers]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 1


def test_the_receipt_in_words(output, image):
    imported = convert(wanted(TIMM, output, image=image, new_head=True, classes=3))
    lines = text(imported, output).splitlines()
    assert lines[0] == f"{TIMM}: timm, .safetensors"
    assert lines[2] == (
        "model: efficientnet-b0, 3 classes, width_coefficient=0.1, depth_coefficient=0.3, "
        "resolution=64"
    )
    assert lines[3].startswith(f"matched: {len(imported.receipt.matched)} weights, ")
    assert "in the source, not taken: 2" in lines
    assert "  classifier.weight" in lines
    assert "in the model, not in the source (kept as they were): 2" in lines
    assert f"sha256 of the matched arrays: {imported.receipt.checksum}" in lines
    assert any(line.startswith("input: imagenet: (pixel - [123.675, 116.28, ") for line in lines)
    assert any(line.startswith("note: nothing in the file or its name says") for line in lines)
    assert sum("%  class " in line for line in lines) == 3
    assert lines[-1].startswith(f'written to {output}: create_model("efficientnet-b0", weights="')
    every = text(imported, output, every=True)
    assert "conv_stem.weight" in every
    assert "stem_conv/kernel [3, 3, 3, 8]" in every


# ---- which model


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_recognised_by_its_shapes(make_skeleton, name):
    model = make_skeleton(name, classes=5)
    assert recognise({each.path: each.shape for each in model.weights}) == name


def test_networks_of_ones_own_are_not_recognised(output):
    assert recognise(open_weights(TIMM).shapes) is None
    message = refused(TIMM, output, model=None, coefficients={})
    assert message.startswith(f'--model is needed: the shapes in "{TIMM}" are those of no')


def test_the_wrong_model_is_named(make_skeleton, tmp_path, output):
    arrays = {
        f"layers/{each.path}": np.zeros(each.shape, np.float32)
        for each in make_skeleton("efficientnet-lite0", classes=2).weights
    }
    timm_names = {"conv_stem.weight": np.zeros((32, 3, 3, 3), np.float32)}
    for path, array in arrays.items():
        if array.ndim == 4 and "stem" not in path:
            order = (2, 3, 0, 1) if "dwconv" in path else (3, 2, 0, 1)
            name = f"{path}.conv_dw.weight" if "dwconv" in path else f"{path}.weight"
            timm_names[name] = np.ascontiguousarray(array.transpose(order))
    timm_names["classifier.weight"] = np.zeros((2, 1280), np.float32)
    save_file(timm_names, tmp_path / "x.safetensors")
    message = refused(
        str(tmp_path / "x.safetensors"), output, model="efficientnet-b0", coefficients={}
    )
    assert message == (
        f'--model=efficientnet-b0: "{tmp_path}/x.safetensors" holds efficientnet-lite0, by the '
        "shapes of its kernels. Give --model=efficientnet-lite0, or leave it out."
    )


def test_an_unknown_model_is_refused(output):
    assert 'unknown model "efficientnet-b00".' in refused(TIMM, output, model="efficientnet-b00")


# ---- refusals


def test_classes_and_new_head_belong_together(output):
    assert refused(TIMM, output, new_head=True).startswith("--new_head needs --classes")
    assert refused(TIMM, output, classes=3) == (
        f'--classes=3: the classifier in "{TIMM}" has 10. Leave --classes out, or add --new_head '
        "for a new classifier."
    )
    assert convert(wanted(TIMM, output, classes=10)).info.classes == 10


def test_weights_without_classifier_need_a_new_one(tmp_path, output):
    arrays = {
        name: array for name, array in load_file(TIMM).items() if not name.startswith("classifier")
    }
    path = str(tmp_path / "x.safetensors")
    save_file(arrays, path)
    assert refused(path, output) == (
        f'"{path}" has no classifier of one dense layer. Import the rest with --new_head '
        "--classes=N."
    )
    assert convert(wanted(path, output, new_head=True, classes=4)).info.classes == 4


def test_an_unknown_format_is_refused(output):
    assert refused(TIMM, output, format="tim") == (
        '--format must be auto or one of tf1, keras, qubvel, timm, received "tim". Did you mean '
        '"timm"?'
    )


def test_an_unknown_contract_is_refused(output):
    message = refused(TIMM, output, contract="adprop")
    assert message.startswith("--contract must be auto or one of imagenet, advprop, centred, pix")
    assert message.endswith('Did you mean "advprop"?')


def test_outputs_that_cannot_be_written_are_refused_first(tmp_path):
    path = f"{tmp_path}/none/out.safetensors"
    assert refused("nowhere", path) == (
        f'--output: "{path}" cannot be written: No such file or directory.'
    )
    path = f"{tmp_path}/out.h5"
    assert refused("nowhere", path) == f'--output must end in .safetensors, received "{path}".'


def test_images_that_cannot_be_read_are_refused(output, tmp_path):
    assert refused(TIMM, output, image="none.jpg") == '--image: there is no file "none.jpg".'
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff half a picture")
    with pytest.raises(RunError, match=r'--image: ".*broken.jpg" is no readable image.'):
        convert(wanted(TIMM, output, image=str(tmp_path / "broken.jpg")))
    assert not Path(output).exists()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is empty. Known are: official TF1 checkpoints"),
        (b"hello, world", "is of no known format, or damaged. Known are: official"),
        (b"PK\x03\x04 half a zip", "is damaged: File is not a zip file. Copy it again."),
    ],
)
def test_files_of_no_known_format_are_refused(tmp_path, contents, message):
    (tmp_path / "x.h5").write_bytes(contents)
    with pytest.raises(UsageError) as error:
        detect(str(tmp_path / "x.h5"))
    assert f'--from: "{tmp_path}/x.h5" {message}' in str(error.value)


def test_folders_and_paths_without_weights_are_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no file, folder or checkpoint"):
        detect(str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"no weights in the folder .* \(found nothing\)"):
        detect(str(tmp_path))
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(UsageError, match="is a SavedModel, whose weights have lost the names"):
        detect(str(tmp_path))


@pytest.mark.parametrize("path", [CKPT, f"{CKPT}/model.ckpt-12", f"{CKPT}/model.ckpt-12.index"])
def test_checkpoints_are_detected(path):
    assert detect(path) == "tf1"


def test_our_own_file_needs_no_import(output):
    convert(wanted(TIMM, output))
    with pytest.raises(UsageError, match="has been imported already: create_model"):
        detect(output)


# ---- the contract


def test_contracts_come_back_and_know_their_family():
    for family in ("imagenet", "advprop", "centred", "pixels"):
        contract = family_contract(family, 300)
        assert from_dict(contract.to_dict()) == contract
        assert own_contract(contract.mean, contract.std, 300) == contract
    own = own_contract([1, 2, 3], [4, 5, 6], 32)
    assert (own.family, own.mean, own.std) == ("own", (1, 2, 3), (4, 5, 6))
    as_float32 = own_contract(np.float32(IMAGENET_MEAN), np.float32(IMAGENET_STD), 224)
    assert as_float32 == family_contract("imagenet", 224)


def test_only_our_models_take_a_contract(tiny_network):
    import keras

    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="other")
    with pytest.raises(UsageError, match='model "other" has no layer "normalization"'):
        apply_contract(other, family_contract("imagenet", 224))


# ---- the word


def word(*flags):
    return subprocess.run(
        [sys.executable, "main.py", "import-weights", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_the_word_imports_and_prints_the_receipt(output):
    done = word(
        "--model=efficientnet-b0",
        f"--from={CKPT}",
        f"--output={output}",
        "--width_coefficient=0.1",
        "--depth_coefficient=0.3",
        "--resolution=64",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "official TF1 checkpoint, averaged weights" in done.stdout
    assert weights_file.read_info(output).coefficients == NARROW


def test_the_word_refuses_in_one_line(output):
    done = word(f"--output={output}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --from is needed.\n"
