"""What is wrong with the data, and in which file and record, from TensorFlow's error."""

from pathlib import Path

import pytest
import tensorflow as tf

from efficientnet_tf.data.diagnose import explain_data_error
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import eval_dataset, train_dataset
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.data.sources.records import RecordFiles, RecordSource
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.data.sources.tfrecord import official_parser
from efficientnet_tf.errors import RunError

PREPROCESSING = Preprocessing(32)


def source_of(folder: Path) -> Source:
    """As if the counts were not known, for counting would find a cut file."""
    files = {
        split: RecordFiles([str(path) for path in sorted(folder.glob(f"{prefix}-*"))])
        for split, prefix in {"train": "train", "test": "validation"}.items()
    }
    return RecordSource(
        name="tfrecord",
        num_classes=1000,
        class_names=None,
        num_examples={"train": 6, "minival": 0, "test": 6},
        files=files,
        parse=official_parser(label_offset=1),
    )


def failure(dataset: tf.data.Dataset, source: Source, split: str) -> RunError:
    with pytest.raises(tf.errors.OpError) as caught:
        for _ in dataset.take(10):
            pass
    return explain_data_error(caught.value, source, split)


def test_cut_jpeg(make_imagenet, write_records, photos) -> None:
    folder = make_imagenet([3, 3], [3, 3])
    cut = photos[2][: len(photos[2]) // 2]
    records = [(photos[0], 1), (photos[1], 2), (cut, 3)]
    write_records(folder / "train-00001-of-00002", records)
    source = source_of(folder)
    dataset = train_dataset(source, PREPROCESSING, global_batch_size=2, seed=0)
    error = str(failure(dataset, source, "train"))
    assert f"{folder}/train-00001-of-00002, record 2 (counted from 0)" in error
    assert "Invalid JPEG data" in error
    assert "{{" not in error
    assert "Iterator::" not in error
    assert "Op:" not in error


def test_bytes_that_are_no_image(make_imagenet, write_records, photos) -> None:
    folder = make_imagenet([6], [3, 3])
    write_records(folder / "validation-00000-of-00002", [(photos[0], 1), (b"<html>", 2)])
    source = source_of(folder)
    dataset = eval_dataset(source, "test", PREPROCESSING, global_batch_size=2)
    error = str(failure(dataset, source, "test"))
    assert "validation-00000-of-00002, record 1 " in error
    assert "Unknown image file format" in error


@pytest.mark.parametrize("kind", ["cut", "damaged"])
def test_broken_tfrecord(make_imagenet, kind: str) -> None:
    folder = make_imagenet([6], [3, 3])
    path = folder / "validation-00001-of-00002"
    data = bytearray(path.read_bytes())
    if kind == "cut":
        del data[-100:]
    else:
        data[-100] ^= 255
    path.write_bytes(data)
    source = source_of(folder)
    dataset = eval_dataset(source, "test", PREPROCESSING, global_batch_size=2)
    error = str(failure(dataset, source, "test"))
    assert "validation-00001-of-00002, record 2 " in error
    assert ("truncated record" if kind == "cut" else "corrupted record") in error


@pytest.mark.parametrize("stored", [0, 1001])
def test_label_out_of_range(make_imagenet, write_records, photos, stored: int) -> None:
    folder = make_imagenet([6], [6])
    write_records(folder / "train-00000-of-00001", [(photos[0], 1000), (photos[1], stored)])
    source = source_of(folder)
    dataset = train_dataset(source, PREPROCESSING, global_batch_size=2, seed=0)
    error = str(failure(dataset, source, "train"))
    assert "train-00000-of-00001, record 1 " in error
    assert f"The stored label is {stored - 1}, it must be 0 to 999." in error


def test_missing_feature(make_imagenet) -> None:
    folder = make_imagenet([6], [6])
    with tf.io.TFRecordWriter(str(folder / "train-00000-of-00001")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    source = source_of(folder)
    dataset = train_dataset(source, PREPROCESSING, global_batch_size=2, seed=0)
    error = str(failure(dataset, source, "train"))
    assert "train-00000-of-00001, record 0 " in error
    assert "image/" in error


def test_an_error_that_does_not_come_back(make_imagenet) -> None:
    source = source_of(make_imagenet([6], [6]))
    error = tf.errors.DataLossError(None, None, "truncated record at 7")
    text = str(explain_data_error(error, source, "train"))
    assert "truncated record at 7. All examples were read and decoded a second time" in text
    in_memory = explain_data_error(error, digits_source(), "test")
    assert 'split "test" of source "digits" failed' in str(in_memory)


def test_errors_that_are_not_about_the_data_are_passed_on(make_imagenet, caplog) -> None:
    source = source_of(make_imagenet([6], [6]))
    error = tf.errors.UnavailableError(None, None, "connection reset")
    text = str(explain_data_error(error, source, "train"))
    assert text == 'Reading split "train" of source "tfrecord" failed: connection reset.'
    assert not caplog.records  # no search was started
