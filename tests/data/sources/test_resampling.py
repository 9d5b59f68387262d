"""Train with minival, and classes equally often: which images come, how often, and again."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from efficientnet_tf.data.sources.by_name import check_expected, synthetic_source
from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.data.sources.in_memory import array_source, digits_source
from efficientnet_tf.data.sources.records import RecordFiles, RecordSource
from efficientnet_tf.data.sources.resampling import balanced, class_counts, with_fold, with_minival
from efficientnet_tf.data.sources.source import Pass, Source
from efficientnet_tf.errors import UsageError


def unbalanced(counts: tuple[int, ...] = (7, 3, 20)) -> Source:
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    pair = images, labels
    return array_source("drawn", {"train": pair, "minival": pair, "test": pair}, num_classes=4)


def pass_of(source: Source, epoch: int = 0, seed: int = 0, **more: Any) -> list[tuple[int, int]]:
    examples = source.examples("train", Pass(shuffle=True, epoch=epoch, seed=seed, **more))
    return [(int(e["index"]), int(e["label"])) for e in examples.as_numpy_iterator()]


def test_each_class_comes_as_often_as_the_smallest_and_no_image_twice() -> None:
    source = balanced(unbalanced())
    assert source.size("train") == 9
    for epoch in range(3):
        found = pass_of(source, epoch)
        assert Counter(label for _, label in found) == {0: 3, 1: 3, 2: 3}
        assert len({index for index, _ in found}) == 9


def test_passes_take_other_images_until_all_have_come() -> None:
    source = balanced(unbalanced())
    seen = {index for epoch in range(40) for index, _ in pass_of(source, epoch)}
    assert seen == set(range(30))


def test_a_pass_is_a_function_of_seed_and_epoch() -> None:
    source = balanced(unbalanced())
    assert pass_of(source, 3, 5) == pass_of(source, 3, 5)
    assert pass_of(source, 3, 5) != pass_of(source, 3, 6)
    assert pass_of(source, 3, 5) != pass_of(source, 4, 5)


def test_a_pass_starts_anywhere_and_shards_are_disjoint() -> None:
    source = balanced(unbalanced())
    whole = pass_of(source)
    assert pass_of(source, start=4) == whole[4:]
    shards = [pass_of(source, shard_index=i, num_shards=2) for i in range(2)]
    assert sorted(shards[0] + shards[1]) == sorted(whole)
    assert [len(shard) for shard in shards] == [source.size("train", i, 2) for i in range(2)]


def test_labels_and_places_are_those_of_the_source(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 12, "dog": 4})
    folder = folder_source(str(tmp_path))
    source = balanced(folder)
    for index, label in pass_of(source):
        assert f"/{('cat', 'dog')[label]}/" in source.place("train", index)
        assert source.place("train", index) == folder.place("train", index)


def test_what_cannot_be_read_by_number_is_refused() -> None:
    with pytest.raises(UsageError, match=r'"synthetic" is read from its beginning. Use transfer'):
        balanced(synthetic_source(3, 8, 9))


def write_folder(root: Path, classes: dict[str, int]) -> None:
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((4, 5, 3), number, np.uint8)
            (root / name / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())


def test_train_on_minival_joins_files(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 20, "dog": 10})
    before = folder_source(str(tmp_path), minival=3, test=3)
    after = with_minival(before)
    places = {
        split: {before.place(split, i) for i in range(before.num_examples[split])}
        for split in ("train", "minival", "test")
    }
    joined = {after.place("train", index) for index, _ in pass_of(after)}
    assert joined == places["train"] | places["minival"]
    assert after.num_examples == {"train": 27, "minival": 0, "test": 3}
    for index, label in pass_of(after):
        assert f"/{('cat', 'dog')[label]}/" in after.place("train", index)


def test_train_on_minival_joins_arrays() -> None:
    after = with_minival(digits_source())
    assert after.num_examples == {"train": 1438, "minival": 0, "test": 359}
    assert len(pass_of(after)) == 1438
    counts = np.bincount(load_digits().target)
    assert class_counts(after) == (counts - np.rint(0.2 * counts)).astype(int).tolist()


def records(tmp_path: Path, name: str, values: range) -> str:
    path = str(tmp_path / name)
    with tf.io.TFRecordWriter(path) as writer:
        for value in values:
            writer.write(bytes([value]))
    return path


def record_source(files: dict[str, RecordFiles]) -> RecordSource:
    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return record, tf.cast(tf.io.decode_raw(record, tf.uint8)[0], tf.int64)

    sizes = {split: int(each.kept_counts().sum()) for split, each in files.items()}
    return RecordSource("records", 20, None, sizes, files, parse)


def test_train_on_minival_joins_records(tmp_path: Path) -> None:
    first, second = records(tmp_path, "a", range(8)), records(tmp_path, "b", range(8, 12))
    last = RecordFiles([second], np.array([4]), np.array([True, False, False, True]))
    kept = np.array([True, False] * 4)
    shares = {
        "train": RecordFiles([first], np.array([8]), kept),
        "minival": RecordFiles([first], np.array([8]), ~kept),
        "test": last,
    }
    labels = [label for _, label in pass_of(with_minival(record_source(shares)))]
    assert sorted(labels) == list(range(8))
    files = {"train": RecordFiles([first], np.array([8])), "minival": last, "test": last}
    joined = with_minival(record_source(files))
    assert sorted(label for _, label in pass_of(joined)) == [*range(9), 11]
    assert joined.num_examples["train"] == 10
    assert class_counts(joined) == [1] * 9 + [0, 0, 1] + [0] * 8


def test_no_minival_is_nothing_to_join() -> None:
    once = with_minival(digits_source())
    assert with_minival(once) is once


def test_what_cannot_be_joined_is_refused() -> None:
    with pytest.raises(UsageError, match='can be joined; "synthetic" is none'):
        with_minival(synthetic_source(3, 8, 9))


def test_class_counts_of_what_has_no_table_are_read() -> None:
    assert class_counts(synthetic_source(4, 8, 10)) == [3, 3, 2, 2]


def test_another_data_set_than_expected_is_refused() -> None:
    digits = digits_source()
    check_expected(digits, 0, ())
    check_expected(digits, 10, (1438, 359))
    with pytest.raises(UsageError, match='expects 37 classes, but "digits" has 10'):
        check_expected(digits, 37, ())
    with pytest.raises(UsageError, match=r"expects 1438 images .* and 360 of test.* 1438 and 359"):
        check_expected(digits, 10, (1438, 360))


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_folds_are_disjoint_even_and_together_everything(tmp_path: Path, kind: str) -> None:
    if kind == "files":
        write_folder(tmp_path, {"cat": 20, "dog": 10})
        source: Source = folder_source(str(tmp_path))
    else:
        source = digits_source()
    whole = with_minival(source)
    total = whole.num_examples["train"]
    held_out: Counter[Any] = Counter()
    for fold in range(3):
        cut = with_fold(source, 3, fold, seed=0)
        assert cut.num_examples["train"] + cut.num_examples["minival"] == total
        assert abs(cut.num_examples["minival"] - total / 3) < 1
        parts = {
            split: [
                (np.asarray(e["image"]).tobytes(), int(e["label"]))
                for e in cut.examples(split).as_numpy_iterator()
            ]
            for split in ("train", "minival")
        }
        counts = np.bincount([label for _, label in parts["minival"]])
        np.testing.assert_allclose(counts, np.array(class_counts(whole)) / 3, atol=1.01)
        held_out.update(parts["minival"])
        assert Counter(parts["train"]) + Counter(parts["minival"]) == Counter(everything(whole))
    assert held_out == Counter(everything(whole))


def everything(source: Source) -> list[tuple[bytes, int]]:
    examples = source.examples("train")
    return [
        (np.asarray(e["image"]).tobytes(), int(e["label"])) for e in examples.as_numpy_iterator()
    ]


def test_folds_depend_on_the_seed_alone() -> None:
    first, again, other = (with_fold(digits_source(), 5, 1, seed) for seed in (0, 0, 1))
    images = [source.arrays["minival"][0].numpy() for source in (first, again, other)]
    np.testing.assert_array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_folds_that_cannot_be_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 3, "dog": 3})
    with pytest.raises(UsageError, match="at most 4, the images of train and minival; received 9"):
        with_fold(folder_source(str(tmp_path)), 9, 0, 0)
    shares = {"train": RecordFiles(["a"], np.array([3])), "test": RecordFiles(["a"], np.array([3]))}
    source = record_source({**shares, "minival": RecordFiles(["b"], np.array([0]))})
    with pytest.raises(UsageError, match='one by one.*"records" is read from its beginning'):
        with_fold(source, 2, 0, 0)
    with pytest.raises(UsageError, match='one by one.*"synthetic" is read from its beginning'):
        with_fold(synthetic_source(3, 8, 9), 2, 0, 0)
