"""From TensorFlow's data error, which names neither file nor record, to one that does."""

import logging
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.broken import map_or, plain_message
from efficientnet_tf.data.images.preprocessing import decode
from efficientnet_tf.data.sources.source import Pass, Source
from efficientnet_tf.errors import RunError


def fault(image: Any) -> str:
    """What is wrong with an undecoded image, found by decoding it alone; "" if nothing is.

    `image` is what a source yields, as numpy; an empty one stands for what was not read.
    """
    if len(image) == 0:
        return "The record or file cannot be read: it is cut off, damaged, missing or forbidden."
    try:
        decode(tf.constant(image))
    except tf.errors.OpError as error:
        return plain_message(error)
    return ""


def bad_examples(source: Source, split: str) -> tf.data.Dataset:
    """The examples of a split that cannot be read or decoded, in stored order."""
    examples = source.examples(split, Pass(skip_errors=True))

    def healthy(example: dict[str, tf.Tensor]) -> dict[str, Any]:
        with tf.control_dependencies([tf.reduce_max(decode(example["image"]))]):
            return {**example, "bad": tf.constant(False)}

    def broken(example: dict[str, tf.Tensor]) -> dict[str, Any]:
        return {**example, "bad": tf.constant(True)}

    return map_or(examples, healthy, broken).filter(lambda example: example["bad"])


def explain_data_error(error: tf.errors.OpError, source: Source, split: str) -> RunError:
    """The RunError to raise when iterating a dataset over `split` raised `error`.

    The error says what is wrong but not where, and carrying the place through every map would
    cost time in each healthy step. So the split is read and decoded once more, in stored order,
    up to the first example that fails: minutes for ImageNet, after a run that is over anyway.
    Errors that are not about the data (a lost connection) are passed on without a search.
    """
    what = plain_message(error)
    failed = f'Reading split "{split}" of source "{source.name}" failed: {what}'
    data_errors = tf.errors.InvalidArgumentError | tf.errors.DataLossError | tf.errors.NotFoundError
    if not isinstance(error, data_errors):
        return RunError(failed)
    logging.getLogger(__name__).warning("Data error (%s); looking for the bad example.", what)
    for example in bad_examples(source, split).take(1).as_numpy_iterator():
        # The reader's own words where nothing was read: they may name the record's fault.
        found = fault(example["image"]) if len(example["image"]) else what
        return RunError(
            f"{source.place(split, int(example['index']))} cannot be used: {found} Write or copy "
            "the file again, remove it, or pass over it with --config.data.on_error=skip."
        )
    return RunError(
        f"{failed} All examples were read and decoded a second time without an error, so the "
        "cause is outside the data, or passed."
    )
