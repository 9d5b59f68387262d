"""A lock of a file, by which one process tells others that it is at work."""

from typing import IO


def lock(file: IO[bytes]) -> bool:
    """Locks an open file until it is closed here and in the processes that inherit it.

    Returns:
        False if another process holds the lock. Always True on Windows, which has none.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
