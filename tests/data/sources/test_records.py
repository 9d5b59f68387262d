"""A source of TFRecord files: order, exact shares, resume, and files that are broken."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import train_dataset
from efficientnet_tf.data.sources.records import RecordFiles, RecordSource, count_records
from efficientnet_tf.data.sources.source import Pass
from efficientnet_tf.data.sources.tfrecord import tfrecord_source
from efficientnet_tf.errors import RunError, UsageError


def labels(dataset: tf.data.Dataset) -> list[int]:
    return [int(example["label"]) for example in dataset]


def epochs(source: RecordSource, count: int, seed: int = 0, **options) -> list[list[int]]:
    """The labels of the first epochs, of one data set with the epoch as a tensor, as in training.

    A data set takes longer to be built than to be read.
    """
    passes = tf.data.Dataset.range(count).flat_map(
        lambda epoch: source.examples(
            "train", Pass(shuffle=True, epoch=epoch, seed=seed, **options)
        ).map(lambda example: (epoch, example["label"]))
    )
    found = [[] for _ in range(count)]
    for epoch, label in passes.as_numpy_iterator():
        found[epoch].append(int(label))
    return found


def without_counts(source: RecordSource) -> RecordSource:
    files = {split: RecordFiles(files.paths) for split, files in source.files.items()}
    return dataclasses.replace(source, files=files)


def test_index_names_file_and_record(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([1], [2, 3])), minival_shards=0)
    found = {}
    for example in source.examples("test", Pass(shuffle=True)):
        found[int(example["label"])] = divmod(int(example["index"]), 2**32)
    assert found == {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1), 4: (1, 2)}


def test_order_is_a_function_of_seed_and_epoch(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([5] * 8, [1])), minival_shards=0)

    orders = [order for seed in (0, 1) for order in epochs(source, 2, seed)]
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert len(set(map(tuple, orders))) == 4
    tf.random.set_seed(0)  # with Dataset.shuffle this would change the order, or fail
    assert [order for seed in (0, 1) for order in epochs(source, 2, seed)] == orders
    # A buffer of one leaves the order of the files as the only randomness; also that one varies.
    first, second = epochs(source, 2, shuffle_buffer=1)
    assert first != second
    assert first != orders[0]


def test_records_of_one_file_are_shuffled_anew(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([1], [20])), minival_shards=0)
    orders = [
        labels(source.examples("test", Pass(shuffle=True, epoch=epoch, seed=seed)))
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    ]
    assert len(set(map(tuple, orders))) == 3
    assert all(sorted(order) == list(range(20)) for order in orders)


def test_count_records(tmp_path: Path, write_records, photos) -> None:
    path = tmp_path / "records"
    for count in (0, 1, 7):
        write_records(path, [(photos[0], 1)] * count)
        assert count_records(str(path)) == count
    whole = path.read_bytes()
    record = len(whole) // 7
    for size in (record * 3 + 4, record * 3 + 500, len(whole) - 1):  # header, data, last byte
        path.write_bytes(whole[:size])
        with pytest.raises(RunError, match=rf"records, record {size // record} .* is cut off"):
            count_records(str(path))


def test_more_hosts_than_files_are_refused(make_imagenet) -> None:
    source = without_counts(tfrecord_source(str(make_imagenet([5, 5], [1])), minival_shards=0))
    with pytest.raises(UsageError, match=r'"train" has 2 files, too few for 3 input pipelines'):
        source.examples("train", Pass(shuffle=True, num_shards=3))


@pytest.mark.parametrize("num_shards", [1, 2, 3, 7])
def test_shards_are_disjoint_and_cover_every_epoch(make_imagenet, num_shards: int) -> None:
    source = tfrecord_source(str(make_imagenet([5, 1, 8, 3, 6], [1])), minival_shards=0)
    shards = [
        epochs(source, 4, shard_index=index, num_shards=num_shards) for index in range(num_shards)
    ]
    for index, passes in enumerate(shards):
        size = source.size("train", index, num_shards)
        assert [len(one_pass) for one_pass in passes] == [size] * 4
    for parts in zip(*shards, strict=True):
        assert sorted(sum(parts, [])) == list(range(23))
    # Dealt anew in every epoch.
    assert num_shards == 1 or len(set(map(frozenset, shards[0]))) > 1


def test_shards_are_files_where_counts_are_unknown(make_imagenet) -> None:
    source = without_counts(
        tfrecord_source(str(make_imagenet([3, 3, 3, 3, 3], [1])), minival_shards=0)
    )
    shards = [epochs(source, 2, shard_index=index, num_shards=2) for index in range(2)]
    for first, second in zip(*shards, strict=True):
        assert sorted(first + second) == list(range(15))
        assert [len(first), len(second)] == [9, 6]  # three files and two


def test_kept_records(make_imagenet) -> None:
    whole = tfrecord_source(str(make_imagenet([4, 0, 3, 5], [1])), minival_shards=0)
    files = whole.files["train"]
    kept = np.array([1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1], bool)
    part = RecordFiles(files.paths, files.counts, kept)
    assert part.kept_counts().tolist() == [2, 0, 0, 4]
    source = dataclasses.replace(
        whole, files={"train": part}, num_examples={"train": 6, "minival": 0, "test": 0}
    )
    expected = np.flatnonzero(kept).tolist()
    for num_shards, shuffle in ((1, False), (2, True), (4, False)):
        read = [
            label
            for index in range(num_shards)
            for label in labels(
                source.examples(
                    "train",
                    Pass(shuffle=shuffle, epoch=1, shard_index=index, num_shards=num_shards),
                )
            )
        ]
        assert sorted(read) == expected


@pytest.mark.parametrize("skip_errors", [False, True])
def test_start_leaves_out_the_beginning(make_imagenet, skip_errors: bool) -> None:
    source = tfrecord_source(str(make_imagenet([5, 1, 8], [1])), minival_shards=0)
    options = {"epoch": 2, "seed": 1, "shuffle": True, "skip_errors": skip_errors}
    whole = labels(source.examples("train", Pass(**options)))
    for start in (0, 1, 9, 14):
        assert labels(source.examples("train", Pass(start=start, **options))) == whole[start:]


def test_place_names_file_and_record(make_imagenet) -> None:
    folder = make_imagenet([1], [2, 3])
    source = tfrecord_source(str(folder), minival_shards=0)
    for example in source.examples("test", Pass(shuffle=True)):
        record = int(example["label"])
        path, number = (folder / "validation-00000-of-00002", record)
        if record >= 2:
            path, number = (folder / "validation-00001-of-00002", record - 2)
        place = source.place("test", int(example["index"]))
        assert place == f"{path}, record {number} (counted from 0)"


def damage(path: Path, kind: str) -> None:
    """Makes record 2 of 4, and what TensorFlow cannot read after it, unreadable."""
    data = bytearray(path.read_bytes())
    record = int.from_bytes(data[:8], "little") + 16
    second = record + int.from_bytes(data[record : record + 8], "little") + 16
    if kind == "cut within a record":
        del data[second + 100 :]
    elif kind == "cut between records":
        del data[second:]
    elif kind == "a flipped bit":
        data[second + 100] ^= 1
    else:
        data[second] ^= 1  # the length
    path.write_bytes(data)


KINDS = ["cut within a record", "cut between records", "a flipped bit", "a wrong length"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_stops_the_pass(make_imagenet, kind: str) -> None:
    folder = make_imagenet([4, 4], [1])
    source = tfrecord_source(str(folder), minival_shards=0)
    path = folder / "train-00001-of-00002"
    damage(path, kind)
    with pytest.raises((tf.errors.DataLossError, tf.errors.InvalidArgumentError)) as caught:
        labels(source.examples("train"))
    if kind == "cut between records":
        assert "ends too early, the file is cut off; records expected:" in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_keeps_every_place(make_imagenet, kind: str) -> None:
    folder = make_imagenet([4, 4], [1])
    source = tfrecord_source(str(folder), minival_shards=0)

    def read(shuffle: bool) -> list[tuple[int, bool]]:
        examples = source.examples("train", Pass(shuffle=shuffle, skip_errors=True))
        return [(int(e["index"]), bool(tf.strings.length(e["image"]) > 0)) for e in examples]

    healthy = {shuffle: read(shuffle) for shuffle in (False, True)}
    damage(folder / "train-00001-of-00002", kind)
    for shuffle, before in healthy.items():
        after = read(shuffle)
        assert [index for index, _ in after] == [index for index, _ in before]
        lost = {index for index, good in after if not good}
        assert lost == {2**32 + 2, 2**32 + 3}  # TensorFlow gives up the rest of a broken file


@pytest.mark.parametrize("kind", ["cut within a record", "a flipped bit"])
def test_the_lost_rest_is_one_example_where_counts_are_unknown(make_imagenet, kind: str) -> None:
    folder = make_imagenet([4, 4], [1])
    source = without_counts(tfrecord_source(str(folder), minival_shards=0))
    how = Pass(skip_errors=True)
    assert len(labels(source.examples("train", how))) == 8
    damage(folder / "train-00001-of-00002", kind)
    lost = [
        int(example["index"])
        for example in source.examples("train", how)
        if not example["image"].numpy()
    ]
    assert lost == [2**32 + 2]


def test_unreadable_images_that_are_not_encoded(tmp_path: Path) -> None:
    path = str(tmp_path / "records")
    with tf.io.TFRecordWriter(path) as writer:
        for record in (bytes(range(12)), b"short", bytes(12)):
            writer.write(record)
    source = RecordSource(
        name="raw",
        num_classes=1,
        class_names=None,
        num_examples={"train": 3},
        files={"train": RecordFiles([path], np.array([3]))},
        parse=lambda record: (
            tf.reshape(tf.io.decode_raw(record, tf.uint8), [2, 2, 3]),
            tf.constant(0, tf.int64),
        ),
    )
    examples = list(source.examples("train", Pass(skip_errors=True)))
    assert [example["image"].shape.as_list() for example in examples] == [
        [2, 2, 3],
        [0, 0, 3],
        [2, 2, 3],
    ]
    bad = BadExamples(functools.partial(source.place, "train"), 1)
    batch = next(
        iter(train_dataset(source, Preprocessing(2), global_batch_size=3, seed=0, bad=bad))
    )
    assert batch["image"].shape == [3, 2, 2, 3]
    assert len(bad) == 1
