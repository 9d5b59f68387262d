"""The data sets by name, as the configuration spells them, and noise for benchmarks."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf

from efficientnet_tf.config import SOURCES, DataConfig
from efficientnet_tf.data.sources.csv_file import csv_source
from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.data.sources.resampling import balanced, with_fold, with_minival
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.data.sources.tfds_source import tfds_source
from efficientnet_tf.data.sources.tfrecord import tfrecord_source
from efficientnet_tf.errors import UsageError, nearest, whole_number


@dataclasses.dataclass(frozen=True, eq=False)
class SyntheticSource(Source):
    """Noise made as it is read, see `synthetic_source`.

    Attributes:
        image_size: side of the images in pixels.
    """

    seekable: ClassVar[bool] = True

    image_size: int

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        """One pass, see `Source.examples`; nothing needs a buffer or can fail."""
        split_number = list(self.num_examples).index(split)
        return tf.data.Dataset.from_tensor_slices(self.rows(split, how)).map(
            lambda index: self._example(split_number, index),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def place(self, split: str, index: int) -> str:
        """There are no files to name."""
        return f"synthetic {split} image {index}"

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
        if whole_number(value) is None:
            raise UsageError(f"{name} must be a whole number above 0, received {value!r}.")
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
    num_classes: int = 0,
    minival_shards: int = 20,
    minival: int = 0,
    test: int = 0,
    split_seed: int = 0,
    label_offset: int = 1,
    verify_checksums: bool = False,
    image_size: int = 224,
    whole: bool = False,
) -> Source:
    """The source that `spec` names.

    | spec | what | where |
    |---|---|---|
    | imagenet | TFRecords in the official layout | `data_dir` |
    | tfrecord | the same; without minival-* files a tenth of train is held out, image by image | \
`data_dir` |
    | folder | a folder of class folders | `data_dir`, or `folder:PATH` |
    | csv | a table of path,label | `data_dir`, or `csv:PATH` |
    | tfds:NAME | TensorFlow Datasets | `data_dir`, default ~/tensorflow_datasets |
    | digits | the digits of scikit-learn | ships with it |
    | synthetic | noise, for benchmarks | made as it is read |

    Args:
        num_classes: for TFRecords without a manifest and for synthetic; 0: 1000.
        minival_shards: train files held out, imagenet only.
        minival, test: images held out of train where the source has no such split; 0: a tenth (at
            most 25,000 for minival). TFRecords and tfds hold a `minival` above 0 out of train even
            if they have one.
        split_seed: which images these are.
        label_offset: the stored number of class 0 in TFRecords without a manifest.
        verify_checksums: compare the contents of TFRecords with their manifest.
        image_size: of synthetic images.
        whole: of folder and csv: every image is in test, for evaluation alone.

    Raises:
        UsageError: unknown name, no place given, or a `data_dir` for a source that reads none.
        And those of the source itself.
    """
    kind, _, place = spec.partition(":")
    if kind not in SOURCES or (place and kind not in ("folder", "csv", "tfds")):
        known = ", ".join(f'"{name}"' for name in SOURCES)
        raise UsageError(
            f'data.source must be one of {known}, received "{spec}" (only folder:PATH, csv:PATH '
            "and tfds:NAME have a second part)." + nearest(kind, SOURCES)
        )
    held_out = {"minival": minival, "split_seed": split_seed}
    if kind in ("imagenet", "tfrecord"):
        return tfrecord_source(
            data_dir,
            num_classes=num_classes or None,
            minival_shards=minival_shards if kind == "imagenet" else None,
            label_offset=label_offset,
            checksums=verify_checksums,
            **held_out,
        )
    if kind == "tfds":
        return tfds_source(place, data_dir, test=test, **held_out)
    if kind in ("folder", "csv"):
        if bool(place) == bool(data_dir):
            raise UsageError(
                f'the source "{kind}" needs one place, as data.source={kind}:PATH or as data_dir, '
                f'received "{spec}" and data_dir {data_dir!r}.'
            )
        load = folder_source if kind == "folder" else csv_source
        return load(place or str(data_dir), test=test, whole=whole, **held_out)
    if data_dir is not None:
        raise UsageError(
            f'data_dir is not read by the data set "{spec}", received "{data_dir}". Drop it.'
        )
    return (
        digits_source() if spec == "digits" else synthetic_source(num_classes or 1000, image_size)
    )


def configured_source(data: DataConfig, image_size: int) -> Source:
    """The source of a configuration, with the splits that it makes of it.

    Args:
        image_size: side in pixels, for sources that make their images.

    Raises:
        UsageError: it cannot be read, or is not of the sizes and classes that were expected.
    """
    source = load_source(
        data.source,
        data.data_dir,
        num_classes=data.num_classes,
        minival_shards=data.minival_shards,
        minival=data.minival,
        test=data.test,
        split_seed=data.split_seed,
        label_offset=data.label_offset,
        verify_checksums=data.verify_checksums,
        image_size=image_size,
    )
    check_expected(source, data.num_classes, data.expected_sizes)
    if data.train_on_minival:
        return with_minival(source)
    if data.folds:
        return with_fold(source, data.folds, data.fold, data.split_seed)
    return source


def training_source(source: Source, data: DataConfig) -> Source:
    """What training reads of a configured source."""
    return balanced(source) if data.balanced_sampling else source


def check_expected(source: Source, num_classes: int, sizes: Sequence[int] | None) -> None:
    """Refuses a source that is not the data set that the configuration says.

    Args:
        num_classes: 0 for any.
        sizes: images of train with minival, and of test; None or empty for any.

    Raises:
        UsageError: what was expected, what was found.
    """
    if num_classes and source.num_classes != num_classes:
        raise UsageError(
            f"config field data.num_classes expects {num_classes} classes, but "
            f'"{source.name}" has {source.num_classes}. Is it the right data set, and whole?'
        )
    found = source.num_examples
    both = (found["train"] + found["minival"], found["test"])
    if sizes and tuple(sizes) != both:
        raise UsageError(
            f"config field data.expected_sizes expects {sizes[0]} images of train (with minival) "
            f'and {sizes[1]} of test, but "{source.name}" has {both[0]} and {both[1]}. Complete '
            "the data set, or set --config.data.expected_sizes=() to use it as it is."
        )
