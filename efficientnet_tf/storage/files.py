"""Whole files on a disk or in a bucket (gs://), read and written as one.

What is written appears by rename: a file is either the old one or the whole new one.
"""

import json
import os
from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import UsageError, first_line


def read_bytes(path: str) -> bytes:
    """The content of a file on a disk or in a bucket.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except (tf.errors.OpError, OSError) as error:
        raise UsageError(f'"{path}" cannot be read: {first_line(error)}.') from error


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file so that it is either the old one or the whole new one."""
    temporary = f"{path}.tmp{os.getpid()}"
    with tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(content)
    tf.io.gfile.rename(temporary, path, overwrite=True)


def read_json(path: str) -> Any:
    with tf.io.gfile.GFile(path) as file:
        return json.load(file)


def write_json(path: str, content: Any) -> None:
    """Writes JSON so that the file is either the old one or the whole new one."""
    write_bytes(path, f"{json.dumps(content, indent=2)}\n".encode())
