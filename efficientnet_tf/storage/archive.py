"""Zip archives that others made: one that would take far more memory than its file is refused."""

import io
import os
import zipfile
from typing import Any

from efficientnet_tf.errors import UsageError

_LARGE = 2**26  # bytes, which any archive may take
_RATIO = 20  # weights and probabilities shrink to a half; what shrinks to a twentieth is no data


def check_inflation(flag: str, path: str, content: bytes | None = None) -> None:
    """Refuses an archive before anything of it is inflated. What is none passes.

    Args:
        flag: that named the path, as in "--from".
        content: of the file, if it was read already.

    Raises:
        UsageError: its members together are far larger than the file.
    """
    file: Any = path if content is None else io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        inflated = sum(member.file_size for member in archive.infolist())
    stored = os.path.getsize(path) if content is None else len(content)
    refuse_inflated(flag, path, inflated, stored)


def refuse_inflated(flag: str, path: str, inflated: int, stored: int) -> None:
    """Raises a UsageError where so many stored bytes would become far too many."""
    if inflated > max(_LARGE, _RATIO * stored):
        raise UsageError(
            f'{flag}: "{path}" would take {inflated / 1e6:,.0f} MB of memory, and its file has '
            f"{stored / 1e6:.1f}: no weights or answers are compressed so far, so it was not "
            "read.\nCopy it again, or save it without compression."
        )
