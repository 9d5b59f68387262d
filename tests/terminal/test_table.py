"""Tables for a terminal."""

import pytest

from efficientnet_tf.terminal.table import aligned


def test_text_stands_left_and_numbers_right() -> None:
    rows = [("name", "params", ""), ("b0", "5,288,548", "fits"), ("resnet-50", "1", "")]
    assert aligned(rows, "<><") == [
        "name          params",
        "b0         5,288,548  fits",
        "resnet-50          1",
    ]
    assert aligned(row[:2] for row in rows) == [
        "name          params",
        "b0         5,288,548",
        "resnet-50          1",
    ]


def test_the_last_side_is_that_of_all_others() -> None:
    rows = [("a", "b", "c", "d"), ("11", "22", "33", "44")]
    assert aligned(rows, "<<>") == ["a   b    c   d", "11  22  33  44"]
    assert aligned(rows) == ["a    b   c   d", "11  22  33  44"]


def test_rows_are_of_one_length() -> None:
    with pytest.raises(ValueError, match="shorter"):
        aligned([("a", "b"), ("c",)])
