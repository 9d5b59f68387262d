"""Whether an export answers as the model in memory does, in the runtime it was made for.

Bounds, stated here and printed: a format that keeps float32 must agree to 1e-4 in every
probability; smaller ones may differ more, and must keep the best class of so many images. What does
not hold is not kept, except an int8 file of a network that 8 bits do not suit; formats.py says why.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.export.runtimes import artefact_bytes, open_artefact

_TIMED, _WARM = 20, 3


@dataclass(frozen=True)
class Bound:
    """What a format may lose: the largest difference of a probability, the least agreement."""

    difference: float
    agreement: float = 0.0


BOUNDS = {
    "float32": Bound(1e-4),
    "float16": Bound(0.02, 0.95),
    "bfloat16": Bound(0.10, 0.95),
    "dynamic": Bound(0.20, 0.95),
    "int8": Bound(0.50, 0.95),
}


@dataclass(frozen=True)
class Proof:
    """The comparison on some images.

    Attributes:
        images: how many were compared.
        agreement: share whose best class is the same, in [0, 1].
        largest_difference, mean_difference: of a probability.
        top1, top1_in_memory: accuracy of the export and of the model, if labels are known.
        bytes: size of the export.
        milliseconds: median of 20 answers to one image (a fixed batch counts as one answer).
        bound: what was required.
    """

    artefact: str
    images: int
    agreement: float
    largest_difference: float
    mean_difference: float
    top1: float | None
    top1_in_memory: float | None
    bytes: int
    milliseconds: float
    bound: Bound

    @property
    def holds(self) -> bool:
        return (
            self.largest_difference <= self.bound.difference
            and self.agreement >= self.bound.agreement
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "holds": self.holds}

    def __str__(self) -> str:
        accuracy = ""
        if self.top1 is not None and self.top1_in_memory is not None:
            accuracy = (
                f", top-1 {100 * self.top1:.1f} % ({100 * self.top1_in_memory:.1f} in memory)"
            )
        return (
            f"{self.artefact} ({self.bytes / 1e6:.1f} MB, {self.milliseconds:.1f} ms an image): "
            f"reloaded, on {self.images} images the same best class for "
            f"{100 * self.agreement:.1f} %, largest difference of a probability "
            f"{self.largest_difference:.1g}{accuracy}"
        )


def prove(
    path: str,
    images: np.ndarray,
    expected: np.ndarray,
    bound: Bound,
    *,
    labels: np.ndarray | None = None,
    called: str | None = None,
) -> Proof:
    """Loads an export and compares its answers with those of the model in memory.

    Args:
        path: of the artefact, see `runtimes`.
        images: as the model reads them, float32 [images, size, size, 3].
        expected: probabilities of the model in memory, [images, classes].
        labels: int [images], if known.
        called: the artefact's name in the proof, if it is to be moved; default: path.
    """
    run = open_artefact(path)
    answers = run(images)
    difference = np.abs(answers - expected)
    best, wanted = answers.argmax(1), expected.argmax(1)
    return Proof(
        artefact=called or path,
        images=len(images),
        agreement=float(np.mean(best == wanted)),
        largest_difference=float(difference.max()),  # NaN if any is: Python's max would lose it
        mean_difference=float(difference.mean()),
        top1=None if labels is None else float(np.mean(best == labels)),
        top1_in_memory=None if labels is None else float(np.mean(wanted == labels)),
        bytes=artefact_bytes(path),
        milliseconds=_milliseconds(run, images[:1]),
        bound=bound,
    )


def difference_from_files(
    directory: str, encoded: Sequence[bytes], expected: np.ndarray, batch: int | None
) -> float:
    """The largest difference of a probability for undecoded images (signature serving_default).

    Args:
        batch: images of a request, or None for any number.
    """
    loaded = tf.saved_model.load(directory)
    size, differences = batch or len(encoded), []
    for start in range(0, len(encoded), size):
        part = list(encoded[start : start + size])
        request = part + part[:1] * (size - len(part))
        answers = loaded.signatures["serving_default"](image_bytes=tf.constant(request))
        differences.append(
            answers["probabilities"].numpy()[: len(part)] - expected[start : start + size]
        )
    return float(np.abs(np.concatenate(differences)).max())


def _milliseconds(run: Any, images: np.ndarray) -> float:
    seconds = []
    for _ in range(_WARM + _TIMED):
        started = time.perf_counter()
        run(images)
        seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds[_WARM:])
