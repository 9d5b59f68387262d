"""The eight data sets of Table 6, and how a run of ours is known to be on one of them."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TransferSet:
    """A row of Table 6.

    Attributes:
        name: as in the paper.
        source: `data.source` of configs/transfer.py; "folder" where TFDS has no such set.
        train, test: examples.
        classes: how many.
        known_as: what `data.source` or the last folder of it is called, in lower case, letters
            and digits alone.
        printed_test: what Table 6 says of `test`, where it does not fit the set.
    """

    name: str
    source: str
    train: int
    test: int
    classes: int
    known_as: tuple[str, ...]
    printed_test: int | None = None


TABLE6 = (
    TransferSet("CIFAR-10", "tfds:cifar10", 50_000, 10_000, 10, ("cifar10",)),
    TransferSet("CIFAR-100", "tfds:cifar100", 50_000, 10_000, 100, ("cifar100",)),
    TransferSet("Birdsnap", "folder", 47_386, 2_443, 500, ("birdsnap",)),
    TransferSet(
        "Stanford Cars", "tfds:cars196", 8_144, 8_041, 196, ("stanfordcars", "cars196", "cars")
    ),
    TransferSet(
        "Flowers",
        "tfds:oxford_flowers102",
        2_040,
        6_149,
        102,
        ("flowers", "oxfordflowers102", "flowers102"),
    ),
    TransferSet("FGVC Aircraft", "folder", 6_667, 3_333, 100, ("aircraft", "fgvcaircraft")),
    # The set has 7,349 images, 3,669 of them for test.
    TransferSet(
        "Oxford-IIIT Pets",
        "tfds:oxford_iiit_pet",
        3_680,
        3_669,
        37,
        ("pets", "oxfordiiitpet", "oxfordiiitpets"),
        printed_test=3_369,
    ),
    TransferSet("Food-101", "tfds:food101", 75_750, 25_250, 101, ("food101",)),
)


def transfer_set(source: str, data_dir: str | None = None) -> TransferSet | None:
    """The set that a run's `data.source` names, or the last folder of its place; None if none.

    `tfds:cifar10:3.*.*`, `folder:/data/birdsnap` and `tfrecord` in `/data/food-101` are known.
    """
    kind, _, place = source.partition(":")
    if kind == "tfds":
        place = re.split(r"[:/]", place)[0] if not place.startswith(("/", ".")) else place
    last = (place or data_dir or "").rstrip("/").rpartition("/")[2]
    key = re.sub(r"[^a-z0-9]", "", last.lower())
    return next((each for each in TABLE6 if key in each.known_as), None)
