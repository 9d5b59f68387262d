"""Which examples of a data set are held out for minival and test, fixed by a seed.

Where examples have names (files), a hash of the name and the seed gives each one a place in
[0, 1): test comes from the lower end, minival from the upper end. Images that are added later
thereby leave those that were there in their splits. Where there are no names (records) rows are
drawn uniformly, as in the paper.

The choice is the same on every machine: blake2b is a standard and RandomState's permutation is
frozen across numpy versions.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from efficientnet_tf.errors import UsageError, whole_number

PAPER_MINIVAL = 25_000  # images of ImageNet's train that the paper chooses checkpoints on


# What people call the splits, in lower case. Which of them "validation" means, depends on the
# others: see `name_splits`.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "minival": "minival",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def name_splits(names: Iterable[str], where: str) -> dict[str, str]:
    """Our split for each name that a data set uses; names that are no split are left out.

    "validation" is minival beside a test split. Without one it is test, as for ImageNet, whose
    published numbers are those of its validation set, and minival has to be held out of train.

    Args:
        where: for the message, such as "the folders of /data".

    Raises:
        UsageError: two names for one split, or splits without train.
    """
    meant = {name: SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES}
    validation = "minival" if "test" in meant.values() else "test"
    ours = {name: validation if split == "validation" else split for name, split in meant.items()}
    by_split: dict[str, str] = {}
    for name, split in sorted(ours.items()):
        if split in by_split:
            raise UsageError(
                f'splits must have one name each: in {where}, "{by_split[split]}" and "{name}" '
                f"would both be {split}. Join or rename them."
            )
        by_split[split] = name
    if ours and "train" not in by_split:
        raise UsageError(
            f'splits must include "train": {where} name only {", ".join(sorted(ours))}. '
            "Name the training images train."
        )
    return ours


def default_count(total: int, *, at_most: int | None = None) -> int:
    """How many of `total` examples are held out if nobody says: a tenth, at least one."""
    tenth = max(1, round(total / 10))
    return tenth if at_most is None else min(tenth, at_most)


def choose_rows(num_rows: int, count: int, seed: int = 0) -> np.ndarray:
    """`count` of the rows 0..num_rows-1 drawn uniformly: int64 [count], ascending.

    Raises:
        UsageError: no row would be left, or an argument is out of range.
    """
    _check_seed(seed)
    if not 0 <= count < num_rows:
        raise UsageError(
            f"at most {num_rows - 1} of {num_rows} examples can be held out, received {count}. "
            "Ask for fewer."
        )
    chosen = np.random.RandomState(seed).permutation(num_rows)[:count]
    return np.sort(chosen).astype(np.int64)


def stratified_split(
    labels: np.ndarray, held_out: Mapping[str, float], *, rest: str, seed: int = 0
) -> dict[str, np.ndarray]:
    """Row numbers of each split, ascending int64: those held out in turn, and the `rest`.

    Every class keeps one example in `rest`.

    Args:
        labels: integers [N].
        held_out: the fraction of each class in each split, rounded.
    """
    _check_seed(seed)
    shuffled = np.random.RandomState(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]  # [N], class after class
    sizes, place = _in_class(labels)

    rows: dict[str, np.ndarray] = {rest: np.empty(0, np.int64)}
    taken = np.zeros_like(sizes)  # of each class, from its beginning
    for split, fraction in held_out.items():
        space = np.maximum(sizes - taken - 1, 0)
        end = taken + np.minimum(np.rint(fraction * sizes).astype(np.int64), space)
        chosen = (place >= np.repeat(taken, sizes)) & (place < np.repeat(end, sizes))
        rows[split] = np.sort(by_class[chosen]).astype(np.int64)
        taken = end
    rows[rest] = np.sort(by_class[place >= np.repeat(taken, sizes)]).astype(np.int64)
    return rows


def places(names: Sequence[str], seed: int) -> np.ndarray:
    """A number in [0, 1) for each name, which depends on it and the seed alone: float64 [N].

    Names that differ in the unicode form of their letters alone, as file systems change it, have
    the same number.
    """
    _check_seed(seed)
    key = seed.to_bytes(4, "little")
    digests = (
        hashlib.blake2b(
            os.fsencode(unicodedata.normalize("NFC", name)), digest_size=8, key=key
        ).digest()
        for name in names
    )
    return np.frombuffer(b"".join(digests), "<u8") / 2.0**64


def hold_out_missing(
    labels: np.ndarray,
    names: Sequence[str],
    rows: Mapping[str, np.ndarray],
    *,
    minival: int,
    test: int,
    seed: int,
    where: str,
) -> dict[str, np.ndarray]:
    """The rows of all three splits: those given, and what is missing held out of train by class.

    Every class keeps an image in train; a class of three or more gives at least one to each split
    that is held out, as far as the numbers allow.

    Args:
        labels: integers [N].
        names: [N], which decide what is held out, see `places`.
        rows: row numbers of "train" and, where they exist, of "minival" and "test".
        minival: how many to hold out, to the image; 0: about a tenth of train, at most 25,000.
        test: how many to hold out, to the image; 0: about a tenth of train.
        where: the data set, for messages.

    Raises:
        UsageError: a count is no whole number, too large, or for a split that exists.
    """
    train = rows["train"]
    amounts: dict[str, int | float] = {}
    for split, asked in (("test", test), ("minival", minival)):
        if whole_number(asked, 0) is None:
            raise UsageError(
                f"{split} must be a whole number of images, or 0 for a tenth of train, received "
                f"{asked!r}."
            )
        if split not in rows:
            amounts[split] = asked or 0.1
        elif asked:
            raise UsageError(
                f"{split} must be 0, received {asked}: {where} has a {split} split of its own. "
                "Drop the number, or move that split away."
            )
    if "minival" in amounts and not minival:
        amounts["minival"] = min(0.1, PAPER_MINIVAL / max(len(train), 1))
    numbers = places([names[row] for row in train], seed)
    held_out = _hold_out(labels[train], numbers, amounts, np.random.RandomState(seed))
    return {
        split: np.sort(train[held_out[split]]) if split in held_out else rows[split]
        for split in ("train", "minival", "test")
    }


def all_in_test(count: int) -> dict[str, np.ndarray]:
    """The rows of all three splits of `count` examples that are there to be evaluated only."""
    nothing = np.empty(0, np.int64)
    return {"train": nothing, "minival": nothing, "test": np.arange(count)}


def _in_class(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows sorted by class: the size of each class, and the number of each row in its class."""
    _, sizes = np.unique(labels, return_counts=True)
    return sizes, np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _hold_out(
    labels: np.ndarray,
    numbers: np.ndarray,
    amounts: Mapping[str, int | float],
    random: np.random.RandomState,
) -> dict[str, np.ndarray]:
    """Row numbers of train and of each split in `amounts`: a fraction of a class, or images."""
    _, classes = np.unique(labels, return_inverse=True)
    order = np.lexsort((numbers, classes))  # class after class, in each by number
    sizes, place = _in_class(labels)
    wanted = (sizes >= 3).astype(np.int64)  # smaller classes give nothing unless they must
    taken = dict.fromkeys(("test", "minival"), np.zeros_like(sizes))
    for split, amount in amounts.items():
        space = np.maximum(sizes - taken["test"] - 1, 0)
        if isinstance(amount, float):
            chosen = numbers < amount if split == "test" else numbers >= 1 - amount
            later = wanted if split == "test" and "minival" in amounts else 0
            counts = np.bincount(classes[chosen], minlength=len(sizes))
            taken[split] = np.clip(counts, wanted, wanted * np.maximum(space - later, 0))
            if taken[split].any():
                continue
            amount = 1  # of a handful of images one, all the same
        if amount > space.sum():
            raise UsageError(
                f"{split} must leave one example of every class in train: {amount} of "
                f"{len(labels)} were to be held out, {space.sum()} can be. Ask for fewer, or add "
                "images."
            )
        taken[split] = _spread(_shares(amount, sizes, space, random), wanted)
    test = place < np.repeat(taken["test"], sizes)
    minival = place >= np.repeat(sizes - taken["minival"], sizes)
    found = {"train": order[~(test | minival)], "test": order[test], "minival": order[minival]}
    return {split: found[split] for split in ("train", *amounts)}


def _shares(
    count: int, sizes: np.ndarray, space: np.ndarray, random: np.random.RandomState
) -> np.ndarray:
    """`count` shared out in proportion to `sizes` [classes], at most `space` [classes] each.

    Every class gives its share rounded down, then one more each in the order of the largest
    remainders, ties by lot.
    """
    quotas = count * sizes.astype(np.int64)
    shares = np.minimum(quotas // sizes.sum(), space)
    # By lot, lest of many small classes always the first in the alphabet give the test images.
    lot = random.permutation(len(sizes))
    order = np.lexsort((lot, -(quotas % sizes.sum())))
    while missing := count - int(shares.sum()):
        shares[order[shares[order] < space[order]][:missing]] += 1
    return shares


def _spread(shares: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The shares with one at least where it is `wanted`, taken from the classes that give most."""
    shares = shares.copy()
    for without in np.flatnonzero(shares < wanted):
        richest = shares.argmax()
        if shares[richest] < 2:
            break
        shares[richest] -= 1
        shares[without] += 1
    return shares


def _check_seed(seed: int) -> None:
    if whole_number(seed, 0) is None or seed >= 2**31:
        raise UsageError(
            f"split_seed must be a whole number from 0 to 2**31 - 1, received {seed!r}."
        )
