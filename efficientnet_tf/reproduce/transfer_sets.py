"""The eight data sets of Table 6, and how a run of ours is known to be on one of them."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TransferSet:
    """A row of Table 6.

    Attributes:
        name: as in the paper.
        train, test: examples.
        classes: how many.
        sources: what `data.source` or the last folder of it is called, in lower case, letters
            and digits alone.
    """

    name: str
    train: int
    test: int
    classes: int
    sources: tuple[str, ...]


TABLE6 = (
    TransferSet("CIFAR-10", 50_000, 10_000, 10, ("cifar10",)),
    TransferSet("CIFAR-100", 50_000, 10_000, 100, ("cifar100",)),
    TransferSet("Birdsnap", 47_386, 2_443, 500, ("birdsnap",)),
    TransferSet("Stanford Cars", 8_144, 8_041, 196, ("cars196", "stanfordcars", "cars")),
    TransferSet("Flowers", 2_040, 6_149, 102, ("oxfordflowers102", "flowers102", "flowers")),
    TransferSet("FGVC Aircraft", 6_667, 3_333, 100, ("fgvcaircraft", "aircraft")),
    TransferSet("Oxford-IIIT Pets", 3_680, 3_369, 37, ("oxfordiiitpet", "oxfordiiitpets", "pets")),
    TransferSet("Food-101", 75_750, 25_250, 101, ("food101",)),
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
    return next((each for each in TABLE6 if key in each.sources), None)
