"""From TensorFlow's data error, which names neither file nor record, to one that does."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.broken import map_or, plain_message
from efficientnet_tf.data.images.preprocessing import decode
from efficientnet_tf.data.sources.source import Pass, Source, with_checked_label, wrong_label
from efficientnet_tf.errors import RunError


def fault(image: Any, why_unread: Callable[[], str] = lambda: "The file is empty.") -> str:
    """What is wrong with an undecoded image, found by decoding it alone; "" if nothing is.

    Args:
        image: what a source yields, as numpy; an empty one stands for what was not read.
        why_unread: asked about an empty one, see `Source.why_unread`.
    """
    if len(image) == 0:
        return why_unread()
    try:
        decode(tf.constant(image))
    except tf.errors.OpError as error:
        return plain_message(error)
    return ""


def bad_examples(source: Source, split: str) -> tf.data.Dataset:
    """The examples of a split that cannot be read or decoded, in stored order."""
    examples = source.examples(split, Pass(skip_errors=True))

    def healthy(example: dict[str, tf.Tensor]) -> dict[str, Any]:
        example = with_checked_label(example, source.num_classes)
        with tf.control_dependencies([tf.reduce_max(decode(example["image"]))]):
            return {**example, "bad": tf.constant(False)}

    def broken(example: dict[str, tf.Tensor]) -> dict[str, Any]:
        return {**example, "bad": tf.constant(True)}

    return map_or(examples, healthy, broken).filter(lambda example: example["bad"])


def label_error(error: tf.errors.OpError, source: Source, split: str) -> RunError | None:
    """The RunError to raise where a label is none of the source's; None for other errors."""
    found = wrong_label(error.message)
    if found is None:
        return None
    label, index = found
    return RunError(
        f"{source.place(split, index)} cannot be used: {source.label_fault(label)} Examples with "
        "such labels are never passed over, whatever on_error says."
    )


def explain_data_error(error: tf.errors.OpError, source: Source, split: str) -> RunError:
    """The RunError to raise when iterating a dataset over `split` raised `error`.

    The error says what is wrong but not where, and carrying the place through every map would
    cost time in each healthy step. So the split is read and decoded once more, in stored order,
    up to the first example that fails: minutes for ImageNet, after a run that is over anyway.
    Errors that are not about the data (a lost connection) are passed on without a search.
    """
    if of_label := label_error(error, source, split):
        return of_label
    what = plain_message(error)
    failed = f'Reading split "{split}" of source "{source.name}" failed: {what}'
    data_errors = tf.errors.InvalidArgumentError | tf.errors.DataLossError | tf.errors.NotFoundError
    if not isinstance(error, data_errors):
        return RunError(failed)
    logging.getLogger(__name__).warning("Data error (%s); looking for the bad example.", what)
    for example in bad_examples(source, split).take(1).as_numpy_iterator():
        index = int(example["index"])
        found = fault(example["image"], partial(source.why_unread, split, index))
        return RunError(
            f"{source.place(split, index)} cannot be used: {found} Write or copy "
            "the file again, remove it, or pass over it with --config.data.on_error=skip."
        )
    return RunError(
        f"{failed} All examples were read and decoded a second time without an error, so the "
        "cause is outside the data, or passed."
    )
