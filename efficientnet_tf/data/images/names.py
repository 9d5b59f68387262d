"""Which files are images by their names: those that `decoding` reads."""

import os

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")  # in any case


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS
