"""--mode=eval on other splits, resolutions, sources and on stand-ins of ImageNet's variants.

What a network must have answered is computed from its model, image by image.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tensorflow as tf
from two_blocks import TWO_BLOCKS

from efficientnet_tf.config import ExperimentConfig, finish
from efficientnet_tf.data.prepare.inventory import write_manifest
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.evaluation.request import EvaluationRequest
from efficientnet_tf.experiment import modes
from efficientnet_tf.runs import predictions, trained_model

IDS = [f"n{1440764 + 1000 * number:08d}" for number in range(12)]
HELD = "ILSVRC2012_val_{:08d}.JPEG"
VALIDATION = 8  # images of the run's test split, named as ImageNet's


def draw(path: Path, number: int) -> None:
    chance = np.random.RandomState(number)
    image = chance.randint(0, 256, (3, 3, 3)).repeat(6, 0).repeat(6, 1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_jpeg(image).numpy())


def make_config(data: Path, **changes: Any) -> ExperimentConfig:
    config = ExperimentConfig()
    config.model.width_coefficient = 0.1
    config.model.blocks_args = TWO_BLOCKS
    config.model.resolution = 16
    config.data.source = f"folder:{data}"
    config.data.train_crop = config.data.eval_crop = "none"
    config.data.minival = 12
    config.optimizer.ema_decay = 0.5
    config.optimizer.base_learning_rate = 0.5
    config.optimizer.warmup_epochs = 0.0
    config.train.global_batch_size = 5
    config.train.epochs = 3.0
    for name, value in changes.items():
        section = config.data if hasattr(config.data, name) else config.train
        setattr(section, name, value)
    return finish(config)


@pytest.fixture(scope="module", autouse=True)
def no_report() -> Iterator[None]:
    """Half of what a mode takes with a small network is its report, which has tests of its own."""
    with patch("efficientnet_tf.report.write.try_report", return_value="report: none"):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's own set: class folders by WordNet ID, train and val as ImageNet has them."""
    folder = tmp_path_factory.mktemp("data") / "imagenet"
    for number in range(36):
        draw(folder / "train" / IDS[number % 12] / f"{number}.JPEG", number)
    for number in range(VALIDATION):
        draw(folder / "val" / IDS[5 * number % 12] / HELD.format(number + 1), 100 + number)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few steps of training, without evaluation."""
    model_dir = tmp_path_factory.mktemp("run") / "run"
    modes.train(make_config(data), modes.Where(str(model_dir)))
    return model_dir


Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture
def evaluate(data: Path, run: Path) -> Evaluate:
    """Evaluates the run and reads the file of the name given."""

    def call(name: str, config: ExperimentConfig | None = None, **request: Any) -> dict[str, Any]:
        where = modes.Where(str(run))
        modes.evaluate(config or make_config(data), where, EvaluationRequest(**request))
        return json.loads((run / f"evaluation-{name}.json").read_text())

    return call


def answers(run: Path, paths: list[Path], resolution: int | None = None) -> np.ndarray:
    """Probabilities of the run's network for image files, one by one: [n, 12]."""
    trained = trained_model.from_run(str(run), resolution=resolution)
    rows = [
        trained.model(trained.preprocessing.for_eval(tf.constant(path.read_bytes()))[tf.newaxis])
        for path in paths
    ]
    return np.concatenate(rows)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_a_run_keeps_its_classes(run: Path, data: Path) -> None:
    stored = json.loads((run / "classes.json").read_text())
    assert stored == {"num_classes": 12, "class_names": IDS}
    moved = run.parent / "alone"
    shutil.copytree(run, moved)
    stored = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**stored, "data.source": "folder:/gone"}))
    assert trained_model.from_run(str(moved)).class_names == tuple(IDS)


def test_predictions_are_those_of_every_image_at_its_place(
    evaluate: Evaluate, run: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate("test")
    paths = sorted((data / "val").glob("*/*"))
    expected = answers(run, paths)
    stored = predictions.load(str(run / "predictions-test.npz"))
    np.testing.assert_array_equal(stored.places, np.arange(VALIDATION))
    np.testing.assert_array_equal(stored.labels, [IDS.index(path.parent.name) for path in paths])
    close(stored.probabilities, expected)
    assert found["top1"] == pytest.approx((expected.argmax(1) == stored.labels).mean())
    assert found["loss"] == pytest.approx(
        -np.log(expected[np.arange(VALIDATION), stored.labels]).mean(), rel=1e-3
    )
    assert [row["name"] for row in found["per_class"]] == IDS
    assert (found["split"], found["resolution"], found["examples"]) == ("test", 16, VALIDATION)
    lines = capsys.readouterr().out.splitlines()
    (first,) = (number for number, line in enumerate(lines) if line.startswith("test, weights of"))
    assert lines[first].endswith(f"({VALIDATION} images) -> {run}/evaluation-test.json")
    assert lines[first + 1].startswith("  mean per class ")
    assert lines[first + 1].endswith(f"predictions: {run}/predictions-test.npz")
    assert any(line.startswith("minival, weights of") for line in lines)


def test_the_training_split_and_the_raw_weights_have_files_of_their_own(
    evaluate: Evaluate, run: Path, data: Path
) -> None:
    before = (run / "evaluation-test.json").read_text() if _has(run, "test") else None
    config = make_config(data, eval_raw_weights=True)
    average = evaluate("train", config, split=("train",))
    raw = json.loads((run / "evaluation-train-raw.json").read_text())
    assert (average["weights"], raw["weights"]) == ("average", "raw")
    assert average["examples"] == raw["examples"] == 24  # 36 less minival's 12
    assert average["loss"] != raw["loss"]
    files = [run / f"predictions-train{suffix}.npz" for suffix in ("", "-raw")]
    tables = [predictions.load(str(file)).probabilities for file in files]
    assert np.abs(tables[0] - tables[1]).max() > 1e-4
    assert before is None or (run / "evaluation-test.json").read_text() == before


def _has(run: Path, name: str) -> bool:
    return (run / f"evaluation-{name}.json").exists()


@pytest.mark.parametrize("resolution", [24, 16])
def test_another_resolution_has_a_file_of_its_own(
    evaluate: Evaluate, run: Path, data: Path, resolution: int
) -> None:
    name = "test-24px" if resolution == 24 else "test"
    found = evaluate(name, eval_resolution=resolution, split=("test",))
    assert found["resolution"] == resolution
    paths = sorted((data / "val").glob("*/*"))
    stored = predictions.load(str(run / f"predictions-{name}.npz"))
    close(stored.probabilities, answers(run, paths, resolution))


def test_another_crop_has_a_file_of_its_own(evaluate: Evaluate, data: Path) -> None:
    config = make_config(data, eval_crop="fraction", crop_fraction=0.6)
    found = evaluate("test-fraction0.6", config, split=("test",))
    assert found["eval_crop"] == "fraction"
    config = make_config(data, eval_crop="padding")
    assert evaluate("test-padding", config, split=("test",))["examples"] == 8


def test_another_folder_is_evaluated_whole_by_its_class_names(
    evaluate: Evaluate, run: Path, tmp_path: Path
) -> None:
    """Also where the run's own data have gone, and where one class has a single image."""
    names = [IDS[7], IDS[2], IDS[10]]
    for number, name in enumerate([*names, names[0]]):
        draw(tmp_path / "other" / name / f"{number}.jpg", 200 + number)
    config = make_config(tmp_path / "gone")
    shutil.copytree(run, tmp_path / "moved")
    stored = json.loads((run / "config.json").read_text())
    stored["data.source"] = config.data.source
    (tmp_path / "moved" / "config.json").write_text(json.dumps(stored))
    request = EvaluationRequest(eval_source="folder", eval_data_dir=str(tmp_path / "other"))
    modes.evaluate(config, modes.Where(str(tmp_path / "moved")), request)
    found = json.loads((tmp_path / "moved" / "evaluation-folder-other.json").read_text())
    assert (found["split"], found["source"], found["examples"]) == ("all", "folder:other", 4)
    paths = sorted((tmp_path / "other").glob("*/*"))
    stored = predictions.load(str(tmp_path / "moved" / "predictions-folder-other.npz"))
    np.testing.assert_array_equal(stored.labels, [2, 7, 7, 10])
    close(stored.probabilities, answers(run, paths))


def test_imagenet_v2_counts_its_folders_as_numbers(
    evaluate: Evaluate, run: Path, tmp_path: Path
) -> None:
    for number in range(12):
        draw(tmp_path / "v2" / str(number) / "image.jpeg", 300 + number)
    found = evaluate("imagenet-v2", eval_source=f"folder:{tmp_path}/v2", eval_variant="imagenet-v2")
    assert (found["variant"], found["examples"]) == ("imagenet-v2", 12)
    stored = predictions.load(str(run / "predictions-imagenet-v2.npz"))
    # In the order of the folder's listing: 0, 1, 10, 11, 2, ...
    np.testing.assert_array_equal(stored.labels, sorted(range(12), key=str))
    paths = sorted((tmp_path / "v2").glob("*/*"))
    close(stored.probabilities, answers(run, paths))


@pytest.mark.parametrize("variant", ["imagenet-a", "imagenet-r"])
def test_imagenet_a_and_r_are_answered_among_their_classes_alone(
    evaluate: Evaluate, run: Path, tmp_path: Path, variant: str
) -> None:
    chosen = [1, 4, 5, 9, 11]
    for number in chosen:
        draw(tmp_path / "a" / IDS[number] / "1.jpg", 400 + number)
        draw(tmp_path / "a" / IDS[number] / "2.jpg", 500 + number)
    found = evaluate(variant, eval_source=f"folder:{tmp_path}/a", eval_variant=variant)
    paths = sorted((tmp_path / "a").glob("*/*"))
    of_all = answers(run, paths)
    expected = of_all[:, chosen] / of_all[:, chosen].sum(1, keepdims=True)
    stored = predictions.load(str(run / f"predictions-{variant}.npz"))
    close(stored.probabilities, expected)
    np.testing.assert_array_equal(stored.labels, np.arange(5).repeat(2))
    assert [row["name"] for row in found["per_class"]] == [IDS[number] for number in chosen]
    assert found["top1"] == pytest.approx((expected.argmax(1) == stored.labels).mean())
    assert not np.isin(of_all.argmax(1), chosen).all(), "the test could not tell the two apart"


def real_labels(path: Path, run: Path, data: Path) -> tuple[str, float]:
    """A made-up real.json and the accuracy by it: every second list has the second best answer."""
    expected = answers(run, [next(data.glob(f"val/*/{HELD.format(k + 1)}")) for k in range(8)])
    order = np.argsort(-expected, axis=1)
    labels = [[], *([int(row[k % 2]), int(row[5])] for k, row in enumerate(order[1:]))]
    path.write_text(json.dumps(labels))
    return str(path), 4 / 7


def test_real_labels_by_the_names_of_the_files(
    evaluate: Evaluate, run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, accuracy = real_labels(tmp_path / "real.json", run, data)
    found = evaluate("test-real", eval_variant="real", real_labels=path)
    assert found["real"] == {"top1": accuracy, "examples": 7, "without_labels": 1}
    assert found["examples"] == VALIDATION  # the other numbers are by the original labels
    said = "ReaL top-1 57.14 %  (7 images, 1 without labels left out)"
    assert said in capsys.readouterr().out
    elsewhere = evaluate(
        "folder-val-real",
        eval_source=f"folder:{data}/val",
        eval_variant="real",
        real_labels=path,
    )
    assert elsewhere["real"] == found["real"]


def write_records(folder: Path, data: Path) -> None:
    """The run's set in the official layout, validation in two files and mixed order."""
    folder.mkdir()

    def example(path: Path) -> bytes:
        def text(content: bytes) -> tf.train.Feature:
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))

        label = tf.train.Int64List(value=[IDS.index(path.parent.name) + 1])
        feature = {
            "image/encoded": text(path.read_bytes()),
            "image/class/label": tf.train.Feature(int64_list=label),
            "image/filename": text(path.name.encode()),
        }
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    train, validation = (sorted(data.glob(f"{split}/*/*")) for split in ("train", "val"))
    mixed = [validation[number] for number in (3, 0, 7, 1, 6, 2, 5, 4)]
    files = {
        "train-00000-of-00001": train,
        "validation-00000-of-00002": mixed[:5],
        "validation-00001-of-00002": mixed[5:],
    }
    for name, paths in files.items():
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for path in paths:
                writer.write(example(path))


def test_real_labels_by_the_names_that_records_tell(
    evaluate: Evaluate, run: Path, data: Path, tmp_path: Path
) -> None:
    records, names = tmp_path / "records", tmp_path / "names.txt"
    write_records(records, data)
    path, accuracy = real_labels(tmp_path / "real.json", run, data)
    names.write_text("".join(f"{name} a word, another\n" for name in IDS))
    with pytest.raises(UsageError, match="has 1000 classes and the run 12"):
        evaluate("", eval_source="tfrecord", eval_data_dir=str(records))
    write_manifest(str(records), num_classes=12, name="val records")
    found = evaluate(
        "val-records-test-real",
        eval_source="tfrecord",
        eval_data_dir=str(records),
        eval_variant="real",
        real_labels=path,
        class_names=str(names),
    )
    assert found["real"] == {"top1": accuracy, "examples": 7, "without_labels": 1}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"eval_source": "digits"}, "has 10 classes and the run 12"),
        ({"eval_source": "folder:DIR/strange"}, 'none of the run\'s 12, such as "cat"'),
        (
            {"eval_source": "folder:DIR/strange", "eval_variant": "imagenet-v2"},
            "class folders must be named 0 to 11, found 2",
        ),
        (
            {"eval_source": "folder:DIR/strange", "eval_variant": "imagenet-r"},
            '2 of 2 are not, such as "cat"',
        ),
        ({"class_names": "DIR/two.txt"}, "must name the run's 12 classes"),
        (
            {
                "class_names": "DIR/words.txt",
                "eval_variant": "imagenet-a",
                "eval_source": "folder:DIR/strange",
            },
            'named otherwise ("word 0") than by WordNet IDs',
        ),
        ({"eval_variant": "real", "real_labels": "DIR/none.json"}, "cannot be read"),
        ({"eval_variant": "real", "real_labels": "DIR/two.txt"}, "is no JSON"),
        ({"eval_variant": "real", "real_labels": "DIR/far.json"}, "class numbers, 0 to 11"),
        ({"eval_variant": "real", "real_labels": "DIR/short.json"}, "has 2 entries, too few"),
        ({"eval_variant": "real", "real_labels": "DIR/empty.json"}, "has no label for any"),
        (
            {"eval_variant": "real", "real_labels": "DIR/empty.json", "split": ("train",)},
            r'.JPEG; .*/train/n01440764/.* is "\d+.JPEG". Give the set as class folders',
        ),
    ],
)
def test_what_does_not_fit_is_one_message(
    evaluate: Evaluate, tmp_path: Path, request_: dict[str, Any], message: str
) -> None:
    for name in ("cat", "dog"):
        draw(tmp_path / "strange" / name / "1.jpg", 1)
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    (tmp_path / "words.txt").write_text("".join(f"word {number}\n" for number in range(12)))
    (tmp_path / "far.json").write_text("[[1], [12]]")
    (tmp_path / "short.json").write_text("[[1], [2]]")
    (tmp_path / "empty.json").write_text(json.dumps([[]] * 8))
    request = {
        name: value.replace("DIR", str(tmp_path)) if isinstance(value, str) else value
        for name, value in request_.items()
    }
    with pytest.raises((UsageError, RunError)) as caught:
        evaluate("", **request)
    assert re.search(message if "\\" in message else re.escape(message), str(caught.value))
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_without_class_names_says_what_it_needs(
    evaluate: Evaluate, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    content = {"num_classes": 12, "class_names": None}
    (tmp_path / "run" / "classes.json").write_text(json.dumps(content))
    for number in (3, 8):
        draw(tmp_path / "a" / IDS[number] / "1.jpg", number)
    stored = json.loads((run / "config.json").read_text())
    config = make_config(Path(stored["data.source"].removeprefix("folder:")))
    where = modes.Where(str(tmp_path / "run"))
    fields = {"eval_source": f"folder:{tmp_path}/a", "eval_variant": "imagenet-a"}
    with pytest.raises(UsageError, match=r"does not know the names .* --class_names=FILE"):
        modes.evaluate(config, where, EvaluationRequest(**fields))
    (tmp_path / "names.txt").write_text("\n".join(IDS))
    names = str(tmp_path / "names.txt")
    modes.evaluate(config, where, EvaluationRequest(**fields, class_names=names))
    found = json.loads((tmp_path / "run" / "evaluation-imagenet-a.json").read_text())
    assert [row["name"] for row in found["per_class"]] == [IDS[3], IDS[8]]
