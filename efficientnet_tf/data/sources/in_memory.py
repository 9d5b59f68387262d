"""Data sets that fit into memory as arrays, and the digits that ship with scikit-learn."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.sources.holdout import stratified_split
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.machine.packages import require


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource(Source):
    """Images of one size held as tensors; a shuffled pass is a true permutation.

    Attributes:
        arrays: per split (images uint8 [N, H, W, 3], labels int64 [N]), as eager tensors: numpy
            arrays would be copied into the graph of every function that reads them.
    """

    seekable: ClassVar[bool] = True

    arrays: Mapping[str, tuple[tf.Tensor, tf.Tensor]]

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        """One pass, see `Source.examples`; nothing needs a buffer or can fail, all is here."""
        return self.at(split, self.rows(split, how))

    def at(self, split: str, rows: tf.Tensor, skip_errors: bool = False) -> tf.data.Dataset:
        """The images of some rows of a split, int64 [N], in this order; see `examples`."""
        del skip_errors  # there is nothing to skip
        images, labels = self.arrays[split]
        return tf.data.Dataset.from_tensor_slices(
            {"image": tf.gather(images, rows), "label": tf.gather(labels, rows), "index": rows}
        )

    def place(self, split: str, index: int) -> str:
        """There are no files to name."""
        return f'source "{self.name}", split "{split}", example {index} (counted from 0)'

    def labels_of(self, split: str) -> np.ndarray:
        """The label of each image."""
        return self.arrays[split][1].numpy()


def array_source(
    name: str,
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    num_classes: int,
    class_names: tuple[str, ...] | None = None,
) -> ArraySource:
    """An `ArraySource` from numpy: per split (images uint8 [N, H, W, 3], labels [N])."""
    with tf.device("CPU:0"):  # tf.data runs on the host; an accelerator would only be a detour
        arrays = {
            split: (tf.constant(images, tf.uint8), tf.constant(labels, tf.int64))
            for split, (images, labels) in splits.items()
        }
    return ArraySource(
        name=name,
        num_classes=num_classes,
        class_names=class_names,
        num_examples={split: len(labels) for split, (_, labels) in splits.items()},
        arrays=arrays,
    )


def digits_source() -> ArraySource:
    """The 1,797 handwritten digits of scikit-learn (UCI, 8x8, 17 grey levels), 10 classes.

    Split by class with a fixed permutation into 1,259 train, 179 minival and 359 test examples.
    Grey levels 0..16 are scaled to 0..255 and repeated over three channels.
    """
    require("data.source=digits", "sklearn")
    from sklearn.datasets import load_digits  # a second of import that no other source needs

    bunch = load_digits()
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # [1797, 8, 8]
    images = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    labels = bunch.target.astype(np.int64)
    rows = stratified_split(labels, {"test": 0.2, "minival": 0.1}, rest="train")
    return array_source(
        "digits",
        {split: (images[rows[split]], labels[rows[split]]) for split in rows},
        num_classes=10,
        class_names=tuple(str(digit) for digit in range(10)),
    )
