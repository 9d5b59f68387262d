"""What happens to an example that cannot be read or decoded, when the run is not to stop.

`map_or` keeps its place in the stream: whatever fails, one element comes out for each that goes
in, so that batches, positions and resumed runs are those of the same data without damage.
`BadExamples` is the list of what was met: each named once, and an end when there are too many.
"""

import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import RunError

_AT_ONCE = 16  # examples on their way; fixed, though the order does not depend on it


def map_or(
    dataset: tf.data.Dataset,
    function: Callable[..., Any],
    otherwise: Callable[..., Any],
    *,
    deterministic: bool = True,
) -> tf.data.Dataset:
    """`dataset.map(function)`, but `otherwise` of the same element where `function` fails.

    Both must return the same types and, where static, shapes. Each element gets a small data set
    of its own, the only place where tf.data can catch an error: dearer than `map`.
    """

    def one(*element: Any) -> tf.data.Dataset:
        single = tf.data.Dataset.from_tensors(element)
        good = single.map(function).ignore_errors()
        return good.concatenate(single.map(otherwise)).take(1)

    return dataset.interleave(
        one,
        cycle_length=_AT_ONCE,
        block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=deterministic,
    )


def plain_message(error: Exception) -> str:
    """The message without the names of TensorFlow's nodes and iterators, ending with a stop."""
    message = getattr(error, "message", str(error))
    message = re.sub(r"\{\{function_node .*?\}\}|\[\[.*?\]\]|\[Op:.*", "", message)
    trace = r'(<stack traces unavailable>|(\s*File "[^\n]*\n)+)'
    message = re.sub(rf"Graph execution error:\s+Detected at node [^\n]*:\s*{trace}", "", message)
    message = re.sub(r"Error in user-defined function .*? with iterator: \S+: ", "", message)
    message = " ".join(message.split())
    return message if message.endswith(".") else f"{message}."


class BadExamples:
    """The examples of one split that could not be used, in the order in which they were met.

    Args:
        place: the path for an example's index, see `Source.place`.
        limit: so many are let pass; one more is too many.
    """

    def __init__(self, place: Callable[[int], str], limit: int) -> None:
        self._place = place
        self._limit = limit
        self._reasons: dict[int, str] = {}
        self._lock = threading.Lock()  # tf.data calls from threads of its own

    def add(self, index: int, reason: str) -> None:
        """Logs an example when it is met for the first time."""
        with self._lock:
            if index in self._reasons:
                return
            self._reasons[index] = reason
        logging.getLogger(__name__).warning("skipped %s: %s", self._place(index), reason)

    def __len__(self) -> int:
        return len(self._reasons)

    def check(self) -> None:
        """Raises a RunError if there are more than the limit."""
        if len(self) > self._limit:
            first, reason = next(iter(self._reasons.items()))
            raise RunError(
                f"{len(self)} examples cannot be used, more than data.max_bad_examples = "
                f"{self._limit} allows; the first is {self._place(first)}: {reason} "
                "`python main.py check-data` lists them all. Repair the data, or raise the limit."
            )
