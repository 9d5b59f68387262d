"""Starts TensorFlow without its start-up noise; nothing else imports before this in a command.

TensorFlow's C++ part writes several lines to standard error before it reads its own log level.
They are held back during the import and shown only if the import fails.
"""

import contextlib
import ctypes
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import absl.logging

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine import chips, packages
from efficientnet_tf.terminal.shown import LINE_ENDS, shown

# What Keras' wrappers and plots and TFLite's converter import where it is installed: a third of the
# time of a start. No command uses those; whatever needs a package imports it afterwards.
_OPTIONAL = ("jax", "matplotlib", "sklearn")
# Parameters of glibc's mallopt, from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def _keep_freed_memory() -> None:
    """Tells glibc to keep freed memory instead of giving it back to the system at once.

    A training step on a CPU frees and asks for the same large blocks again and again; clearing
    their pages anew took a third of the time of small networks. Nothing happens elsewhere.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_MMAP_THRESHOLD, 2**25)  # the largest value it takes
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 2**28)


class _Shown(logging.Formatter):
    """Names of files and classes in a message do not steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record), keep=LINE_ENDS)


def _plain_messages() -> None:
    """Log messages are written for the user: the sentence alone, without level, time and place.

    Before TensorFlow and its companions, which would set a format of their own; where absl's
    `app.run` was quicker its handler is told.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Shown("%(message)s"))
    logging.basicConfig(handlers=[handler])
    of_absl = absl.logging.get_absl_handler()
    if of_absl is not None:
        of_absl.setFormatter(_Shown("%(message)s"))


@contextlib.contextmanager
def stderr_held_back() -> Iterator[None]:
    """Hides what C++ code writes to standard error, unless an exception ends the block."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held_back.seek(0)
            sys.stderr.write(held_back.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def _as_if_missing(names: tuple[str, ...]) -> Iterator[None]:
    """Imports of these packages fail inside the block, as where they are not installed."""
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in names if name not in modules]
    modules.update(dict.fromkeys(hidden))  # None is Python's own sign for it
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras quietly, on the TensorFlow backend.

    Raises:
        UsageError: KERAS_BACKEND asks for another backend, which the training code cannot use, or
            the import would end the process.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UsageError(
            f'the environment variable KERAS_BACKEND is "{backend}", but training, evaluation and '
            'export run on TensorFlow. Unset it or set it to "tensorflow".'
        )
    packages.check_import()
    chips.spare_metadata_lookups()
    _keep_freed_memory()
    _plain_messages()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters becomes an exception
    with stderr_held_back(), _as_if_missing(_OPTIONAL):
        tensorflow = import_module("tensorflow")
        import_module("keras")
        tensorflow.config.list_physical_devices("GPU")  # says that there is no CUDA
