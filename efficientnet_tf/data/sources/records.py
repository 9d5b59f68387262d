"""A source of TFRecord files, whatever is in a record: order, shares of the hosts, broken files.

A pass takes the files in a new order each epoch, 16 at once, one record from each in turn, and
sends them through a shuffle buffer. With several hosts the records of all files in that order,
end to end, are cut into equal stretches, one for each host: every record is read exactly once in
an epoch, and a file at a cut is opened by two hosts. That needs the number of records of each
file; where it is not known a host takes every n-th file, and shares differ a little.

Differences from the official TPU code: there the order of the files and their hosts are fixed for
the whole run, threads decide the order of the records, and the shuffle buffer is smaller.
"""

import dataclasses
import functools
import hashlib
import os
import struct
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import map_or, plain_message
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source, with_checked_label
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.storage.files import check_regular, opened
from efficientnet_tf.terminal.shown import shown

FILES_READ_AT_ONCE = 16  # fixed, because the order of the records depends on it
READ_BUFFER = 8 * 2**20  # bytes per file; small reads are slow on a bucket
# index = file number * 2**32 + record number, so that both can be told from an index
_FILE_BITS = 32
_NOW_READ = "The record could not be read once, but now can be."

Parse = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # record -> image, label int64 []


@dataclasses.dataclass(frozen=True)
class RecordFiles:
    """The files of one split.

    Attributes:
        paths: in the order of their numbers.
        counts: int64 [files], records in each; None if unknown.
        kept: bool [all records, file by file], those that belong to the split; None means all.
            Needs `counts`.
    """

    paths: Sequence[str]
    counts: np.ndarray | None = None
    kept: np.ndarray | None = None

    def kept_counts(self) -> np.ndarray:
        """int64 [files], records of the split in each; `counts` must be known."""
        counts = np.asarray(self.counts, np.int64)
        if self.kept is None:
            return counts
        ends = np.cumsum(counts)
        sums = np.concatenate([[0], np.cumsum(self.kept)])
        return sums[ends] - sums[ends - counts]


@dataclasses.dataclass(frozen=True, eq=False)
class RecordSource(Source):
    """Images in TFRecord files.

    Attributes:
        files: of each split.
        parse: a record to its image (encoded, or uint8 [H, W, 3]) and label; may fail on a bad one.
        label_offset: the stored number of class 0, for messages; `parse` takes it off.
    """

    files: Mapping[str, RecordFiles]
    parse: Parse
    label_offset: int = 0

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        """One pass over a shard, see `Source.examples`. What `start` leaves out is read."""
        self.size(split, how.shard_index, how.num_shards)  # refuses unknown and empty splits
        files = self.files[split]
        numbers = tf.range(len(files.paths), dtype=tf.int64)
        if how.shuffle:
            numbers = how.permuted(numbers)
        stretches = _stretches(split, files, numbers, how.shard_index, how.num_shards)
        read = _reader(files, how.skip_errors)
        records = tf.data.Dataset.from_tensor_slices(stretches).interleave(
            lambda number, first, count: read(number).skip(first).take(count),
            cycle_length=FILES_READ_AT_ONCE,
            block_length=1,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        if how.shuffle:
            records = _shuffle(records, how)
        records = records.skip(tf.cast(how.start, tf.int64))
        if how.skip_errors:
            image = records.map(self._example).element_spec["image"]
            return map_or(records, self._example, functools.partial(_unreadable, image))
        return records.map(
            lambda record, index: with_checked_label(
                self._example(record, index), self.num_classes
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def place(self, split: str, index: int) -> str:
        """The file and the number of the record in it."""
        path, record = self._found(split, index)
        return f"{shown(path)}, record {record} (counted from 0)"

    def label_fault(self, label: int) -> str:
        """See `Source.label_fault`: in the numbers that are stored."""
        if not super().label_fault(label):
            return ""
        low, high = self.label_offset, self.label_offset + self.num_classes - 1
        hint = (
            f"If there are more than {self.num_classes} classes, give their number: num_classes; "
            "if their numbers begin elsewhere, say where: label_offset"
        )
        if label < 0:
            hint = (
                "If the numbers begin there, say so: label_offset. The official layout counts "
                "from 1"
            )
        return f"The stored label is {label + low}, it must be {low} to {high}. {hint}."

    def why_unread(self, split: str, index: int) -> str:
        """See `Source.why_unread`: found by reading the record once more."""
        path, number = self._found(split, index)
        try:
            for record in tf.data.TFRecordDataset(path).skip(number).take(1):
                empty = len(self.parse(record)[0].numpy()) == 0
                return "The image of the record is empty." if empty else _NOW_READ
        except tf.errors.OpError as error:
            return plain_message(error)
        return "The file ends before this record: it is cut off."

    def _found(self, split: str, index: int) -> tuple[str, int]:
        number, record = divmod(int(index), 2**_FILE_BITS)
        return self.files[split].paths[number], record

    def listing(self, split: str) -> list[bytes]:
        """Name, records and a hash of the choice among them: of each file."""
        files = self.files.get(split, RecordFiles([]))
        counts = ["all"] * len(files.paths) if files.counts is None else files.counts.tolist()
        kept = b"" if files.kept is None else np.packbits(files.kept).tobytes()
        chosen = hashlib.blake2b(kept, digest_size=8).hexdigest()
        return [
            f"{os.path.basename(path)}\t{count}\t{chosen}".encode()
            for path, count in zip(files.paths, counts, strict=True)
        ]

    def _example(self, record: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        image, label = self.parse(record)
        return {"image": image, "label": label, "index": index}


def _unreadable(image: tf.TensorSpec, record: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
    """An empty string, or an image without pixels where images are not encoded."""
    del record
    nothing = tf.constant("") if image.dtype == tf.string else tf.zeros([0, 0, 3], image.dtype)
    return {"image": nothing, "label": tf.constant(0, tf.int64), "index": index}


def _stretches(
    split: str, files: RecordFiles, numbers: tf.Tensor, shard_index: int, num_shards: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(file number, first record, how many) of what one shard reads; -1 is to the end."""
    if files.counts is None:
        if num_shards > len(files.paths):
            raise UsageError(
                f'split "{split}" has {len(files.paths)} files, too few for {num_shards} input '
                "pipelines, which share it by file. Use fewer hosts, or write a manifest with "
                "`python main.py prepare --manifest_only`: then records are shared out."
            )
        numbers = numbers[shard_index::num_shards]
        zeros = tf.zeros_like(numbers)
        return numbers, zeros, zeros - 1
    counts = tf.gather(tf.constant(files.kept_counts(), tf.int64), numbers)
    total = int(files.kept_counts().sum())
    low = shard_index * (total // num_shards) + min(shard_index, total % num_shards)
    high = low + (total - shard_index + num_shards - 1) // num_shards
    begins = tf.cumsum(counts, exclusive=True)
    first = tf.clip_by_value(low - begins, 0, counts)
    stop = tf.clip_by_value(high - begins, 0, counts)
    mine = stop > first
    return (
        tf.boolean_mask(numbers, mine),
        tf.boolean_mask(first, mine),
        tf.boolean_mask(stop - first, mine),
    )


def _reader(files: RecordFiles, skip_errors: bool) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """From a file number to the (record, index) of its records that belong to the split."""
    with tf.init_scope():  # not into the graph of every function that reads them
        paths = tf.constant(files.paths)
        counts = None if files.counts is None else tf.constant(files.counts, tf.int64)
        kept = None if files.kept is None else tf.constant(files.kept)

    def read(number: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(paths[number], buffer_size=READ_BUFFER)
        if skip_errors:
            records = records.ignore_errors()
        if counts is not None:
            # TensorFlow takes a file cut off between two records for a whole one.
            rest = _missing() if skip_errors else _cut_off(paths[number], counts[number])
            records = records.concatenate(rest).take(counts[number])
        elif skip_errors:
            records = records.concatenate(_one_if_broken(paths[number]))
        first = tf.bitwise.left_shift(number, tf.constant(_FILE_BITS, tf.int64))
        numbered = tf.data.Dataset.zip(records, tf.data.Dataset.counter(start=first))
        if kept is not None:
            before = tf.cumsum(counts, exclusive=True)[number]
            numbered = numbered.filter(lambda _, index: kept[before + index - first])
        return numbered

    return read


def _missing() -> tf.data.Dataset:
    """Stands for records that are not there: empty ones, without end."""
    return tf.data.Dataset.from_tensors("").repeat()


def _one_if_broken(path: tf.Tensor) -> tf.data.Dataset:
    """An empty record for the lost rest of a file that cannot be read to its end, else nothing.

    Where the count is not known only reading the file a second time can tell.
    """

    def healthy(path: tf.Tensor) -> tuple[tf.Tensor, bool]:
        counted = tf.data.TFRecordDataset(path, buffer_size=READ_BUFFER).reduce(
            tf.constant(0, tf.int64), lambda count, _: count + 1
        )
        with tf.control_dependencies([counted]):
            return tf.constant(""), False

    read_again = map_or(
        tf.data.Dataset.from_tensors(path), healthy, lambda _: (tf.constant(""), True)
    )
    return read_again.filter(lambda _, broken: broken).map(lambda record, _: record)


def _cut_off(path: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
    """Fails when it is reached."""

    def fail(record: tf.Tensor) -> tf.Tensor:
        message = "ends too early, the file is cut off; records expected:"
        with tf.control_dependencies([tf.debugging.Assert(False, [path, message, count])]):
            return tf.identity(record)

    return tf.data.Dataset.from_tensors("").map(fail)


def _shuffle(dataset: tf.data.Dataset, how: Pass) -> tf.data.Dataset:
    """`dataset.shuffle` seeded with two tensors.

    Dataset.shuffle takes one seed and mixes in tf.random.set_seed, which is hidden state (and
    fails on a tensor when that is 0); the op itself takes both numbers.
    """
    variant = tf.raw_ops.ShuffleDatasetV3(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.cast(how.shuffle_buffer, tf.int64),
        seed=tf.cast(how.seed, tf.int64),
        seed2=tf.cast(how.epoch, tf.int64) + 1,  # the pair (0, 0) would mean "choose a random seed"
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        reshuffle_each_iteration=False,
        output_types=[tf.string, tf.int64],
        output_shapes=[[], []],
    )
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def check_record_files(paths: Sequence[str]) -> None:
    """Refuses what would be waited for, or read, without end.

    Raises:
        UsageError: one of the paths is there, but no regular file.
    """
    for path in paths:
        try:
            check_regular(path)
        except FileNotFoundError:
            continue  # said by whoever counts or reads them
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {error.strerror}. Put a TFRecord file in its place."
            ) from error


def count_records(path: str) -> int:
    """Records in an uncompressed TFRecord file; only the length in each header is read.

    Raises:
        RunError: the file ends within a record.
    """
    size = tf.io.gfile.stat(path).length
    position = count = 0
    with opened(path) as file:
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
