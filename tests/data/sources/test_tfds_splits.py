"""TFDS sets: which images are trained on, held out and tested on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_sets import COLOUR, TWO, Stored, change_json, examples, numbers

from efficientnet_tf.data.sources import tfds_source as module
from efficientnet_tf.data.sources.tfds_source import tfds_source
from efficientnet_tf.errors import UsageError

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.mark.parametrize(
    ("stored", "arguments", "expected", "test_is"),
    [
        # A tenth of train for each that is missing.
        ({"train": 100}, {}, (80, 10, 10), "train"),
        ({"train": 100}, {"minival": 7, "test": 20}, (73, 7, 20), "train"),
        ({"train": 100, "test": 5}, {}, (90, 10, 5), "test"),
        # As for ImageNet, whose validation set is what papers test on.
        ({"train": 100, "validation": 6}, {}, (90, 10, 6), "validation"),
        ({"train": 100, "validation": 6}, {"minival": 25}, (75, 25, 6), "validation"),
        ({"train": 100, "test": 5, "validation": 6}, {}, (100, 6, 5), "test"),
        ({"train": 100, "test": 5, "validation": 6}, {"minival": 7}, (93, 7, 5), "test"),
        # A test split without labels is none; splits that are none of ours are left alone.
        ({"train": 100, "test": -5, "validation": 6, "extra": 9}, {}, (90, 10, 6), "validation"),
        ({"train": 100, "test": -5}, {"test": 3}, (87, 10, 3), "train"),
        ({"train": 100, "test": 0}, {}, (80, 10, 10), "train"),
    ],
)
def test_splits(store, stored, arguments, expected, test_is: str) -> None:
    def rows(split: str, count: int) -> list[dict[str, Any]]:
        if split == "train" or count == 0:
            return examples(count)
        # Other images than train's. A count below 0 stands for hidden labels.
        return examples(100 + abs(count), label=-1 if count < 0 else 0)[100:]

    folder = store({split: rows(split, count) or 0 for split, count in stored.items()})
    source = tfds_source(str(folder), **arguments)
    found = {split: numbers(source, split) for split in ("train", "minival", "test")}
    assert tuple(source.num_examples[split] for split in found) == expected
    assert tuple(map(len, found.values())) == expected
    from_train = [split for split in found if max(found[split]) < 100]
    held_out = [split for split in from_train if split != "train"]
    assert sorted(sum((found[split] for split in from_train), [])) == list(range(100))
    assert ("test" in held_out) == (test_is == "train")
    assert Path(source.files["test"].paths[0]).name.startswith(f"stored-{test_is}.tfrecord-")


def test_held_out_images_are_fixed_by_the_seed(store) -> None:
    folder = str(store({"train": 100}, num_shards=3))

    def chosen(split: str, **arguments: int) -> set[int]:
        source = tfds_source(folder, **arguments)
        return set(numbers(source, split, epoch=4, seed=9, shuffle=True))

    first = {split: chosen(split) for split in ("train", "minival", "test")}
    assert first == {split: chosen(split, split_seed=0) for split in first}
    assert first["test"] == chosen("test", minival=77)  # does not depend on minival
    assert first["train"] | first["minival"] | first["test"] == set(range(100))
    for split in ("minival", "test"):
        assert len(first[split]) == 10
        assert chosen(split, split_seed=1) != first[split]


def test_files_without_examples(store) -> None:
    folder = store({"train": 8, "test": 10}, num_shards=2)

    def insert(info: dict[str, Any]) -> None:  # Beam writes sets with empty files
        for split in info["splits"]:
            name = f"stored-{split['name']}.tfrecord"
            one, two = split["shardLengths"]
            split["shardLengths"] = ["0", one, "0", two]
            for old, new in ((1, 3), (0, 1)):
                old_path = folder / f"{name}-0000{old}-of-00002"
                old_path.rename(folder / f"{name}-0000{new}-of-00004")
            (folder / f"{name}-00000-of-00004").touch()  # the other one does not even exist

    change_json(folder / "dataset_info.json", insert)
    source = tfds_source(str(folder), minival=3)
    for shuffle in (False, True):
        shards = [
            numbers(source, "test", shuffle=shuffle, shard_index=i, num_shards=4) for i in range(4)
        ]
        assert sorted(sum(shards, [])) == list(range(10))
    together = numbers(source, "train") + numbers(source, "minival")
    assert sorted(together) == list(range(8))


@pytest.mark.parametrize("splits", [{"test": 4}, {"train": 0, "test": 4}, {"extra": 4}])
def test_a_set_without_train_is_refused(store, splits) -> None:
    folder = store(splits)
    found = ", ".join(f'"{split}"' for split in splits)
    expected = rf'must have a split "train" with examples, found {found} in {folder}'
    with pytest.raises(UsageError, match=expected):
        tfds_source(str(folder))


def test_counts_that_cannot_be_are_refused(store) -> None:
    only_train, with_test = (
        str(store({"train": 20})),
        str(store({"train": 20, "test": 4}, name="b")),
    )
    for value in (-1, True, 2.5, "7"):
        with pytest.raises(UsageError, match="minival must be a whole number of images"):
            tfds_source(only_train, minival=value)
        with pytest.raises(UsageError, match="test must be a whole number of images"):
            tfds_source(only_train, test=value)
    with pytest.raises(
        UsageError, match="test must be 0, received 3: .*has a test or validation split"
    ):
        tfds_source(with_test, test=3)
    with pytest.raises(UsageError, match="minival must leave .*minival = 20 were .* of the 20 of"):
        tfds_source(with_test, minival=20)
    expected = "test and minival must leave .*test = 15 and minival = 5 were .* of the 20 of"
    with pytest.raises(UsageError, match=expected):
        tfds_source(only_train, minival=5, test=15)
    assert tfds_source(only_train, minival=5, test=14).num_examples["train"] == 1
    with pytest.raises(UsageError, match="split_seed must be"):
        tfds_source(only_train, split_seed=-1)


def test_the_papers_minival_is_the_most_by_default(monkeypatch) -> None:
    files = module.RecordFiles(["x"], np.array([1_281_167]))
    monkeypatch.setattr(
        module, "_prepared_builder", lambda *_: Stored({"image": COLOUR, "label": TWO}, {})
    )
    monkeypatch.setattr(module, "_files_of_splits", lambda *_: {"train": files, "test": files})
    sizes = tfds_source("imagenet2012").num_examples
    assert (sizes["train"], sizes["minival"]) == (1_256_167, 25_000)
