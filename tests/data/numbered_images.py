"""Sources of ten images that a label tells, and streams compared batch by batch."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.sources.in_memory import ArraySource, array_source
from efficientnet_tf.data.sources.records import RecordSource

RANDOM = Preprocessing(12)  # crop and flip
FIXED = Preprocessing(12, train_crop="none", flip=False)


def numbered(count: int) -> ArraySource:
    """Random images whose label is their index, so that a label names an example."""
    images = np.random.RandomState(0).randint(0, 256, [count, 9, 13, 3]).astype(np.uint8)
    split = (images, np.arange(count))
    return array_source("numbered", {"train": split, "test": split}, num_classes=count)


def decoded(encoded: RecordSource) -> RecordSource:
    """The same images, but the source decodes them.

    Our decoder, which knows all formats, is most of what a pipeline takes to be built.
    """

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = encoded.parse(record)
        return tf.io.decode_jpeg(image, channels=3), label

    return dataclasses.replace(encoded, parse=parse)


def context(pipeline_id: int, pipelines: int, replicas: int) -> tf.distribute.InputContext:
    return tf.distribute.InputContext(pipelines, pipeline_id, replicas)


def labels_of(dataset: tf.data.Dataset, batches: int) -> list[int]:
    return [int(label) for batch in dataset.take(batches) for label in batch["label"]]


def assert_same(first: tf.data.Dataset, second: tf.data.Dataset, batches: int) -> None:
    pairs = itertools.zip_longest(first.take(batches), second.take(batches))
    for number, (a, b) in enumerate(pairs):
        for key in ("label", "image"):
            np.testing.assert_array_equal(a[key], b[key], err_msg=f"batch {number}, {key}")


def darken(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A random augmentation."""
    keep = tf.random.stateless_uniform([], seed, 128, 256, tf.int32)
    return tf.cast(tf.cast(image, tf.int32) * keep // 256, tf.uint8)
