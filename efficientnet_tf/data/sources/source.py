"""What a source of labelled images is: the contract between data sets and the pipeline."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from efficientnet_tf.errors import UsageError, nearest

# Examples held for shuffling when records are read from files, per host: about 2 GB of ImageNet
# JPEGs. The official 1,024 is less than one of its 1,024 files holds, so that neighbours in a
# file meet in a batch; a whole pass does not fit.
SHUFFLE_BUFFER = 16_384


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
    def examples(
        self,
        split: str,
        *,
        epoch: int | tf.Tensor,
        seed: int | tf.Tensor,
        shuffle: bool,
        shard_index: int = 0,
        num_shards: int = 1,
        shuffle_buffer: int = SHUFFLE_BUFFER,
        start: int | tf.Tensor = 0,
        skip_errors: bool = False,
    ) -> tf.data.Dataset:
        """One pass over shard `shard_index` of `split`, undecoded.

        Yields {"image": scalar string (an encoded image) or uint8 [H, W, 3], "label": int64 [],
        "index": int64 []}; the index names the example within its split. The order is a function
        of (seed, epoch, shard) alone, and does not depend on them without `shuffle`. The shards
        of one epoch are disjoint and together the split. `epoch`, `seed` and `start` may be
        tensors: the pipeline calls this while tracing.

        Args:
          start: so many examples of the pass are left out at its beginning, unread if possible.
          skip_errors: an example that cannot be read comes with its index as an empty image ("" or
            [0, 0, 3]) of label 0, so that the place of every other one in the stream stays.
            Otherwise it ends the stream with a tf.errors.OpError.

        Raises:
          UsageError: no such split, or more shards than can be filled.
        """

    @abc.abstractmethod
    def place(self, split: str, index: int) -> str:
        """Where an example is kept, for messages: a path, or "path, record 7 (from 0)"."""

    def size(self, split: str, shard_index: int = 0, num_shards: int = 1) -> int:
        """Examples in a shard of `split`: a fair share, the first shards take the remainder.

        Raises:
          UsageError: no such split, or a shard would be empty.
        """
        if split not in self.num_examples:
            known = ", ".join(f'"{name}"' for name in self.num_examples)
            raise UsageError(
                f'split must be one of {known} for source "{self.name}", got "{split}".'
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
