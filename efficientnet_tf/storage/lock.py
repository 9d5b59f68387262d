"""Locks, by which one process tells others that it is at work; they end with the process."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from typing import IO

from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.files import CannotWrite
from efficientnet_tf.storage.paths import is_remote

NAME = "run.lock"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND


def lock(file: IO[bytes] | int) -> bool:
    """Locks an open file or folder until it is closed here and in the processes that inherit it.

    Args:
        file: or the number of what is open.

    On a folder that hosts share by NFS it counts for all of them.

    Returns:
        False if another process holds the lock. Always True where there are no locks: on Windows
        and on some network file systems.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second is how some systems say the same
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def held(folder: str) -> Iterator[None]:
    """Holds the lock of a folder, which is made if it is not there, for the length of the block.

    However the process ends, the lock ends with it; its file stays. If the block leaves nothing
    in a folder that it made, the folder is removed. Buckets have no locks.

    Raises:
        UsageError: another process holds it, or the folder cannot be written.
    """
    if is_remote(folder):
        yield
        return
    is_new = not os.path.exists(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(os.path.join(folder, NAME), _FLAGS, 0o666)
    except OSError as error:
        raise UsageError(
            f'--model_dir: "{folder}" cannot be written: {error.strerror}.\n'
            "Give a folder that you may write to."
        ) from error
    # Without a buffer, which would be written once more when the file is closed.
    with open(descriptor, "ab+", 0) as file:
        if not lock(file):
            file.seek(0)
            holder = file.read(200).decode("utf-8", "replace").strip()
            by = f" ({holder})" if holder.isprintable() and holder else ""
            raise UsageError(
                f'--model_dir: another process trains in "{folder}"{by}.\n'
                "Wait for it or stop it, or give another --model_dir."
            )
        try:
            file.truncate(0)
            who = f"process {os.getpid()} on {platform.node()}"
            file.write(f"{who}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
        except OSError as error:
            raise CannotWrite(os.path.join(folder, NAME), error) from error
        try:
            yield
        finally:
            if is_new and os.path.isdir(folder) and os.listdir(folder) == [NAME]:
                os.remove(os.path.join(folder, NAME))
                os.rmdir(folder)


@contextlib.contextmanager
def alone(flag: str, folder: str) -> Iterator[None]:
    """Holds a folder that is there, without a file in it, for the length of the block.

    Args:
        flag: that named the folder, as in "--output_dir".

    Raises:
        UsageError: another process holds it.
    """
    try:
        descriptor = None if is_remote(folder) else os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders; and what cannot be opened is said by who reads it
        descriptor = None
    try:
        if descriptor is not None and not lock(descriptor):
            raise UsageError(
                f'{flag}: another process is at work in "{folder}".\n'
                "Wait for it or stop it, or give another folder."
            )
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
