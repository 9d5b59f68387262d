"""What is held out: exact counts, fair shares, nothing twice, stable when images are added."""

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
    places,
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


def split(labels: np.ndarray, *, seed: int = 0, **counts: int) -> dict[str, np.ndarray]:
    """Rows of images that are called by their number."""
    names = [f"{row}.jpg" for row in range(len(labels))]
    rows = {"train": np.arange(len(labels))}
    asked = {"minival": 0, "test": 0, **counts}
    return hold_out_missing(labels, names, rows, seed=seed, where="X", **asked)


def test_a_count_is_met_exactly_in_fair_shares() -> None:
    # Class sizes as in ImageNet, 732 to 1,300, in a mixed order.
    sizes = np.full(1000, 1300)
    sizes[:105] = np.linspace(732, 1299, 105)
    labels = np.random.RandomState(1).permutation(np.repeat(np.arange(1000), sizes))
    rows = split(labels, test=50_001, minival=PAPER_MINIVAL)
    assert (len(rows["test"]), len(rows["minival"])) == (50_001, 25_000)
    everything = np.concatenate(list(rows.values()))
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(labels)))
    for part, count in {"test": 50_001, "minival": 25_000}.items():
        assert (np.diff(rows[part]) > 0).all()
        shares = np.bincount(labels[rows[part]], minlength=1000)
        assert np.abs(shares - count * sizes / sizes.sum()).max() < 1


def test_largest_remainders_by_hand() -> None:
    # Quotas of 5 among 10, 7 and 3 of 20: 2.5, 1.75, 0.75; rounded down 2, 1, 0.
    labels = np.repeat([0, 1, 2], [10, 7, 3])
    assert np.bincount(labels[split(labels, test=5)["test"]]).tolist() == [2, 2, 1]


def test_equal_remainders_are_decided_by_lot() -> None:
    labels = np.repeat(np.arange(100), 3)
    for seed in (0, 1):
        rows = split(labels, test=20, minival=20, seed=seed)
        test, minival = (set(labels[rows[part]]) for part in ("test", "minival"))
        assert len(test) == len(minival) == 20
        assert test != minival
        assert max(test) >= 50  # not only the first in the alphabet: chance 1e-7
    other = split(labels, test=20, seed=0)["test"]
    assert set(labels[other]) != test


def test_every_class_keeps_a_training_example() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 2, 2])
    for counts in ({"test": 5, "minival": 1}, {"test": 3, "minival": 3}):
        rows = split(labels, **counts)
        assert set(labels[rows["train"]]) == {0, 1, 2}
        assert len(np.unique(np.concatenate(list(rows.values())))) == 9
    with pytest.raises(
        UsageError, match="test must leave one example of every class in train: 7 of 9 .* 6 can be"
    ):
        split(labels, test=7)
    with pytest.raises(UsageError, match="minival must leave .*: 3 of 9 .* 2 can be"):
        split(labels, test=4, minival=3)
    for fractions in ({"test": 0.99}, {"test": 0.6, "minival": 0.6}):
        rows = stratified_split(labels, fractions, rest="train")
        assert set(labels[rows["train"]]) == {0, 1, 2}
        assert len(np.unique(np.concatenate(list(rows.values())))) == 9


def test_the_place_of_a_name_is_its_hash() -> None:
    # As any blake2b says: printf a.jpg through b2sum has no key, so the standard library is asked.
    digest = hashlib.blake2b(b"a.jpg", digest_size=8, key=b"\x05\0\0\0").digest()
    expected = int.from_bytes(digest, "little") / 2**64
    assert places(["a.jpg"], 5).tolist() == [expected]
    assert places(["caf\u00e9", "cafe\u0301"], 0).tolist() == places(["caf\u00e9"] * 2, 0).tolist()
    found = places([f"cat/{number}.jpg" for number in range(100_000)], 0)
    # Tenths of the range get 10,000 each; standard deviation 95.
    np.testing.assert_allclose(np.histogram(found, 10, (0, 1))[0], 10_000, atol=400)


@pytest.mark.parametrize("seed", range(5))
def test_images_that_come_later_move_no_other(seed: int) -> None:
    labels = np.random.RandomState(seed).randint(0, 3, 2000)
    before, after = (split(labels[:count], seed=seed) for count in (1500, 2000))
    for part, rows in before.items():
        np.testing.assert_array_equal(rows, after[part][after[part] < 1500])
        # A tenth of 1,500: standard deviation 12.
        assert abs(len(rows) - {"train": 1200}.get(part, 150)) < 60


@pytest.mark.parametrize("counts", [{}, {"test": 6, "minival": 6}])
@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_three_is_in_each_part(seed: int, counts: dict[str, int]) -> None:
    labels = np.repeat([0, 1, 2, 3], [60, 4, 3, 2])
    rows = split(labels, seed=seed, **counts)
    for part in ("train", "minival", "test"):
        assert {0, 1, 2} <= set(labels[rows[part]])
    assert (labels[rows["train"]] == 3).sum() == 2 or counts


def test_of_a_handful_one_is_held_out() -> None:
    for seed in range(20):
        rows = split(np.array([0, 1, 1, 0]), seed=seed)
        assert [len(rows[part]) for part in ("train", "minival", "test")] == [2, 1, 1]


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
        lambda: stratified_split(np.array([0, 0]), {"test": 0.5}, rest="train", seed=seed),
        lambda: places(["a"], seed),
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
    asked = {"minival": 0, "test": 0, **counts}
    return hold_out_missing(labels, [str(n) for n in range(400)], rows, seed=0, where="X", **asked)


def test_what_is_missing_comes_out_of_train() -> None:
    numbers = places([str(number) for number in range(400)], 0)
    rows = held_out({"train": np.arange(400)})
    assert rows["test"].tolist() == np.flatnonzero(numbers < 0.1).tolist()
    assert rows["minival"].tolist() == np.flatnonzero(numbers >= 0.9).tolist()

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
