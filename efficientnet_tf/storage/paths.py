"""Whether a path is of this machine or of a bucket (gs://), and what follows from it."""

import os


def is_remote(path: str) -> bool:
    """Whether TensorFlow has to reach the path: gs://bucket/file, or another scheme of it."""
    return "://" in path


def expanded(path: str) -> str:
    """With the home folder in the place of a first `~`."""
    return path if is_remote(path) else os.path.expanduser(path)


def within(folder: str, path: str) -> str:
    """A path that is relative to a folder, unless it is absolute or in a bucket."""
    return path if is_remote(path) else os.path.join(folder, path)
