"""What takes the place of an example that cannot be used, when the run is not to stop.

In training its nearest usable neighbour in the batch, in evaluation nothing: it is masked out.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import BadExamples, map_or
from efficientnet_tf.data.diagnose import fault
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.sources.source import Source, with_checked_label


def items(
    stream: tf.data.Dataset,
    example_to_item: Callable[[dict[str, tf.Tensor], tf.Tensor], dict[str, tf.Tensor]],
    preprocessing: Preprocessing,
    bad: BadExamples | None,
    source: Source,
    split: str,
    kept: Sequence[str] = (),
) -> tf.data.Dataset:
    """The stream with each example made an item; with `bad`, items tell whether they are "usable".

    A label that is none of the source's classes ends the stream in either case.

    The second part of an element is the epoch in training, the mask (float32) in evaluation.
    `kept` are parts of the example that the item is to have as they are.
    """

    def item(example: dict[str, tf.Tensor], second: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**example_to_item(example, second), **{name: example[name] for name in kept}}

    if bad is None:
        return stream.map(item, num_parallel_calls=tf.data.AUTOTUNE)
    size, dtype = preprocessing.image_size, tf.as_dtype(preprocessing.image_dtype)

    def usable(example: dict[str, tf.Tensor], second: tf.Tensor) -> dict[str, Any]:
        return {**item(example, second), "usable": True}

    def unusable(example: dict[str, tf.Tensor], second: tf.Tensor) -> dict[str, Any]:
        noted = tf.numpy_function(note, [example["index"], example["image"]], tf.bool)
        blank = {"image": tf.zeros([size, size, 3], dtype), "label": tf.constant(0)}
        if second.dtype == tf.float32:  # the mask of evaluation
            blank["mask"] = second
        blank |= {name: example[name] for name in kept}
        return {**blank, "usable": tf.ensure_shape(noted, [])}

    def note(index: np.ndarray, image: Any) -> np.bool:
        reason = fault(image, partial(source.why_unread, split, int(index)))
        bad.add(int(index), reason or "It can be decoded alone, but not cropped.")
        bad.check()  # ends the stream; the caller asks `bad` why
        return np.False_

    def checked(example: dict[str, tf.Tensor], second: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return with_checked_label(example, source.num_classes), second

    return map_or(stream.map(checked), usable, unusable)


def replace_unusable(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Puts the nearest usable item, of equals the one before, in the place of an unusable one."""
    usable, batch = _split(batch)
    rows = tf.range(tf.size(usable))
    offset = rows - rows[:, tf.newaxis]
    distance = 2 * tf.abs(offset) + tf.cast(offset > 0, tf.int32)
    nearest = tf.argmin(tf.where(usable, distance, tf.int32.max), axis=1, output_type=tf.int32)
    message = "no example of a batch can be used"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(usable), [message])]):
        nearest = tf.identity(nearest)
    return tf.cond(
        tf.reduce_all(usable),
        lambda: batch,
        lambda: {key: tf.gather(value, nearest) for key, value in batch.items()},
    )


def mask_unusable(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Masks out what cannot be used."""
    usable, batch = _split(batch)
    return {**batch, "mask": batch["mask"] * tf.cast(usable, tf.float32)}


def _split(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    return batch["usable"], {key: value for key, value in batch.items() if key != "usable"}
