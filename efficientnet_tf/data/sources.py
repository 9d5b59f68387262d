"""The data sets by name: digits, imagenet, synthetic."""

import dataclasses
from collections.abc import Iterator

import tensorflow as tf

from efficientnet_tf.data.in_memory import digits_source
from efficientnet_tf.data.source import SHUFFLE_BUFFER, Source
from efficientnet_tf.data.tfrecord import tfrecord_source
from efficientnet_tf.errors import UsageError, nearest

__all__ = ["SOURCES", "SyntheticSource", "load_source", "synthetic_source"]

SOURCES = ("digits", "imagenet", "synthetic")


@dataclasses.dataclass(frozen=True, eq=False)
class SyntheticSource(Source):
    """Noise made as it is read, see `synthetic_source`.

    Attributes:
      image_size: side of the images in pixels.
    """

    image_size: int

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
        """One pass, see `Source.examples`; `shuffle_buffer` is not needed."""
        self.size(split, shard_index, num_shards)  # refuses unknown splits and empty shards
        order = tf.range(self.num_examples[split], dtype=tf.int64)
        if shuffle:
            key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
            order = tf.random.experimental.stateless_shuffle(order, key, alg="philox")
        split_number = list(self.num_examples).index(split)
        return tf.data.Dataset.from_tensor_slices(order[shard_index::num_shards]).map(
            lambda index: self._example(split_number, index),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def parts(self, split: str) -> Iterator[tuple[str, tf.data.Dataset]]:
        """A single part, since there are no files."""
        yield f"synthetic {split}", self.examples(split, epoch=0, seed=0, shuffle=False)

    def _example(self, split_number: int, index: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = [self.image_size, self.image_size, 3]
        key = tf.stack([tf.constant(split_number, tf.int64), index])
        count = shape[0] * shape[1] * shape[2]
        words = tf.random.stateless_uniform([-(-count // 4)], key, None, None, tf.int32)
        pixels = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]  # four to a random word
        return {
            "image": tf.reshape(pixels, shape),
            "label": index % self.num_classes,
            "index": index,
        }


def synthetic_source(
    num_classes: int = 1000, image_size: int = 224, num_examples: int = 1024
) -> SyntheticSource:
    """Uniform noise as a function of split and index, `num_examples` per split; for benchmarks."""
    for name, value in {
        "num_classes": num_classes,
        "image_size": image_size,
        "num_examples": num_examples,
    }.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} must be a whole number above 0, got {value!r}.")
    return SyntheticSource(
        name="synthetic",
        num_classes=num_classes,
        class_names=None,
        num_examples={"train": num_examples, "minival": num_examples, "test": num_examples},
        image_size=image_size,
    )


def load_source(
    spec: str,
    data_dir: str | None = None,
    *,
    num_classes: int = 1000,
    minival_shards: int = 20,
    image_size: int = 224,
) -> Source:
    """The source named `spec`: "digits", "imagenet" (TFRecord files in `data_dir`), "synthetic".

    `num_classes` and `minival_shards` are for imagenet, `num_classes` and `image_size` for
    synthetic; digits always has 10 classes.

    Raises:
      UsageError: unknown name, or a `data_dir` for a source that reads none.
      And those of the source itself.
    """
    if spec not in SOURCES:
        known = ", ".join(f'"{name}"' for name in SOURCES)
        raise UsageError(f'data set must be one of {known}, got "{spec}".' + nearest(spec, SOURCES))
    if spec == "imagenet":
        return tfrecord_source(data_dir, num_classes=num_classes, minival_shards=minival_shards)
    if data_dir is not None:
        raise UsageError(
            f'data_dir is only read by the data set "imagenet", got "{data_dir}" with "{spec}". '
            "Drop it, or choose imagenet."
        )
    return digits_source() if spec == "digits" else synthetic_source(num_classes, image_size)
