"""Digits and arrays: a complete, disjoint, stratified split; passes that are permutations."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from efficientnet_tf.data.sources.in_memory import array_source, digits_source, stratified_split
from efficientnet_tf.data.sources.source import Pass
from efficientnet_tf.errors import UsageError


def test_digits_split_is_complete_disjoint_and_stratified() -> None:
    source = digits_source()
    assert source.num_examples == {"train": 1259, "minival": 179, "test": 359}
    labels = load_digits().target
    rows = stratified_split(labels, {"test": 0.2, "minival": 0.1}, rest="train")
    assert sorted(np.concatenate(list(rows.values()))) == list(range(1797))
    per_class = np.bincount(labels)
    for split, share in {"train": 0.7, "minival": 0.1, "test": 0.2}.items():
        in_split = np.bincount(labels[rows[split]])
        np.testing.assert_allclose(in_split, share * per_class, atol=1)
        np.testing.assert_array_equal(source.arrays[split][1], labels[rows[split]])


def test_digits_images() -> None:
    source = digits_source()
    images = np.concatenate([source.arrays[split][0] for split in source.arrays])
    assert images.dtype == np.uint8
    assert images.shape == (1797, 8, 8, 3)
    assert (images == images[..., :1]).all()  # grey
    expected = {round(level * 255 / 16) for level in range(17)}
    assert set(np.unique(images)) == expected  # 17 levels, black to white
    assert (source.name, source.num_classes) == ("digits", 10)
    assert source.class_names == tuple("0123456789")
    # Every image of the original is there, whatever the split: compare the sums of the rows.
    originals = load_digits().images.sum(-1)
    ours = np.rint(images[..., 0] / (255 / 16)).sum(-1)
    assert sorted(map(tuple, ours)) == sorted(map(tuple, originals))


@pytest.fixture
def ten() -> object:
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones([4, 6, 3], np.uint8)
    return array_source("ten", {"train": (images, np.arange(10))}, num_classes=10)


def indices(dataset: tf.data.Dataset) -> list[int]:
    return [int(example["index"]) for example in dataset]


def test_a_pass_is_a_permutation_that_depends_on_seed_and_epoch(ten) -> None:
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            one_pass = ten.examples("train", Pass(shuffle=True, epoch=epoch, seed=seed))
            orders[seed, epoch] = indices(one_pass)
            assert sorted(orders[seed, epoch]) == list(range(10))
            for example in one_pass:
                assert (
                    example["image"].numpy().tolist()
                    == np.full([4, 6, 3], example["index"].numpy()).tolist()
                )
                assert example["label"] == example["index"]
            tf.random.set_seed(5)  # hidden state must not matter
            tensors = ten.examples(
                "train",
                Pass(shuffle=True, epoch=tf.constant(epoch, tf.int64), seed=tf.constant(seed)),
            )
            assert indices(tensors) == orders[seed, epoch]
    assert len({tuple(order) for order in orders.values()}) == 4
    assert indices(ten.examples("train", Pass(epoch=3, seed=2))) == list(range(10))


def test_shards_are_disjoint_and_complete(ten) -> None:
    shards = [
        indices(
            ten.examples("train", Pass(shuffle=True, epoch=1, seed=1, shard_index=i, num_shards=3))
        )
        for i in range(3)
    ]
    assert [len(shard) for shard in shards] == [ten.size("train", i, 3) for i in range(3)]
    assert sorted(shards[0] + shards[1] + shards[2]) == list(range(10))


def test_splits_that_do_not_exist_are_refused(ten) -> None:
    with pytest.raises(
        UsageError, match=r'split must be one of "train" .* received "trian".* "train"'
    ):
        ten.examples("trian", Pass(shuffle=True))
    with pytest.raises(UsageError, match=r"has 10 examples, too few for 11 input pipelines"):
        ten.examples("train", Pass(shuffle=True, num_shards=11))
    empty = array_source(
        "empty", {"test": (np.zeros([0, 2, 2, 3], np.uint8), np.zeros([0]))}, num_classes=2
    )
    with pytest.raises(UsageError, match=r'split "test" of source "empty" has no examples'):
        empty.size("test")
