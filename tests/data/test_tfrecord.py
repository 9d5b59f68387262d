"""TFRecord files in the official layout: splits, order, sharding, and what is refused."""

from pathlib import Path

import pytest
import tensorflow as tf

from efficientnet_tf.data.tfrecord import count_records, tfrecord_source
from efficientnet_tf.errors import RunError, UsageError


def labels(dataset: tf.data.Dataset) -> list[int]:
    return [int(example["label"]) for example in dataset]


def test_splits_and_counts(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([3, 4, 5, 6], [2, 3])), minival_shards=2)
    assert source.num_examples == {"train": 11, "minival": 7, "test": 5}
    # Stored labels count from 1 in the order of the files; label_offset takes the 1 off.
    for split, expected in {"train": range(7, 18), "minival": range(7), "test": range(5)}.items():
        examples = list(source.examples(split, epoch=0, seed=0, shuffle=False))
        assert sorted(int(example["label"]) for example in examples) == list(expected)
        assert len({int(example["index"]) for example in examples}) == len(examples)


def test_examples_are_the_stored_bytes(make_imagenet, photos) -> None:
    source = tfrecord_source(str(make_imagenet([2], [3])), minival_shards=0)
    for example in source.examples("test", epoch=0, seed=0, shuffle=False):
        assert example["image"].dtype == tf.string
        assert example["image"].numpy() == photos[(int(example["label"]) + 1) % 3]


def test_index_names_file_and_record(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([1], [2, 3])), minival_shards=0)
    found = {}
    for example in source.examples("test", epoch=0, seed=0, shuffle=True):
        found[int(example["label"])] = divmod(int(example["index"]), 2**32)
    assert found == {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1), 4: (1, 2)}


def test_parts_are_the_files_in_order(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([1], [2, 3])), minival_shards=0)
    parts = [(Path(path).name, labels(dataset)) for path, dataset in source.parts("test")]
    assert parts == [
        ("validation-00000-of-00002", [0, 1]),
        ("validation-00001-of-00002", [2, 3, 4]),
    ]


def test_order_is_a_function_of_seed_and_epoch(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([5] * 8, [1])), minival_shards=0)

    def order(seed: int, epoch: int, **more: int) -> list[int]:
        return labels(source.examples("train", epoch=epoch, seed=seed, shuffle=True, **more))

    orders = [order(0, 0), order(0, 1), order(1, 0), order(1, 1)]
    assert all(sorted(o) == list(range(40)) for o in orders)
    assert len(set(map(tuple, orders))) == 4
    tf.random.set_seed(0)  # with Dataset.shuffle this would change the order, or fail
    assert [order(0, 0), order(0, 1), order(1, 0), order(1, 1)] == orders
    # A buffer of one leaves the order of the files as the only randomness; also that one varies.
    assert order(0, 0, shuffle_buffer=1) != order(0, 1, shuffle_buffer=1)
    assert order(0, 0, shuffle_buffer=1) != orders[0]


def test_records_of_one_file_are_shuffled_anew(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([1], [20])), minival_shards=0)
    orders = [
        labels(source.examples("test", epoch=epoch, seed=seed, shuffle=True))
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    ]
    assert len(set(map(tuple, orders))) == 3
    assert all(sorted(order) == list(range(20)) for order in orders)


def test_shards_are_files(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([3, 3, 3, 3, 3], [1])), minival_shards=0)
    files_of_shard_0 = set()
    for epoch in range(4):
        shards = []
        for index in range(2):
            shard = {"shard_index": index, "num_shards": 2}
            dataset = source.examples("train", epoch=epoch, seed=0, shuffle=True, **shard)
            shards.append(labels(dataset))
        assert sorted(shards[0] + shards[1]) == list(range(15))
        assert [len(shard) for shard in shards] == [9, 6]  # three files and two
        files_of_shard_0.add(frozenset(label // 3 for label in shards[0]))
    assert len(files_of_shard_0) > 1  # dealt anew in every epoch


def test_imagenet_counts_are_known(tmp_path: Path) -> None:
    for prefix, total in {"train": 1024, "validation": 128}.items():
        for number in range(total):
            (tmp_path / f"{prefix}-{number:05d}-of-{total:05d}").touch()
    source = tfrecord_source(str(tmp_path))
    assert source.name == "imagenet"
    assert source.num_examples == {"train": 1_256_145, "minival": 25_022, "test": 50_000}
    assert [len(source.files[split]) for split in source.files] == [1004, 20, 128]
    whole = tfrecord_source(str(tmp_path), minival_shards=0)
    assert whole.num_examples == {"train": 1_281_167, "minival": 0, "test": 50_000}
    with pytest.raises(UsageError, match=r'"minival" of source "imagenet" has no examples'):
        whole.examples("minival", epoch=0, seed=0, shuffle=False)
    own = tfrecord_source(str(tmp_path), num_examples={"train": 1000})
    assert own.num_examples == {"train": 1000, "minival": 25_022, "test": 50_000}
    # The same number of files with other classes is not ImageNet: the (empty) files are counted.
    assert tfrecord_source(str(tmp_path), num_classes=10).num_examples["test"] == 0


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


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train-00000-of-01024 .*no data_dir was given"):
        tfrecord_source(None)
    with pytest.raises(UsageError, match=r"train-00000-of-01024 .*nowhere\" is not a folder"):
        tfrecord_source(str(tmp_path / "nowhere"))


def test_missing_files_are_refused(make_imagenet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one set of train-NNNNN-of-MMMMM files .* found none"):
        tfrecord_source(str(tmp_path))
    folder = make_imagenet([1] * 6, [1])
    (folder / "validation-00000-of-00001").unlink()
    with pytest.raises(UsageError, match=r"one set of validation-NNNNN-of-MMMMM files"):
        tfrecord_source(str(folder), minival_shards=1)
    for number in (1, 2, 4, 5):
        (folder / f"train-{number:05d}-of-00006").unlink()
    expected = (
        "lacks 4 of 6 train files: train-00001-of-00006, train-00002-of-00006, "
        r"train-00004-of-00006, \.\.\. .*Finish the download"
    )
    with pytest.raises(UsageError, match=expected):
        tfrecord_source(str(folder), minival_shards=1)
    (folder / "train-00000-of-00007").touch()
    with pytest.raises(UsageError, match=r"found sets of 6 and of 7"):
        tfrecord_source(str(folder), minival_shards=1)


@pytest.mark.parametrize("shards", [-1, 2, 20, True, 0.5])
def test_minival_must_leave_training_files(make_imagenet, shards) -> None:
    with pytest.raises(UsageError, match=r"minival_shards must"):
        tfrecord_source(str(make_imagenet([1, 1], [1])), minival_shards=shards)


def test_more_hosts_than_files_are_refused(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([5, 5], [1])), minival_shards=0)
    with pytest.raises(UsageError, match=r'"train" has 2 files, too few for 3 input pipelines'):
        source.examples("train", epoch=0, seed=0, shuffle=True, num_shards=3)
