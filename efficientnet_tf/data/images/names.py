"""Which files are images by their names, and which of those are read; which names mean nothing."""

import os

from efficientnet_tf.storage.files import check_regular

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")  # in any case

MAX_BYTES = 2**30  # of a file; more than any image that is decoded has without compression

# What file managers, archives and servers leave behind, in lower case.
_LITTER = frozenset(
    ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information")
    + ("lost+found", "__pycache__", "thumbs.db", "desktop.ini")
)


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Whether a file or folder is nobody's data: hidden by a first dot, or left by a program."""
    return name.startswith(".") or name.lower() in _LITTER


def why_not_read(path: str) -> str:
    """What is wrong with a file on this machine by a look at it, unopened; "" if nothing is."""
    try:
        check_regular(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        return getattr(error, "strerror", None) or str(error)
    return ""
