"""ImageNet, or any set in its layout, from TFRecord files on a disk or in a bucket.

The layout is that of the official code: `train-00000-of-01024` ..., `validation-00000-of-00128`
..., each record a tf.train.Example with `image/encoded` and `image/class/label` (1..1000).

Differences from the official TPU code: the order of the files is new in every epoch and so is
their distribution over the hosts (there both are fixed for the whole run); the order of the
records is a function of (seed, epoch) however many threads read them; the shuffle buffer is
larger.
"""

import dataclasses
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.source import SHUFFLE_BUFFER, Source
from efficientnet_tf.errors import RunError, UsageError

LAYOUT = "train-00000-of-01024 ..., validation-00000-of-00128 ..."
IMAGENET_TRAIN, IMAGENET_TEST = 1_281_167, 50_000  # examples
IMAGENET_LAYOUT = (1000, 1024, 128)  # classes, train files, validation files

FILES_READ_AT_ONCE = 16  # fixed, because the order of the records depends on it
READ_BUFFER = 8 * 2**20  # bytes per file; small reads are slow on a bucket
# index = file number * 2**32 + record number, so that both can be told from an index
_FILE_BITS = 32


@dataclasses.dataclass(frozen=True, eq=False)
class TFRecordSource(Source):
    """Encoded images in TFRecord files, see `tfrecord_source`.

    Without shuffling, a pass takes the files in order, 16 at once, one record from each in turn.

    Attributes:
      files: the paths of each split.
      label_offset: the stored number of class 0.
    """

    files: Mapping[str, Sequence[str]]
    label_offset: int

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
        """One pass over a shard, see `Source.examples`. A shard is every n-th file of the epoch.

        Files differ a little in length, so the shards do as well, and not exactly as `size` says.
        """
        self.size(split, shard_index, num_shards)  # refuses unknown and empty splits
        files = self.files[split]
        if num_shards > len(files):
            raise UsageError(
                f'split "{split}" has {len(files)} files, too few for {num_shards} input '
                "pipelines, which share it by file. Use fewer hosts or write more files."
            )
        seed, epoch = tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)
        numbers = tf.range(len(files), dtype=tf.int64)
        if shuffle:
            numbers = tf.random.experimental.stateless_shuffle(
                numbers, tf.stack([seed, epoch]), alg="philox"
            )
        paths = tf.constant(files)
        records = tf.data.Dataset.from_tensor_slices(numbers[shard_index::num_shards]).interleave(
            lambda number: _records(paths[number], number),
            cycle_length=FILES_READ_AT_ONCE,
            block_length=1,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        if shuffle:
            records = _shuffle(records, shuffle_buffer, seed, epoch)
        return records.map(self._parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def parts(self, split: str) -> Iterator[tuple[str, tf.data.Dataset]]:
        """Each file and its examples, in order."""
        for number, path in enumerate(self.files[split]):
            yield path, _records(path, number).map(self._parse)

    def _parse(self, record: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.io.parse_single_example(
            record,
            {
                "image/encoded": tf.io.FixedLenFeature([], tf.string),
                "image/class/label": tf.io.FixedLenFeature([], tf.int64),
            },
        )
        stored = features["image/class/label"]
        label = stored - self.label_offset
        in_range = tf.logical_and(label >= 0, label < self.num_classes)
        last = self.label_offset + self.num_classes - 1
        message = f"image/class/label must be {self.label_offset}..{last} (label_offset and "
        message += "num_classes of the source say so), found"
        with tf.control_dependencies([tf.debugging.Assert(in_range, [message, stored])]):
            label = tf.identity(label)
        return {"image": features["image/encoded"], "label": label, "index": index}


def _records(path: Any, number: Any) -> tf.data.Dataset:
    """(serialised example, index) for each record of one file."""
    first = tf.bitwise.left_shift(tf.cast(number, tf.int64), tf.constant(_FILE_BITS, tf.int64))
    return tf.data.Dataset.zip(
        tf.data.TFRecordDataset(path, buffer_size=READ_BUFFER),
        tf.data.Dataset.counter(start=first),
    )


def _shuffle(
    dataset: tf.data.Dataset, buffer_size: int, seed: tf.Tensor, epoch: tf.Tensor
) -> tf.data.Dataset:
    """`dataset.shuffle` seeded with two tensors.

    Dataset.shuffle takes one seed and mixes in tf.random.set_seed, which is hidden state (and
    fails on a tensor when that is 0); the op itself takes both numbers.
    """
    variant = tf.raw_ops.ShuffleDatasetV3(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.cast(buffer_size, tf.int64),
        seed=seed,
        seed2=epoch + 1,  # the pair (0, 0) would mean "choose a random seed"
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        reshuffle_each_iteration=False,
        output_types=[tf.string, tf.int64],
        output_shapes=[[], []],
    )
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def tfrecord_source(
    data_dir: str | None,
    *,
    num_classes: int = 1000,
    minival_shards: int = 20,
    label_offset: int = 1,
    num_examples: Mapping[str, int] | None = None,
) -> TFRecordSource:
    """A source of the TFRecord files in `data_dir` (a folder or gs://bucket/folder).

    "train" are the train-* files but the first `minival_shards`, which are "minival"; "test" are
    the validation-* files. The counts of ImageNet in 1,024 + 128 files are known (minival as in
    the official code: int(1281167 * minival_shards / 1024)); for other sets give `num_examples`
    per split, or every record's header is read once, which takes long on a bucket.

    Raises:
      UsageError: folder or files are missing, or `minival_shards` leaves no training file.
      RunError: a file that has to be counted is cut off or not a TFRecord.
    """
    if not data_dir or not tf.io.gfile.isdir(data_dir):
        found = "no data_dir was given" if not data_dir else f'"{data_dir}" is not a folder'
        raise UsageError(
            f"data_dir must be a folder (or gs://bucket/folder) with TFRecord files {LAYOUT}; "
            f"{found}. Without ImageNet at hand, use the data set digits or synthetic."
        )
    train, validation = _find_files(data_dir, "train"), _find_files(data_dir, "validation")
    if isinstance(minival_shards, bool) or not isinstance(minival_shards, int):
        raise UsageError(f"minival_shards must be a whole number, got {minival_shards!r}.")
    if not 0 <= minival_shards < len(train):
        raise UsageError(
            f"minival_shards must leave training files: {minival_shards} of the {len(train)} "
            f"train-* files in {data_dir} were to be held out. Choose 0 to {len(train) - 1}."
        )
    files = {
        "train": train[minival_shards:],
        "minival": train[:minival_shards],
        "test": validation,
    }
    counts = dict(num_examples or {})
    is_imagenet = (num_classes, len(train), len(validation)) == IMAGENET_LAYOUT
    if is_imagenet:
        minival = int(IMAGENET_TRAIN * minival_shards / len(train))
        known = {"train": IMAGENET_TRAIN - minival, "minival": minival, "test": IMAGENET_TEST}
        counts = {**known, **counts}
    for split in files.keys() - counts.keys():
        with ThreadPoolExecutor(FILES_READ_AT_ONCE) as pool:  # waiting for a bucket, mostly
            counts[split] = sum(pool.map(count_records, files[split]))
    return TFRecordSource(
        name="imagenet" if is_imagenet else "tfrecord",
        num_classes=num_classes,
        class_names=None,
        num_examples={split: counts[split] for split in files},
        files=files,
        label_offset=label_offset,
    )


def _find_files(data_dir: str, prefix: str) -> tuple[str, ...]:
    """The complete set `prefix`-NNNNN-of-MMMMM in a folder, in order."""
    names = [os.path.basename(path) for path in tf.io.gfile.glob(f"{data_dir}/{prefix}-*")]
    matches = [re.fullmatch(rf"{prefix}-(\d{{5}})-of-(\d{{5}})", name) for name in sorted(names)]
    totals = {int(match[2]) for match in matches if match}
    if len(totals) != 1:
        found = "none" if not totals else f"sets of {' and of '.join(map(str, sorted(totals)))}"
        raise UsageError(
            f"data_dir must hold one set of {prefix}-NNNNN-of-MMMMM files ({LAYOUT}), found "
            f"{found} in {data_dir}. Check the folder and the names of the files."
        )
    total = totals.pop()
    expected = [f"{prefix}-{number:05d}-of-{total:05d}" for number in range(total)]
    missing = sorted(set(expected) - set(names))
    if missing:
        listed = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UsageError(
            f"data_dir lacks {len(missing)} of {total} {prefix} files: {listed} (in {data_dir}). "
            "Finish the download or conversion."
        )
    return tuple(os.path.join(data_dir, name) for name in expected)


def count_records(path: str) -> int:
    """Records in an uncompressed TFRecord file; only the length in each header is read.

    Raises:
      RunError: the file ends within a record.
    """
    size = tf.io.gfile.stat(path).length
    position = count = 0
    # GFile fetches half a megabyte at every seek, which for a local file is most of the time.
    with tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb", 0) as file:
        while position < size:
            file.seek(position)
            header = file.read(8)
            # header: length, its checksum (4 bytes); then the data and their checksum (4 bytes)
            length = struct.unpack("<Q", header)[0] if len(header) == 8 else size
            position += 16 + length
            if position > size:
                raise RunError(
                    f"{path}, record {count} (counted from 0) ends after the file's {size} "
                    "bytes: the file is cut off, damaged or compressed. Write or copy it again."
                )
            count += 1
    return count
