"""A source of small encoded images in a list, and what a conversion has written."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source

SHARDS = {"train": 7, "minival": 2, "test": 3}


@dataclasses.dataclass(frozen=True, eq=False)
class Listed(Source):
    """Encoded images in a list; an empty one stands for a file that cannot be read."""

    images: Mapping[str, tuple[bytes, ...]]
    labels: Callable[[int], int] = lambda index: index % 3

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        order = np.arange(len(self.images[split]))
        if how.shuffle:
            order = np.random.RandomState(how.seed).permutation(order)
        order = order[how.start :]

        def check(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            if not how.skip_errors:
                good = tf.strings.length(example["image"]) > 0
                with tf.control_dependencies([tf.debugging.Assert(good, ["cannot be read"])]):
                    return {**example, "image": tf.identity(example["image"])}
            return example

        columns = {
            "image": [self.images[split][index] for index in order],
            "label": np.array([self.labels(index) for index in order], np.int64),
            "index": order,
        }
        return tf.data.Dataset.from_tensor_slices(columns).map(check)

    def place(self, split: str, index: int) -> str:
        return f"{split}/{index}.image"


def listed(count: int = 50, **changes: Any) -> Listed:
    """Small JPEGs, and a PNG as every fifth; the pixels tell the index."""
    images = []
    for index in range(count):
        pixels = np.full([3 + index % 4, 5, 3], index, np.uint8)
        encode = tf.io.encode_png if index % 5 == 4 else tf.io.encode_jpeg
        images.append(encode(pixels).numpy())
    arguments = {
        "name": "listed",
        "num_classes": 3,
        "class_names": ("cat", "dög", "cow"),
        "num_examples": {"train": count, "minival": 0, "test": 0},
        "images": {"train": tuple(images)},
        **changes,
    }
    return Listed(**arguments)


def read(folder: Path, pattern: str) -> list[list[dict[str, Any]]]:
    """The features of the records, file by file, read with nothing of ours."""
    files = []
    for path in sorted(folder.glob(pattern)):
        records = []
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            records.append(
                {
                    key: (*value.bytes_list.value, *value.int64_list.value)
                    for key, value in feature.items()
                }
            )
        files.append(records)
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
