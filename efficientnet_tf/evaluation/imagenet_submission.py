"""Predictions of ImageNet's test set as its server takes them (the paper's Table 8).

Source: readme.txt of the ILSVRC2012 development kit, "Submission and evaluation", task 1. A text
file with one line for each image, in alphabetical order of the file names; on each line at most
five ILSVRC2012_IDs, whole numbers of 1 to 1000, best first, separated by spaces. These IDs are
not the class numbers of the usual networks, which count the WordNet IDs in alphabetical order: the
kit's data/meta.mat (later kits: data/map_clsloc.txt) tells which is which.
"""

import os
import re
from collections.abc import Mapping, Sequence

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.inference.prediction_table import (
    FilePrediction,
    Prediction,
    Unusable,
    write_file,
)
from efficientnet_tf.terminal.shown import shown

CLASSES = 1000
TEST_IMAGES = 100_000
LABELS = 5
_TABLES = ("meta.mat", "map_clsloc.txt")
_WORDNET_ID = re.compile(r"n\d{8}")


def read_ids(devkit: str) -> dict[str, int]:
    """ILSVRC2012_ID of each WordNet ID.

    Args:
        devkit: the folder of the development kit, or one of its two tables.

    Raises:
        UsageError: there is no such table, or it does not list 1000 classes.
    """
    path = _table_path(devkit)
    try:
        pairs = _meta(path) if path.endswith(".mat") else _map(path)
    except Exception as error:  # damaged MATLAB files raise many kinds
        raise UsageError(f'--devkit: "{path}" cannot be read: {error}.') from error
    ids = dict(pairs)
    if sorted(ids.values()) != list(range(1, CLASSES + 1)):
        raise UsageError(
            f'--devkit: "{path}" must give the IDs 1 to {CLASSES} to as many WordNet IDs, found '
            f"{len(ids)}."
        )
    return ids


def _table_path(devkit: str) -> str:
    if os.path.isfile(devkit) and os.path.basename(devkit) in _TABLES:
        return devkit
    for name in _TABLES:
        for path in (os.path.join(devkit, "data", name), os.path.join(devkit, name)):
            if os.path.isfile(path):
                return path
    raise UsageError(
        f"--devkit must be the folder of ImageNet's development kit (ILSVRC2012_devkit_t12, with "
        f'data/meta.mat or data/map_clsloc.txt), received "{devkit}".'
    )


def _meta(path: str) -> list[tuple[str, int]]:
    from scipy.io import loadmat  # comes with scikit-learn

    synsets = loadmat(path, squeeze_me=True)["synsets"]
    rows = [(str(row["WNID"]), int(row["ILSVRC2012_ID"])) for row in synsets]
    return [row for row in rows if row[1] <= CLASSES]  # those above are no classes but groups


def _map(path: str) -> list[tuple[str, int]]:
    with open(path, encoding="utf-8") as file:
        rows = [line.split() for line in file if line.strip()]
    return [(row[0], int(row[1])) for row in rows]


def ids_by_class(
    ids: Mapping[str, int], classes: int, class_names: Sequence[str] | None
) -> list[int]:
    """ILSVRC2012_ID of each class number of a network.

    Class names that are WordNet IDs say it; else the classes are the WordNet IDs in alphabetical
    order, as in the official TFRecords, keras.applications and all published checkpoints.

    Raises:
        UsageError: the network's classes are not ImageNet's.
    """
    if classes != CLASSES:
        raise UsageError(
            f"--submission needs a network of ImageNet's {CLASSES} classes, this one has {classes}."
        )
    if class_names and all(_WORDNET_ID.fullmatch(name) for name in class_names):
        unknown = [name for name in class_names if name not in ids]
        if unknown:
            raise UsageError(f'--submission: class "{unknown[0]}" is not in the development kit.')
        return [ids[name] for name in class_names]
    return [ids[name] for name in sorted(ids)]


def write_submission(path: str, outcomes: Sequence[FilePrediction], ids: Sequence[int]) -> None:
    """Writes the file; nothing if an image is missing, for each line after it would be wrong.

    Raises:
        RunError: an image could not be used, or the file cannot be written.
    """
    predictions = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    missing = [outcome for outcome in outcomes if isinstance(outcome, Unusable)]
    if missing:
        raise RunError(
            f'--submission: "{path}" was not written: every image needs its line, and '
            f"{shown(missing[0].path)} could not be used. Copy the file again."
        )
    ordered = sorted(predictions, key=lambda each: os.path.basename(each.path))
    lines = [" ".join(str(ids[number]) for number in each.classes[:LABELS]) for each in ordered]
    write_file(path, "".join(f"{line}\n" for line in lines).encode())
