"""What a source of labelled images is: the contract between data sets and the pipeline."""

import abc
import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from efficientnet_tf.errors import UsageError, nearest

# Examples held for shuffling when records are read from files, per host: about 2 GB of ImageNet
# JPEGs. The official 1,024 is less than one of its 1,024 files holds, so that neighbours in a
# file meet in a batch; a whole pass does not fit.
SHUFFLE_BUFFER = 16_384


@dataclasses.dataclass(frozen=True)
class Pass:
    """How a split is read once; what is not said is: all of it, in stored order.

    Attributes:
        shuffle: the order is a function of (seed, epoch, shard) alone; else it depends on none.
        epoch, seed: whole numbers, or tensors: the pipeline reads while tracing.
        shard_index, num_shards: of the disjoint parts that together are the split, which one.
        shuffle_buffer: examples held by a source that cannot permute the whole split.
        start: so many examples of the pass are left out at its beginning, unread if possible; may
            be a tensor.
        skip_errors: an example that cannot be read comes with its index as an empty image ("" or
            [0, 0, 3]) of label 0, so that the place of every other one in the stream stays, and
            labels come as they are: `with_checked_label` is left to the caller. Otherwise both end
            the stream with a tf.errors.OpError.
    """

    shuffle: bool = False
    epoch: int | tf.Tensor = 0
    seed: int | tf.Tensor = 0
    shard_index: int = 0
    num_shards: int = 1
    shuffle_buffer: int = SHUFFLE_BUFFER
    start: int | tf.Tensor = 0
    skip_errors: bool = False

    def permuted(self, values: tf.Tensor) -> tf.Tensor:
        """The values in an order that is a function of (seed, epoch)."""
        key = tf.stack([tf.cast(self.seed, tf.int64), tf.cast(self.epoch, tf.int64)])
        return tf.random.experimental.stateless_shuffle(values, key, alg="philox")

    def share(self, rows: tf.Tensor) -> tf.Tensor:
        """Of the rows of all shards, those that this pass reads."""
        return rows[self.shard_index :: self.num_shards][self.start :]


IN_ORDER = Pass()

_LABEL_FAULT = "label out of range, at index:"


def with_checked_label(example: dict[str, tf.Tensor], num_classes: int) -> dict[str, tf.Tensor]:
    """The example; a label that is none of 0..num_classes-1 ends the stream, see `wrong_label`.

    A wrong label is no damage of one example: it says that all are read wrongly. So it is never
    passed over.
    """
    label = example["label"]
    in_range = tf.logical_and(label >= 0, label < num_classes)
    check = tf.debugging.Assert(in_range, [_LABEL_FAULT, label, example["index"]])
    with tf.control_dependencies([check]):
        return {**example, "label": tf.identity(label)}


def wrong_label(message: str) -> tuple[int, int] | None:
    """(label, index) of the example that `with_checked_label` complained of, by its message."""
    found = re.search(rf"{_LABEL_FAULT}\] \[(-?\d+)\] \[(\d+)\]", message)
    return None if found is None else (int(found[1]), int(found[2]))


@dataclasses.dataclass(frozen=True, eq=False)
class Source(abc.ABC):
    """A labelled image data set with the splits "train", "minival" and "test".

    "minival" is held out of train, for choosing checkpoints; "test" is for the final number
    (for ImageNet it is the official validation set, as in the paper).

    Attributes:
        name: for messages and logs.
        num_classes: labels are 0..num_classes-1.
        class_names: one per label, or None if unknown.
        num_examples: examples of each split. 0 means that the split does not exist.
        seekable: a pass can start anywhere without reading what comes before, and a shard has
            exactly `size` examples.
    """

    seekable: ClassVar[bool] = False

    name: str
    num_classes: int
    class_names: tuple[str, ...] | None
    num_examples: Mapping[str, int]

    @abc.abstractmethod
    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        """One pass over `split`, undecoded.

        Yields {"image": scalar string (an encoded image) or uint8 [H, W, 3], "label": int64 [],
        "index": int64 []}; the index names the example within its split.

        Raises:
            UsageError: no such split, or more shards than can be filled.
        """

    def rows(self, split: str, how: Pass) -> tf.Tensor:
        """The rows of a pass, int64, for a source that can read any row next.

        Raises:
            UsageError: no such split, or more shards than can be filled.
        """
        self.size(split, how.shard_index, how.num_shards)
        rows = tf.range(self.num_examples[split], dtype=tf.int64)
        return how.share(how.permuted(rows) if how.shuffle else rows)

    @abc.abstractmethod
    def place(self, split: str, index: int) -> str:
        """Where an example is kept, for messages: a path, or "path, record 7 (from 0)"."""

    def label_fault(self, label: int) -> str:
        """What is wrong with the number of a class, a sentence; "" if nothing is."""
        if 0 <= label < self.num_classes:
            return ""
        return f"The label is {label}, it must be 0 to {self.num_classes - 1}."

    def why_unread(self, split: str, index: int) -> str:
        """What is wrong with an example that came as an empty image, a sentence."""
        return "The record or file cannot be read: it is cut off, damaged, missing or forbidden."

    def labels_of(self, split: str) -> np.ndarray | None:
        """The label of each example, int64 [N], if it is known without reading them."""
        return None

    def listing(self, split: str) -> list[bytes]:
        """What tells the examples of a split from others, wherever the data set lies.

        An item for each example where they have names, else for each file of them; no order is
        meant.
        """
        return [b"%d examples" % self.num_examples[split]]

    def fingerprint(self, split: str) -> str:
        """A hash of the listing: the same for the same examples, wherever they lie."""
        listing = b"\n".join(sorted(self.listing(split)))
        return hashlib.blake2b(listing, digest_size=16).hexdigest()

    def size(self, split: str, shard_index: int = 0, num_shards: int = 1) -> int:
        """Examples in a shard of `split`: a fair share, the first shards take the remainder.

        Raises:
            UsageError: no such split, or a shard would be empty.
        """
        if split not in self.num_examples:
            known = ", ".join(f'"{name}"' for name in self.num_examples)
            raise UsageError(
                f'split must be one of {known} for source "{self.name}", received "{split}".'
                + nearest(split, self.num_examples)
            )
        total = self.num_examples[split]
        if total == 0:
            raise UsageError(
                f'split "{split}" of source "{self.name}" has no examples. Choose another split, '
                "or hold some examples out (data.minival, data.minival_shards)."
            )
        if num_shards > total:
            raise UsageError(
                f'split "{split}" of source "{self.name}" has {total} examples, too few for '
                f"{num_shards} input pipelines. Use fewer hosts."
            )
        return (total - shard_index + num_shards - 1) // num_shards
