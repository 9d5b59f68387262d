"""Writes TFRecord files in the official layout, several side by side.

A file is written under another name, hashed and only then renamed: what has its name is whole.
"""

import contextlib
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import tensorflow as tf

from efficientnet_tf.data.broken import plain_message
from efficientnet_tf.data.images.header import ImageHeader
from efficientnet_tf.data.sources.manifest import FileEntry, sha256
from efficientnet_tf.errors import RunError
from efficientnet_tf.storage.paths import is_remote

# Of unfinished files; readers that look for train-* must not find them.
PARTIAL = "partial."
MAX_WAITING = 2**29  # bytes of records read but not yet written
_FRAME = 16  # bytes around each record of a TFRecord file: its length and two checksums


def serialise(
    encoded: bytes, header: ImageHeader, stored_label: int, class_name: str | None, filename: str
) -> bytes:
    """A tf.train.Example with the official names of the features; what is unknown is left out."""
    numbers = {"image/class/label": stored_label}
    texts = {
        "image/encoded": encoded,
        "image/format": header.format.encode(),
        "image/filename": filename.encode(),
    }
    if class_name is not None:
        texts["image/class/text"] = class_name.encode()
    if header.height and header.width:
        numbers.update({"image/height": header.height, "image/width": header.width})
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
        for name, text in texts.items()
    }
    for name, number in numbers.items():
        features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)  # the order of a map is not


def write_shard(output_dir: str, name: str, records: Iterable[bytes]) -> FileEntry:
    """Writes one file; without its whole contents there is no file of this name.

    Raises:
        RunError: it cannot be written, for example because the disk is full.
        And what `records` raises. Nothing stays behind in either case.
    """
    final, partial = os.path.join(output_dir, name), os.path.join(output_dir, PARTIAL + name)
    examples = size = 0
    with contextlib.ExitStack() as stack:
        local = partial
        if is_remote(output_dir):  # read back from here for the checksum, not from the bucket
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfrecords-"))
            local = os.path.join(scratch, name)
        try:
            with tf.io.TFRecordWriter(local) as writer:
                for record in records:
                    writer.write(record)
                    examples += 1
                    size += _FRAME + len(record)
            found = tf.io.gfile.stat(local).length
            if found != size:
                raise OSError(f"{found} of {size} bytes arrived.")
            digest = sha256(local)
            if local != partial:
                tf.io.gfile.copy(local, partial, overwrite=True)
            tf.io.gfile.rename(partial, final, overwrite=True)
        except BaseException as error:
            with contextlib.suppress(tf.errors.OpError, OSError):
                tf.io.gfile.remove(partial)
            if not isinstance(error, OSError | tf.errors.OpError):
                raise
            raise RunError(
                f"{final} could not be written: {plain_message(error)} Make room or check the "
                "folder, then run the same command again: finished files are kept."
            ) from error
    return FileEntry(name, examples, size, digest)


class _Abandoned(Exception):
    """Ends the writing of a file of which the rest will not come."""


class ShardWriters:
    """Threads that write files; each takes the records of one file after the other.

    Use as a context manager: leaving it waits for the files that are complete. What fails in a
    thread is raised by the next call.

    Args:
        output_dir: a folder or gs://bucket/folder.
        threads: files that are written at once.
        finished: called with each finished file, never by two threads at once.
    """

    def __init__(
        self, output_dir: str, threads: int, finished: Callable[[FileEntry], None]
    ) -> None:
        self._output_dir = output_dir
        self._finished = finished
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="shard")
        self._free = threading.Semaphore(threads)
        self._finishing = threading.Lock()  # its call may take long, so it has a lock of its own
        self._changed = threading.Condition()  # guards the next two
        self._waiting = 0  # bytes
        self._failure: BaseException | None = None
        self._open: queue.SimpleQueue[bytes | BaseException | None] | None = None

    def begin(self, name: str) -> None:
        """Begins a file, when a thread is free."""
        self._free.acquire()
        self._raise_failure()
        self._open = queue.SimpleQueue()
        self._pool.submit(self._write, name, self._open)

    def add(self, record: bytes) -> None:
        """Hands a record to the file begun last; waits while too many bytes are on their way."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._waiting < MAX_WAITING)
            self._waiting += len(record)
        self._raise_failure()
        self._end_of_open().put(record)

    def end(self) -> None:
        """The file begun last is complete."""
        self._end_of_open().put(None)
        self._open = None

    def __enter__(self) -> "ShardWriters":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open is not None:
            self._open.put(_Abandoned())
        self._pool.shutdown(wait=True)
        if error is None:
            self._raise_failure()

    def _end_of_open(self) -> "queue.SimpleQueue[bytes | BaseException | None]":
        if self._open is None:
            raise ValueError("no file was begun")
        return self._open

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _write(self, name: str, records: "queue.SimpleQueue[bytes | BaseException | None]") -> None:
        try:
            entry = write_shard(self._output_dir, name, self._taken(records))
            with self._finishing:
                self._finished(entry)
        except _Abandoned:
            pass
        except BaseException as error:  # raised again where the records come from
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()
        finally:
            self._free.release()

    def _taken(self, records: "queue.SimpleQueue[bytes | BaseException | None]") -> Iterator[bytes]:
        while (record := records.get()) is not None:
            if isinstance(record, BaseException):
                raise record
            yield record
            with self._changed:
                self._waiting -= len(record)
                self._changed.notify_all()
