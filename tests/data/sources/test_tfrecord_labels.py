"""TFRecords of other programs, without a manifest: where labels begin, classes, minival."""

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.diagnose import explain_data_error
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import eval_dataset, train_dataset
from efficientnet_tf.data.prepare.conversion import prepare
from efficientnet_tf.data.prepare.encoded import StreamOptions
from efficientnet_tf.data.prepare.scan import scan
from efficientnet_tf.data.sources.class_mapping import relabelled
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.data.sources.tfrecord import tfrecord_source
from efficientnet_tf.errors import RunError, UsageError

PNG = tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8)).numpy()
Records = Callable[..., str]


@pytest.fixture
def records(tmp_path: Path, write_records: Callable[..., None]) -> Records:
    """Writes a file for each split, with these stored labels."""

    def write(**labels: list[int]) -> str:
        for prefix, stored in labels.items():
            path = tmp_path / f"{prefix}-00000-of-00001"
            write_records(path, [(PNG, label) for label in stored])
        return str(tmp_path)

    return write


def labels_of(source: Source, split: str) -> list[int]:
    return sorted(int(example["label"]) for example in source.examples(split))


def test_labels_that_begin_at_zero(records: Records) -> None:
    folder = records(train=[0, 1] * 10, validation=[1, 0, 1])
    with pytest.raises(UsageError) as caught:
        tfrecord_source(folder, num_classes=2, minival_shards=None)
    assert "begin at 0; the official layout counts from 1." in str(caught.value)
    assert "--config.data.label_offset=0" in str(caught.value)
    source = tfrecord_source(folder, num_classes=2, minival_shards=None, label_offset=0)
    assert labels_of(source, "test") == [0, 1, 1]


def test_labels_that_fit_neither_count_are_left_to_reading(records: Records) -> None:
    folder = records(train=[0, 1, 2, 3], validation=[1])
    source = tfrecord_source(folder, num_classes=3, minival_shards=0)  # 0 is the one that is wrong
    assert source.label_fault(-1).startswith("The stored label is 0, it must be 1 to 3.")
    source = tfrecord_source(folder, num_classes=3, minival_shards=0, label_offset=0)
    assert "The stored label is 3, it must be 0 to 2. If there are more than 3 classes" in (
        source.label_fault(3)
    )
    assert source.label_fault(2) == ""


def test_classes_that_are_only_assumed(records: Records, caplog: pytest.LogCaptureFixture) -> None:
    folder = records(train=[1, 2] * 5, validation=[1])
    assert tfrecord_source(folder, num_classes=1000, minival_shards=0).num_classes == 1000
    assert not caplog.records
    assert tfrecord_source(folder, minival_shards=0).num_classes == 1000
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "so 1000 are taken; but labels of the 1 training files looked at are no more than 2" in (
        record.message
    )


@pytest.mark.parametrize("shards", [None, 20])
def test_minival_files_are_used(records: Records, shards: int | None) -> None:
    folder = records(train=[1] * 9, minival=[2] * 3, validation=[1, 2])
    source = tfrecord_source(folder, num_classes=2, minival_shards=shards)
    assert source.num_examples == {"train": 9, "minival": 3, "test": 2}
    assert labels_of(source, "minival") == [1, 1, 1]
    os.rename(f"{folder}/minival-00000-of-00001", f"{folder}/minival-00001-of-00002")
    with pytest.raises(UsageError, match="lacks 1 of 2 minival files: minival-00000-of-00002"):
        tfrecord_source(folder, num_classes=2)


@pytest.fixture
def one_wrong(records: Records) -> Source:
    """Records of which one in the last third has the label 0; the first ones are looked at."""
    stored = [1, 2] * 20
    return tfrecord_source(
        records(train=[*stored[:30], 0, *stored[31:]], validation=[*[1, 2] * 9, 0]),
        num_classes=2,
        minival_shards=0,
    )


def batches(source: Source, split: str, bad: BadExamples | None) -> tf.data.Dataset:
    preprocessing = Preprocessing(8)
    if split == "train":
        return train_dataset(source, preprocessing, global_batch_size=4, seed=0, bad=bad).take(10)
    return eval_dataset(source, split, preprocessing, global_batch_size=4, bad=bad)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_wrong_label_is_never_passed_over(
    one_wrong: Source, split: str, skips: bool, mapped: bool
) -> None:
    source = relabelled(one_wrong, [1, 0], 2, None) if mapped else one_wrong
    bad = BadExamples(functools.partial(source.place, split), 100) if skips else None
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        for _ in batches(source, split, bad):
            pass
    assert not bad
    text = str(explain_data_error(caught.value, source, split))
    name, record = {"train": ("train", 30), "test": ("validation", 18)}[split]
    assert f"{name}-00000-of-00001, record {record} (counted from 0) cannot be used" in text
    assert "The stored label is 0, it must be 1 to 2." in text
    assert "label_offset" in text
    assert "never passed over, whatever on_error says" in text


def test_check_data_lists_wrong_labels_and_prepare_stops_at_them(
    one_wrong: Source, tmp_path: Path
) -> None:
    report = scan(one_wrong, "train")
    assert report.examples == 40
    (line,) = report.broken
    assert "record 30 (counted from 0): The stored label is 0, it must be 1 to 2." in line
    for on_error in ("stop", "skip"):
        with pytest.raises(RunError, match=r"record \d+ .* The stored label is 0") as caught:
            prepare(
                one_wrong,
                str(tmp_path / on_error),
                options=StreamOptions(on_error=on_error),
                say=lambda _: None,
            )
        assert "leave such examples out" not in str(caught.value)


def test_each_unread_record_says_why(
    tmp_path: Path, write_records: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    path, other = tmp_path / "train-00000-of-00002", tmp_path / "train-00001-of-00002"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.train.Example().SerializeToString())
    write_records(other, [(PNG, 1), (b"", 1), (b"<html>", 2), (PNG, 2)])
    write_records(tmp_path / "validation-00000-of-00001", [(PNG, 1)])
    source = tfrecord_source(str(tmp_path), num_classes=2, minival_shards=0)
    other.write_bytes(other.read_bytes()[:-20])
    bad = BadExamples(functools.partial(source.place, "train"), 100)
    for _ in train_dataset(source, Preprocessing(8), global_batch_size=5, seed=0, bad=bad).take(1):
        pass
    said = "\n".join(record.message for record in caplog.records if "skipped" in record.message)
    for place, reason in {
        "train-00000-of-00002, record 0 ": "image/",  # the feature that is missing
        "train-00001-of-00002, record 1 ": "The image of the record is empty.",
        "train-00001-of-00002, record 2 ": "Unknown image file format",
        "train-00001-of-00002, record 3 ": "truncated record",
    }.items():
        (line,) = (line for line in said.splitlines() if place in line)
        assert reason in line


def test_shards_that_are_no_regular_files(records: Records) -> None:
    folder = records(train=[1, 2], validation=[1])
    os.remove(f"{folder}/train-00000-of-00001")
    os.mkfifo(f"{folder}/train-00000-of-00001")
    with pytest.raises(UsageError, match="train-00000-of-00001 cannot be read: it is a named pipe"):
        tfrecord_source(folder, num_classes=2)
