"""Another set's examples in a network's class numbers."""

import re

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.sources.class_mapping import match_classes, relabelled
from efficientnet_tf.data.sources.in_memory import ArraySource, array_source
from efficientnet_tf.errors import UsageError


def source(names: tuple[str, ...] | None, classes: int) -> ArraySource:
    images = np.zeros((classes, 4, 4, 3), np.uint8)
    splits = {"test": (images, np.arange(classes))}
    return array_source("others", splits, num_classes=classes, class_names=names)


@pytest.mark.parametrize(
    ("theirs", "classes", "ours", "expected"),
    [
        (("dog", "ant"), 2, ("ant", "cat", "dog"), [2, 0]),  # by name
        (("1", "0"), 2, ("0", "1", "2"), [1, 0]),
        (None, 3, ("ant", "cat", "dog"), [0, 1, 2]),  # by number
        (("ant", "cat"), 2, None, [0, 1]),
        (None, 2, None, [0, 1]),
        (("0", "1"), 2, ("ant", "cat"), [0, 1]),  # these names say no more than the order
    ],
)
def test_classes_are_matched_by_name_else_by_number(
    theirs: tuple[str, ...] | None,
    classes: int,
    ours: tuple[str, ...] | None,
    expected: list[int],
) -> None:
    number = len(ours) if ours else classes
    found = match_classes(source(theirs, classes), number, ours)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("theirs", "classes", "ours", "message"),
    [
        (
            ("dogs", "cat", "bird"),
            3,
            ("ant", "cat", "dog"),
            '2 of the 3 classes of "others" are none of the run\'s 3, such as "dogs". Did you '
            'mean "dog"? Rename them, or give',
        ),
        (None, 2, ("ant", "cat", "dog"), '"others" has 2 classes and the run 3; without names'),
        (("0", "1"), 2, ("ant", "cat", "dog"), '"others" has 2 classes and the run 3; without'),
    ],
)
def test_classes_that_do_not_fit_are_refused(
    theirs: tuple[str, ...] | None, classes: int, ours: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        match_classes(source(theirs, classes), 3, ours)


def test_labels_are_translated_and_all_else_stays() -> None:
    inner = source(("dog", "ant"), 2)
    found = relabelled(inner, np.array([2, 0]), 3, ("ant", "cat", "dog"))
    assert (found.name, found.num_classes, found.size("test")) == ("others", 3, 2)
    assert found.place("test", 1) == inner.place("test", 1)

    def numbers(which: ArraySource) -> list[tuple[int, int]]:
        examples = which.examples("test")
        return [(int(e["index"]), int(e["label"])) for e in examples.as_numpy_iterator()]

    assert numbers(inner) == [(0, 0), (1, 1)]
    assert numbers(found) == [(0, 2), (1, 0)]
    spec = found.examples("test").element_spec
    assert spec["label"] == tf.TensorSpec([], tf.int64)


def test_what_needs_no_translation_is_left_alone() -> None:
    inner = source(None, 2)
    assert relabelled(inner, np.arange(2), 2, None) is inner
    more = relabelled(inner, np.arange(2), 5, None)
    assert more.num_classes == 5
