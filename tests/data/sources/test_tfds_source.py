"""TFDS sets: every example once and as TFDS reads it; which features and files are refused."""

import re
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from stored_sets import COLOUR, TWO, change_json, noise, numbers, read_by_tfds, read_by_us

from efficientnet_tf.data.sources.source import Pass
from efficientnet_tf.data.sources.tfds_source import tfds_source
from efficientnet_tf.errors import UsageError

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.mark.parametrize(("encoding", "num_shards"), [("png", 1), ("jpeg", 2), ("png", 4)])
def test_every_example_once_and_as_tfds_reads_it(store, encoding: str, num_shards: int) -> None:
    image = tfds.features.Image(shape=(None, None, 3), encoding_format=encoding)
    folder = store({"train": 5, "test": 23}, {"image": image, "label": TWO}, num_shards=4)
    source = tfds_source(str(folder))
    assert (source.num_classes, source.class_names) == (2, ("cat", "dög"))
    assert source.num_examples["test"] == 23
    expected = read_by_tfds(folder, "test", "image", "label")
    assert set(expected.values()) == {1}
    for shuffle in (False, True):
        passes = [
            source.examples(
                "test", Pass(shuffle=shuffle, epoch=3, seed=1, shard_index=i, num_shards=num_shards)
            )
            for i in range(num_shards)
        ]
        assert passes[0].element_spec["image"] == tf.TensorSpec([], tf.string)
        assert passes[0].element_spec["label"] == tf.TensorSpec([], tf.int64)
        assert read_by_us(passes) == expected


def test_resumed_pass_is_the_rest(store) -> None:
    source = tfds_source(str(store({"train": 30, "test": 4}, num_shards=3)))
    how = {"epoch": 2, "seed": 5, "shuffle": True}
    whole = numbers(source, "train", **how)
    assert sorted(whole) != whole
    for start in (1, 11, len(whole)):
        assert numbers(source, "train", start=start, **how) == whole[start:]


def test_place_names_file_and_record(store) -> None:
    folder = store({"train": 4, "test": 6}, num_shards=2)
    source = tfds_source(str(folder))
    rows = list(source.examples("test"))
    places = {source.place("test", int(row["index"])) for row in rows}
    assert places == {
        f"{folder}/stored-test.tfrecord-0000{i}-of-00002, record {k} (counted from 0)"
        for i in range(2)
        for k in range(3)
    }


def test_damaged_record_keeps_its_place(store) -> None:
    folder = store({"train": 4, "test": 3})
    path = folder / "stored-test.tfrecord-00000-of-00001"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    other = tf.train.Example().SerializeToString()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in (records[0], other, records[2]):
            writer.write(record)
    source = tfds_source(str(folder))
    rows = list(source.examples("test", Pass(skip_errors=True)).as_numpy_iterator())
    assert [row["image"] == b"" for row in rows] == [False, True, False]
    assert [row["index"] for row in rows] == [0, 1, 2]
    with pytest.raises(tf.errors.InvalidArgumentError, match="image"):
        list(source.examples("test"))


def test_grey_images_stay_encoded(store) -> None:
    features = {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    rows = [{"image": noise(i, (28, 28, 1)), "label": i} for i in range(10)]
    folder = store({"train": rows, "test": rows}, features, supervised_keys=("image", "label"))
    source = tfds_source(str(folder))
    assert (source.num_classes, source.class_names) == (10, tuple("0123456789"))
    one_pass = source.examples("test")
    assert one_pass.element_spec["image"] == tf.TensorSpec([], tf.string)
    assert read_by_us([one_pass]) == read_by_tfds(folder, "test", "image", "label")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encoding", ["none", "zlib"])
def test_pixels_that_are_not_encoded(store, channels: int, encoding: str) -> None:
    image = tfds.features.Tensor(shape=(4, 5, channels), dtype=np.uint8, encoding=encoding)
    rows = [{"image": noise(i, (4, 5, channels)), "label": i % 2} for i in range(6)]
    folder = store({"train": rows, "test": rows}, {"image": image, "label": TWO})
    dataset = tfds_source(str(folder)).examples("test")
    assert dataset.element_spec["image"] == tf.TensorSpec([4, 5, 3], tf.uint8)
    found = {row["image"].tobytes(): row["label"] for row in dataset.as_numpy_iterator()}
    repeated = {np.repeat(row["image"], 3 // channels, -1).tobytes(): row["label"] for row in rows}
    assert found == repeated


def test_supervised_keys_name_the_features(store) -> None:
    features = {
        "picture": COLOUR,
        "coarse": tfds.features.ClassLabel(num_classes=2),
        "fine": tfds.features.ClassLabel(num_classes=5),
        "label": tfds.features.Text(),
    }
    rows = [{"picture": noise(i), "coarse": i % 2, "fine": i % 5, "label": "no"} for i in range(10)]
    folder = store({"train": rows, "test": rows}, features, supervised_keys=("picture", "fine"))
    source = tfds_source(str(folder))
    assert source.num_classes == 5
    found = read_by_us([source.examples("test")])
    assert found == read_by_tfds(folder, "test", "picture", "fine")


def test_nested_supervised_keys_are_passed_over(store) -> None:
    keys = ({"a": "image", "b": "image"}, "label")
    assert tfds_source(str(store({"train": 5, "test": 1}, supervised_keys=keys))).num_classes == 2


@pytest.mark.parametrize(
    ("features", "example", "expected"),
    [
        (
            {"image": COLOUR, "caption": tfds.features.Text()},
            {"image": noise(0), "caption": "a cat"},
            r'must have the features "image" and "label", found "caption", "image"',
        ),
        (
            {"image": COLOUR, "label": tfds.features.Scalar(np.int64)},
            {"image": noise(0), "label": 3},
            r'"label" of .* must be a ClassLabel with a known number of classes, found Scalar',
        ),
        (
            {"image": COLOUR, "label": tfds.features.Sequence(TWO)},
            {"image": noise(0), "label": [0, 1]},
            r'"label" of .* must be a ClassLabel with a known number of classes, found Sequence',
        ),
        (
            {"image": tfds.features.Text(), "label": TWO},
            {"image": "a.jpg", "label": 0},
            r'"image" of .* must be an Image, or a uint8 Tensor .*, found Text',
        ),
        (
            {"image": tfds.features.Image(shape=(6, 7, 1), dtype=np.float32), "label": TWO},
            {"image": np.zeros((6, 7, 1), np.float32), "label": 0},
            r'"image" of .* must be an Image, or a uint8 Tensor .*, found Image',
        ),
        (
            {"image": tfds.features.Tensor(shape=(6, 7, 3), dtype=np.float32), "label": TWO},
            {"image": np.zeros((6, 7, 3), np.float32), "label": 0},
            r'"image" of .* must be an Image, or a uint8 Tensor .*, found Tensor',
        ),
        (
            {"image": tfds.features.Tensor(shape=(6, 7), dtype=np.uint8), "label": TWO},
            {"image": np.zeros((6, 7), np.uint8), "label": 0},
            r"height, width and 1 or 3 channels, found Tensor\(shape=\(6, 7\)",
        ),
        (
            {"image": tfds.features.Tensor(shape=(6, 7, 4), dtype=np.uint8), "label": TWO},
            {"image": np.zeros((6, 7, 4), np.uint8), "label": 0},
            r"height, width and 1 or 3 channels, found Tensor\(shape=\(6, 7, 4\)",
        ),
    ],
)
def test_sets_of_other_things_are_refused(store, features, example, expected: str) -> None:
    folder = store({"train": [example]}, features)
    with pytest.raises(UsageError, match=f'the data set "tfds:{folder}"') as caught:
        tfds_source(str(folder))
    assert re.search(expected, str(caught.value)), caught.value


def test_class_label_without_a_number_is_refused(store) -> None:
    folder = store({"train": 5})

    def forget(info: dict[str, Any]) -> None:
        info["featuresDict"]["features"]["label"]["classLabel"] = {}

    change_json(folder / "features.json", forget)
    (folder / "label.labels.txt").unlink()
    with pytest.raises(UsageError, match="a ClassLabel with a known number of classes, found"):
        tfds_source(str(folder))


def test_other_file_formats_are_refused(store) -> None:
    folder = store({"train": 10}, file_format="array_record")
    expected = rf"must be stored as tfrecord, found array_record in {folder}\. Give another data_di"
    with pytest.raises(UsageError, match=expected):
        tfds_source(str(folder))


def test_tfrecords_beside_another_format_are_read(store) -> None:
    folder = store({"train": 10, "test": 4})
    both = {"fileFormat": "array_record", "alternativeFileFormats": ["tfrecord"]}
    change_json(folder / "dataset_info.json", lambda info: info.update(both))
    source = tfds_source(str(folder))
    assert sorted(numbers(source, "test")) == [0, 1, 2, 3]


def test_missing_files_are_refused(store) -> None:
    folder = store({"train": 10, "test": 4}, num_shards=2)
    (folder / "stored-test.tfrecord-00001-of-00002").unlink()
    expected = r"lacks 1 of 2 files: stored-test.tfrecord-00001-of-00002 \(in .*Copy or prepare it"
    with pytest.raises(UsageError, match=expected):
        tfds_source(str(folder))
    shutil.copy(
        folder / "stored-test.tfrecord-00000-of-00002",
        folder / "stored-test.tfrecord-00001-of-00002",
    )
    assert tfds_source(str(folder)).num_examples["test"] == 4
