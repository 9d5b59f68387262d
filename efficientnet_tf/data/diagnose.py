"""From TensorFlow's data error, which names neither file nor record, to one that does."""

import itertools
import logging
import re

import tensorflow as tf

from efficientnet_tf.data.preprocessing import decode
from efficientnet_tf.data.source import Source
from efficientnet_tf.errors import RunError


def explain_data_error(error: tf.errors.OpError, source: Source, split: str) -> RunError:
    """The RunError to raise when iterating a dataset over `split` raised `error`.

    The error says what is wrong but not where, and carrying the place through every map would
    cost time in each healthy step. So the split is read and decoded once more, in stored order,
    up to the first example that fails: minutes for ImageNet, after a run that is over anyway.
    Errors that are not about the data (a lost connection) are passed on without a search.
    """
    what = _plain(error)
    if not isinstance(error, tf.errors.InvalidArgumentError | tf.errors.DataLossError):
        return RunError(f'Reading split "{split}" of source "{source.name}" failed: {what}')
    logging.getLogger(__name__).warning("Data error (%s); looking for the bad example.", what)
    for place, examples in source.parts(split):
        # In order, so that the n-th failure to produce is the n-th record.
        decoded = examples.map(
            lambda example: tf.reduce_max(decode(example["image"])),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        iterator = iter(decoded)
        for number in itertools.count():
            try:
                next(iterator)
            except StopIteration:
                break
            except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as found:
                return RunError(
                    f"{place}, record {number} (counted from 0) cannot be used: {_plain(found)} "
                    "Write or copy the file again, or remove the record."
                )
    return RunError(
        f'Reading split "{split}" of source "{source.name}" failed: {what} '
        "All examples were read and decoded a second time without an error, so the cause is "
        "outside the data, or passed."
    )


def _plain(error: tf.errors.OpError) -> str:
    """The message without the names of TensorFlow's nodes and iterators, ending with a stop."""
    message = re.sub(r"\{\{function_node .*?\}\}|\[\[.*?\]\]|\[Op:.*", "", error.message)
    trace = r'(<stack traces unavailable>|(\s*File "[^\n]*\n)+)'
    message = re.sub(rf"Graph execution error:\s+Detected at node [^\n]*:\s*{trace}", "", message)
    message = re.sub(r"Error in user-defined function .*? with iterator: \S+: ", "", message)
    message = " ".join(message.split())
    return message if message.endswith(".") else f"{message}."
