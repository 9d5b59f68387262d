"""What is held out: exact counts, fair shares, nothing twice, the same on every machine."""

import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from efficientnet_tf.data.sources.holdout import (
    PAPER_MINIVAL,
    choose_rows,
    default_count,
    hold_out_missing,
    name_splits,
    stratified_split,
)
from efficientnet_tf.errors import UsageError

IMAGENET_TRAIN = 1_281_167


def test_the_split_of_the_digits_is_the_recorded_one() -> None:
    labels = load_digits().target.astype(np.int64)
    rows = stratified_split(labels, {"test": 0.2, "minival": 0.1}, rest="train")
    assert list(rows) == ["train", "test", "minival"]
    found = {
        split: hashlib.sha256(part.astype("<i8").tobytes()).hexdigest()
        for split, part in rows.items()
    }
    assert found == {  # of the first version of this function, which models were trained with
        "train": "c98efa0cdf15904229e1a23338718c001e4878fd0be3c33ce9dcc836ac6b32c4",
        "test": "13dcf57fdb4f693217b8358b7c700a09cd994b27057f9355aae354b6059ac254",
        "minival": "e7aa57b0c19904192e732efac12e19facabcaaee0ba49ff005f5e174557e6a55",
    }


def test_a_count_is_met_exactly_in_fair_shares() -> None:
    # Class sizes as in ImageNet, 732 to 1,300, in a mixed order.
    sizes = np.full(1000, 1300)
    sizes[:105] = np.linspace(732, 1299, 105)
    labels = np.random.RandomState(1).permutation(np.repeat(np.arange(1000), sizes))
    rows = stratified_split(labels, {"test": 50_001, "minival": PAPER_MINIVAL}, rest="train")
    assert (len(rows["test"]), len(rows["minival"])) == (50_001, 25_000)
    everything = np.concatenate(list(rows.values()))
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(labels)))
    for split, count in {"test": 50_001, "minival": 25_000}.items():
        assert (np.diff(rows[split]) > 0).all()
        shares = np.bincount(labels[rows[split]], minlength=1000)
        assert np.abs(shares - count * sizes / sizes.sum()).max() < 1


def test_largest_remainders_by_hand() -> None:
    # Quotas of 5 among 10, 7 and 3 of 20: 2.5, 1.75, 0.75; rounded down 2, 1, 0.
    labels = np.repeat([0, 1, 2], [10, 7, 3])
    rows = stratified_split(labels, {"test": 5}, rest="train")
    assert np.bincount(labels[rows["test"]]).tolist() == [2, 2, 1]


def test_equal_remainders_are_decided_by_lot() -> None:
    labels = np.repeat(np.arange(100), 3)
    for seed in (0, 1):
        rows = stratified_split(labels, {"test": 20, "minival": 20}, rest="train", seed=seed)
        test, minival = (set(labels[rows[split]]) for split in ("test", "minival"))
        assert len(test) == len(minival) == 20
        assert test != minival
        assert max(test) >= 50  # not only the first in the alphabet: chance 1e-7
    other = stratified_split(labels, {"test": 20}, rest="train", seed=0)["test"]
    assert set(labels[other]) != test


def test_every_class_keeps_a_training_example() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 2, 2])
    for held_out in ({"test": 6}, {"test": 0.99}, {"test": 0.6, "minival": 0.6}, {"a": 3, "b": 3}):
        rows = stratified_split(labels, held_out, rest="train")
        assert set(labels[rows["train"]]) == {0, 1, 2}
        assert len(np.unique(np.concatenate(list(rows.values())))) == 9
    assert len(stratified_split(labels, {"test": 6}, rest="train")["train"]) == 3
    with pytest.raises(
        UsageError, match="test must leave one example of every class in train: 7 of 9 .* 6 can be"
    ):
        stratified_split(labels, {"test": 7}, rest="train")
    with pytest.raises(UsageError, match="minival must leave .*: 3 of 9 .* 2 can be"):
        stratified_split(labels, {"test": 4, "minival": 3}, rest="train")


def test_rows_are_drawn_uniformly_and_as_numpy_always_did() -> None:
    # RandomState(0).permutation(10), frozen: 2 8 4 9 1 6 7 3 0 5.
    assert choose_rows(10, 3).tolist() == [2, 4, 8]
    rows = choose_rows(IMAGENET_TRAIN, PAPER_MINIVAL, seed=3)
    assert (len(rows), rows.dtype) == (25_000, np.int64)
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 0
    assert rows[-1] < IMAGENET_TRAIN
    # Tenths of the range get 2,500 each; standard deviation 47.
    np.testing.assert_allclose(np.histogram(rows, 10, (0, IMAGENET_TRAIN))[0], 2500, atol=200)
    assert choose_rows(10, 5, seed=1).tolist() != choose_rows(10, 5, seed=2).tolist()
    assert choose_rows(5, 0).tolist() == []
    for count in (5, -1):
        with pytest.raises(UsageError, match=f"at most 4 of 5 examples can be .* received {count}"):
            choose_rows(5, count)


@pytest.mark.parametrize("seed", [-1, 2**31, 0.5, True])
def test_seeds_are_checked(seed: object) -> None:
    for call in (
        lambda: choose_rows(5, 1, seed),
        lambda: stratified_split(np.array([0, 0]), {"test": 1}, rest="train", seed=seed),
    ):
        with pytest.raises(UsageError, match="split_seed must be a whole number from 0 to"):
            call()


def test_default_is_a_tenth() -> None:
    assert [default_count(total) for total in (2, 9, 100, 1797)] == [1, 1, 10, 180]
    assert default_count(IMAGENET_TRAIN, at_most=PAPER_MINIVAL) == 25_000
    assert default_count(100, at_most=PAPER_MINIVAL) == 10


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["train", "val", "test"], {"train": "train", "val": "minival", "test": "test"}),
        (["train", "val"], {"train": "train", "val": "test"}),  # ImageNet
        (["train", "minival", "val"], {"train": "train", "minival": "minival", "val": "test"}),
        (
            ["Training", "Valid", "Testing", "cat"],
            {"Training": "train", "Valid": "minival", "Testing": "test"},
        ),
        (["train", "minival"], {"train": "train", "minival": "minival"}),
        (["cat", "dog"], {}),
    ],
)
def test_names_of_splits(names: list[str], meant: dict[str, str]) -> None:
    assert name_splits(names, "here") == meant


def test_names_of_splits_that_cannot_be() -> None:
    with pytest.raises(UsageError, match='in here, "val" and "validation" would both be minival'):
        name_splits(["train", "test", "val", "validation"], "here")
    with pytest.raises(UsageError, match='"minival" and "val" would both be minival'):
        name_splits(["train", "test", "minival", "val"], "here")
    with pytest.raises(UsageError, match='must include "train": here name only test, val'):
        name_splits(["val", "test"], "here")


def held_out(rows: dict[str, np.ndarray], **counts: object) -> dict[str, np.ndarray]:
    labels = np.arange(400) % 4
    return hold_out_missing(labels, rows, seed=0, where="X", **{"minival": 0, "test": 0, **counts})


def test_what_is_missing_comes_out_of_train() -> None:
    sizes = {split: len(part) for split, part in held_out({"train": np.arange(400)}).items()}
    assert sizes == {"train": 320, "minival": 40, "test": 40}

    rows = held_out({"train": np.arange(100, 400), "test": np.arange(100)}, minival=8)
    np.testing.assert_array_equal(rows["test"], np.arange(100))
    train = np.sort(np.concatenate([rows["train"], rows["minival"]]))
    np.testing.assert_array_equal(train, np.arange(100, 400))
    assert np.bincount(rows["minival"] % 4).tolist() == [2, 2, 2, 2]

    # How much is held out for minival has no influence on what is in test.
    tests = [held_out({"train": np.arange(400)}, minival=n)["test"].tolist() for n in (4, 200)]
    assert tests[0] == tests[1]


def test_counts_are_checked() -> None:
    rows = {"train": np.arange(300), "test": np.arange(300, 400)}
    with pytest.raises(
        UsageError, match="test must be 0, received 5: X has a test split of its own"
    ):
        held_out(rows, test=5)
    for wrong in (-1, 0.1, True):
        with pytest.raises(UsageError, match=f"minival must be a whole number .* received {wrong}"):
            held_out(rows, minival=wrong)
