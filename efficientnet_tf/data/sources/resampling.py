"""Other training splits of a source: with minival, folds of both, all classes equally often.

A balanced pass takes as many images of each class as the smallest class has, without replacement
and others in each pass, so that no image comes twice with the same augmentation. Which ones is a
function of (seed, epoch), as every order here; so a balanced run resumes like any other. A pass is
shorter than the split; epochs of the configuration still count the images of the whole split.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.sources.files import FileSource
from efficientnet_tf.data.sources.in_memory import ArraySource
from efficientnet_tf.data.sources.records import RecordFiles, RecordSource
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.errors import UsageError


def with_minival(source: Source) -> Source:
    """The source with the images of minival in train, and an empty minival.

    Raises:
        UsageError: the source cannot be joined.
    """
    if not source.num_examples["minival"]:
        return source
    sizes = dict(source.num_examples)
    sizes["train"], sizes["minival"] = sizes["train"] + sizes["minival"], 0
    if isinstance(source, FileSource):
        names, labels = _joined(source.names), _joined(source.labels)
        return dataclasses.replace(source, num_examples=sizes, names=names, labels=labels)
    if isinstance(source, ArraySource):
        images = _joined({split: pair[0] for split, pair in source.arrays.items()})
        labels = _joined({split: pair[1] for split, pair in source.arrays.items()})
        arrays = {split: (images[split], labels[split]) for split in images}
        return dataclasses.replace(source, num_examples=sizes, arrays=arrays)
    if isinstance(source, RecordSource):
        both = _joined_files(source.files["train"], source.files["minival"])
        if both is not None:
            files = {**source.files, "train": both}
            return dataclasses.replace(source, num_examples=sizes, files=files)
    raise UsageError(
        "config field data.train_on_minival needs a source whose splits can be joined; "
        f'"{source.name}" is none. Leave it out.'
    )


def _joined(splits: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    with tf.device("CPU:0"):
        train = tf.concat([splits["train"], splits["minival"]], axis=0)
    return {**splits, "train": train, "minival": splits["minival"][:0]}


def _joined_files(train: RecordFiles, minival: RecordFiles) -> RecordFiles | None:
    """None if the numbers of records are known of one and not of the other."""
    if list(train.paths) == list(minival.paths):  # shares of the same files
        if train.kept is None or minival.kept is None:
            return None
        return RecordFiles(train.paths, train.counts, train.kept | minival.kept)
    paths = [*train.paths, *minival.paths]
    if train.counts is None or minival.counts is None:
        return RecordFiles(paths) if train.counts is None and minival.counts is None else None
    counts = [np.asarray(files.counts) for files in (train, minival)]
    kept = [
        np.full(known.sum(), True) if files.kept is None else files.kept
        for files, known in zip((train, minival), counts, strict=True)
    ]
    return RecordFiles(paths, np.concatenate(counts), np.concatenate(kept))


def with_fold(source: Source, folds: int, fold: int, seed: int) -> Source:
    """The source with part `fold` of `folds` of train and minival as minival, the rest as train.

    Each class is spread evenly over the folds; they are disjoint, and together all there is.

    Raises:
        UsageError: the source cannot be cut so, or a fold would be empty.
    """
    whole = source if source.labels_of("train") is None else with_minival(source)
    labels = whole.labels_of("train")
    if labels is None or not isinstance(whole, (FileSource, ArraySource)):
        raise UsageError(
            "config field data.folds needs images that can be chosen one by one, as those of a "
            f'folder, a csv or the digits; "{source.name}" is read from its beginning.'
        )
    if folds > len(labels):
        raise UsageError(
            f"config field data.folds must be at most {len(labels)}, the images of train and "
            f"minival; received {folds}."
        )
    rows = np.random.RandomState(seed).permutation(len(labels))
    rows = rows[np.argsort(labels[rows], kind="stable")]
    held_out = np.sort(rows[fold::folds])
    kept = np.setdiff1d(rows, held_out)
    sizes = {**whole.num_examples, "train": len(kept), "minival": len(held_out)}

    def cut(splits: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.device("CPU:0"):
            both = splits["train"]
            return {
                **splits,
                "train": tf.gather(both, kept),
                "minival": tf.gather(both, held_out),
            }

    if isinstance(whole, FileSource):
        names, tables = cut(whole.names), cut(whole.labels)
        return dataclasses.replace(whole, num_examples=sizes, names=names, labels=tables)
    images = cut({split: pair[0] for split, pair in whole.arrays.items()})
    tables = cut({split: pair[1] for split, pair in whole.arrays.items()})
    arrays = {split: (images[split], tables[split]) for split in images}
    return dataclasses.replace(whole, num_examples=sizes, arrays=arrays)


def class_counts(source: Source) -> list[int]:
    """Training images of each class. Sources without a table of labels are read once."""
    labels = source.labels_of("train")
    if labels is None:
        examples = source.examples("train")
        batches = examples.map(lambda example: example["label"]).batch(4096)
        labels = np.concatenate([batch.numpy() for batch in batches])
    return np.bincount(labels, minlength=source.num_classes).tolist()


@dataclasses.dataclass(frozen=True, eq=False)
class BalancedSource(Source):
    """A source for training alone, see `balanced`.

    Attributes:
        base: whose images these are.
        labels: int64 [images of train], an eager tensor.
        counts: int64 [classes that have images], in the order of the labels.
    """

    seekable: ClassVar[bool] = True

    base: FileSource | ArraySource
    labels: tf.Tensor
    counts: np.ndarray

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        """One balanced pass, see `Source.examples`; without `shuffle` that of epoch and seed 0."""
        self.size(split, how.shard_index, how.num_shards)  # refuses other splits and empty shards
        if not how.shuffle:
            how = dataclasses.replace(how, seed=0, epoch=0)
        rows = how.permuted(tf.range(len(self.labels), dtype=tf.int64))
        by_class = tf.gather(rows, tf.argsort(tf.gather(self.labels, rows), stable=True))
        first = np.cumsum(self.counts) - self.counts
        places = first[:, np.newaxis] + np.arange(self.counts.min())  # [classes, smallest]
        chosen = tf.gather(by_class, tf.constant(places.reshape(-1), tf.int64))
        return self.base.at(split, how.share(how.permuted(chosen)), how.skip_errors)

    def place(self, split: str, index: int) -> str:
        return self.base.place(split, index)

    def why_unread(self, split: str, index: int) -> str:
        return self.base.why_unread(split, index)


def balanced(source: Source) -> BalancedSource:
    """A source whose "train" shows every class equally often; it has no other split.

    Raises:
        UsageError: the images of the source cannot be read by number.
    """
    labels = source.labels_of("train")
    if labels is None or not isinstance(source, (FileSource, ArraySource)):
        raise UsageError(
            "config field data.balanced_sampling needs images that can be read in any order, as "
            f'those of a folder, a csv or the digits; "{source.name}" is read from its beginning. '
            "Use transfer.class_weights=balanced."
        )
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    with tf.device("CPU:0"):
        table = tf.constant(labels, tf.int64)
    return BalancedSource(
        name=source.name,
        num_classes=source.num_classes,
        class_names=source.class_names,
        num_examples={"train": len(counts) * int(counts.min())},
        base=source,
        labels=table,
        counts=counts,
    )
