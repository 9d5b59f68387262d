"""What a source of labelled images is: the contract between data sets and the pipeline."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping

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
    """

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
    ) -> tf.data.Dataset:
        """One pass over shard `shard_index` of `split`, undecoded.

        Yields {"image": scalar string (an encoded image) or uint8 [H, W, 3], "label": int64 [],
        "index": int64 []}; the index names the example within its split. The order is a function
        of (seed, epoch, shard) alone, and does not depend on them without `shuffle`. The shards
        of one epoch are disjoint and together the split. `epoch` and `seed` may be tensors: the
        pipeline calls this while tracing.

        Raises:
          UsageError: no such split, or more shards than can be filled.
        """

    @abc.abstractmethod
    def parts(self, split: str) -> Iterator[tuple[str, tf.data.Dataset]]:
        """(name of a file, its examples in stored order), to find the place of a bad one."""

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
                "or hold some examples out (minival_shards) when the source is made."
            )
        if num_shards > total:
            raise UsageError(
                f'split "{split}" of source "{self.name}" has {total} examples, too few for '
                f"{num_shards} input pipelines. Use fewer hosts."
            )
        return (total - shard_index + num_shards - 1) // num_shards
