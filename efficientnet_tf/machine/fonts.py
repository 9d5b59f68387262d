"""Letters that the fonts of this machine lack, such as those of a class name in Chinese."""

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def missing_letters_are_boxes() -> Iterator[None]:
    """Within the block matplotlib draws a box for such a letter without a warning for each.

    In an SVG whose text stays text whoever looks at it sees the letter, if their fonts have it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from")
        yield
