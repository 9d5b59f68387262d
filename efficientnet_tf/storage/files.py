"""Whole files on a disk or in a bucket (gs://), read and written as one, and what a folder holds.

What is written appears by rename: a file is either the old one or the whole new one. TensorFlow is
loaded for buckets only, and its errors become OSErrors, like those of a disk.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from typing import IO, Any

from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.storage.paths import is_remote

_TRIED = 4096  # bytes, by which a full disk is told from a writable one

_MOST_JSON = 2**28  # bytes


class CannotWrite(RunError, OSError):
    """A file cannot be written; the message says which, why and what to do.

    Attributes:
        strerror: the reason alone, as of every OSError.
    """

    def __init__(self, path: str, error: BaseException) -> None:
        reason = getattr(error, "strerror", None) or first_line(error)
        super().__init__(
            f'"{path}" cannot be written: {reason}.\nFree space on its disk, or give a folder that '
            "is there and that you may write to; what was written before is still there."
        )
        self.strerror = reason


@contextlib.contextmanager
def _gfile() -> Iterator[Any]:
    """TensorFlow's functions on files; what they raise has its message in `strerror`."""
    import tensorflow as tf

    try:
        yield tf.io.gfile
    except tf.errors.OpError as error:
        translated = OSError(first_line(error))
        translated.strerror = str(translated)
        raise translated from error


def exists(path: str) -> bool:
    """Whether there is a file or folder, or a link, be it to nothing: whoever reads it says so."""
    if not is_remote(path):
        return os.path.lexists(path)
    with _gfile() as gfile:
        return gfile.exists(path)


def is_folder(path: str) -> bool:
    """Whether there is a folder; its name may be any bytes.

    Raises:
        OSError: a bucket cannot be reached, or refuses to say.
    """
    if not is_remote(path):
        return os.path.isdir(path)
    with _gfile() as gfile:  # whose isdir() takes a lost connection for an answer
        return gfile.exists(path) and gfile.isdir(path)


def irregular(mode: int) -> str:
    """What it is, by its `st_mode`, if it is neither a file nor a folder; else ""."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def check_regular(path: str, at_most: int | None = None) -> None:
    """Looks before anything is opened: a pipe would wait for ever, a device never end.

    Args:
        path: on this machine; in a bucket all is regular.
        at_most: bytes that the file may have.

    Raises:
        OSError: there is no such file, it is no regular one, or it is larger; `strerror` says it.
    """
    if is_remote(path):
        return
    status = os.stat(path)
    if found := irregular(status.st_mode):
        raise OSError(errno.EINVAL, f"it is {found}, not a regular file", path)
    if at_most is not None and stat.S_ISREG(status.st_mode) and status.st_size > at_most:
        too_large = f"it has {status.st_size:,} bytes, more than the {at_most:,} that are read"
        raise OSError(errno.EFBIG, too_large, path)


@contextlib.contextmanager
def opened(path: str, mode: str = "rb", at_most: int | None = None) -> Iterator[IO[bytes]]:
    """A file to be read ("rb"), of no more than `at_most` bytes, written ("wb") or added to ("ab").

    To be read from this machine it has no buffer: in large pieces nothing is copied twice and other
    threads run meanwhile, and TensorFlow's would fetch half a megabyte at every seek.

    Raises:
        OSError: it cannot be, or is no regular file.
    """
    if is_remote(path):
        with _gfile() as gfile, gfile.GFile(path, mode) as file:
            yield file
        return
    if mode == "rb":
        check_regular(path, at_most)
    with open(path, mode, 0 if mode == "rb" else -1) as file:
        yield file


def read_bytes(path: str, at_most: int | None = None) -> bytes:
    """The content of a file, of no more than `at_most` bytes.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with opened(path, at_most=at_most) as file:
            return file.read()
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise UsageError(f'"{path}" cannot be read: {reason}.') from error


def read_json(path: str) -> Any:
    """The content of a JSON file. Those of a run have a reader of their own, json_files.py.

    Raises:
        OSError: it cannot be read, or is far too large.
        ValueError: it holds no JSON.
    """
    with opened(path, at_most=_MOST_JSON) as file:
        return json.loads(file.read())


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """The path to write a new file to, which takes the place of `path` at the end of the block.

    It has the ending of `path`, and is hidden, so that nobody takes it for finished. If the block
    fails it is removed, and what was at `path` is still there.

    Raises:
        OSError: the new file cannot take its place.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{os.getpid()}.{name}")
    try:
        yield temporary
        if is_remote(path):
            with _gfile() as gfile:
                gfile.rename(temporary, path, overwrite=True)
        else:
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # it has its name, or is in a bucket: only when complete
            os.remove(temporary)


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file so that it is either the old one or the whole new one.

    Raises:
        CannotWrite: it cannot be written.
    """
    try:
        with replacing(path) as temporary, opened(temporary, "wb") as file:
            file.write(content)
    except OSError as error:
        raise CannotWrite(path, error) from error


def append_text(path: str, text: str) -> None:
    """Adds UTF-8 text to the end of a file, which is made if it is not there.

    Raises:
        CannotWrite: it cannot be written.
    """
    try:
        with opened(path, "ab") as file:
            file.write(text.encode())
    except OSError as error:
        raise CannotWrite(path, error) from error


def write_text(path: str, text: str) -> None:
    """`write_bytes` of UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: str, content: Any) -> None:
    """`write_bytes` of JSON."""
    write_text(path, f"{json.dumps(content, indent=2)}\n")


def check_writable(flag: str, path: str, *, make_folder: bool = False) -> None:
    """Tries whether a file can be made there; leaves nothing behind but its folder.

    In a bucket only writing the file itself could tell, so nothing is tried there.

    Args:
        flag: that named the path, as in "--output".
        make_folder: the folder of the file may be missing, and is made.

    Raises:
        UsageError: it cannot.
    """
    if is_remote(path):
        return
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(0, "it is a folder; give the name of a file")
        if make_folder:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        trial = os.path.join(os.path.dirname(path), f".{os.getpid()}.{os.path.basename(path)}")
        try:
            with open(trial, "ab") as file:
                file.write(bytes(_TRIED))
        finally:
            with contextlib.suppress(OSError):
                os.remove(trial)
    except OSError as error:
        raise UsageError(f'{flag}: "{path}" cannot be written: {error.strerror}.') from error


def entries(folder: str, is_file: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files in a folder, in any order.

    Args:
        is_file: whether a name is surely that of a file. A bucket mostly marks folders with a
            slash; asking about each other name would take a request.

    Raises:
        OSError: the folder cannot be listed.
    """
    folders: list[str] = []
    files: list[str] = []
    if is_remote(folder):
        with _gfile() as gfile:
            for name in gfile.listdir(folder):
                is_folder = name.endswith("/") or (
                    not is_file(name) and gfile.isdir(os.path.join(folder, name))
                )
                (folders if is_folder else files).append(name.rstrip("/"))
    else:
        with os.scandir(folder) as found:  # knows what is a folder without asking about each
            for entry in found:
                try:
                    is_folder = entry.is_dir()
                except OSError:  # a link to itself
                    if not is_file(entry.name):
                        raise
                    is_folder = False  # whoever reads it says so
                (folders if is_folder else files).append(entry.name)
    return folders, files
