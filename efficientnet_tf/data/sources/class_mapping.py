"""Examples of one data set in the class numbers of a network that was trained on another."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source, with_checked_label
from efficientnet_tf.errors import UsageError, nearest


@dataclasses.dataclass(frozen=True, eq=False)
class RelabelledSource(Source):
    """A source whose labels are other numbers, see `relabelled`.

    Attributes:
        inner: the source as it is.
        table: int64 [inner.num_classes], the number of each of its classes here.
    """

    inner: Source
    table: tf.Tensor

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        """One pass, see `Source.examples`."""

        def renamed(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            example = with_checked_label(example, self.inner.num_classes)
            return {**example, "label": tf.gather(self.table, example["label"])}

        return self.inner.examples(split, how).map(renamed)

    def place(self, split: str, index: int) -> str:
        """Where the example is kept."""
        return self.inner.place(split, index)

    def label_fault(self, label: int) -> str:
        """See `Source.label_fault`: in the numbers of the source as it is."""
        return self.inner.label_fault(label)

    def why_unread(self, split: str, index: int) -> str:
        return self.inner.why_unread(split, index)


def relabelled(
    source: Source, table: np.ndarray, num_classes: int, class_names: tuple[str, ...] | None
) -> Source:
    """The source with label `table[k]` in place of k.

    Args:
        table: int64 [source.num_classes], each below `num_classes`.
        num_classes, class_names: of the network.
    """
    if num_classes == source.num_classes and np.array_equal(table, np.arange(num_classes)):
        return source
    with tf.device("CPU:0"):  # tf.data runs on the host; an accelerator would only be a detour
        numbers = tf.constant(table, tf.int64)
    return RelabelledSource(
        name=source.name,
        num_classes=num_classes,
        class_names=class_names,
        num_examples=source.num_examples,
        inner=source,
        table=numbers,
    )


def match_classes(
    source: Source, num_classes: int, class_names: Sequence[str] | None
) -> np.ndarray:
    """The network's class number of each class of a source: int64 [source.num_classes].

    By name where both have names (numbers in their order are none); else both must have equally
    many classes, which then are the same in the same order.

    Args:
        num_classes, class_names: of the network.

    Raises:
        UsageError: they do not fit, or a class of the source is none of the network's.
    """
    theirs = source.class_names
    if theirs and class_names and set(theirs) <= set(class_names):
        number = {name: place for place, name in enumerate(class_names)}
        return np.array([number[name] for name in theirs], np.int64)
    if theirs and class_names and not _are_numbers(theirs) and not _are_numbers(class_names):
        strange = [name for name in theirs if name not in set(class_names)]
        raise UsageError(
            f'--eval_source: {len(strange)} of the {len(theirs)} classes of "{source.name}" are '
            f'none of the run\'s {num_classes}, such as "{strange[0]}".'
            f"{nearest(strange[0], class_names)} Rename them, or give the names of the run's "
            "classes as that set spells them: --class_names=FILE."
        )
    if source.num_classes != num_classes:
        raise UsageError(
            f'--eval_source: "{source.name}" has {source.num_classes} classes and the run '
            f"{num_classes}; without names on both sides they must be equally many. Give the names "
            "of the run's classes: --class_names=FILE."
        )
    return np.arange(num_classes)


def _are_numbers(names: Sequence[str]) -> bool:
    """Whether the names say no more than the order does."""
    return list(names) == [str(number) for number in range(len(names))]
