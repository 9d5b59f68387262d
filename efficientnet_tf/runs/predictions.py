"""What a network answered to every example of a split, as one file.

predictions-<what>.npz in model_dir, a compressed numpy archive:
    places         int64 [n], ascending: `source.place(split, place)` names the file or record, and
                   it is the "index" of the example in `source.examples(split, ...)`
    labels         int32 [n], the true class numbers
    probabilities  float32 [n, classes]
"""

import io
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.archive import check_inflation
from efficientnet_tf.storage.files import read_bytes, write_bytes

# 0.8 GB in memory. Of a larger table only `scores.Outcomes` are kept, and no file is written.
MAX_VALUES = 200_000_000


@dataclass(frozen=True)
class Predictions:
    """Answers to n examples, in the order of their places.

    Attributes:
        places: int64 [n], ascending, each once.
        labels: int32 [n].
        probabilities: float32 [n, classes]; rows sum to 1.
    """

    places: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


# What numpy raises for an archive that is cut off, of something else or no archive at all.
_UNREADABLE = (
    *(KeyError, ValueError, OSError, EOFError, TypeError, AttributeError, RuntimeError),
    *(MemoryError, OverflowError, zipfile.BadZipFile, zlib.error),
)
_MOST_BYTES = 20 * MAX_VALUES  # what a file is inflated to, generously
_TYPES = {"places": np.int64, "labels": np.int32, "probabilities": np.float32}


def save(path: str, predictions: Predictions) -> None:
    """Writes the file so that it is either the old one or the whole new one."""
    buffer = io.BytesIO()
    arrays = {name: getattr(predictions, name).astype(kind) for name, kind in _TYPES.items()}
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def load(path: str) -> Predictions:
    """Reads what `save` wrote.

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    content = read_bytes(path)
    try:
        check_inflation("predictions", path, content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(each.file_size for each in archive.infolist()) > _MOST_BYTES:
                raise ValueError("its arrays are larger than any that are kept")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _TYPES}
        for name, kind in _TYPES.items():
            if np.dtype(kind).kind != arrays[name].dtype.kind:
                raise TypeError(f"{name} are of type {arrays[name].dtype}")
    except _UNREADABLE as error:
        raise UsageError(
            f'"{path}" holds no predictions ({type(error).__name__}: {error}). Expected a '
            "predictions-*.npz file that main.py --mode=eval wrote."
        ) from error
    found = Predictions(**arrays)
    shapes = [arrays[name].shape for name in _TYPES]
    expected = [(found.places.size,)] * 3
    if [shape[:1] for shape in shapes] != expected or [len(shape) for shape in shapes] != [1, 1, 2]:
        raise UsageError(
            f'"{path}" holds no predictions: expected places [n], labels [n] and probabilities '
            f"[n, classes], found {', '.join(map(str, shapes))}."
        )
    labels, classes = found.labels, found.probabilities.shape[1]
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise UsageError(
            f'"{path}" holds no predictions: expected labels of 0 to {classes - 1}, found '
            f"{labels.min()} to {labels.max()}."
        )
    return found
