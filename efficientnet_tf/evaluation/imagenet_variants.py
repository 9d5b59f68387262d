"""ImageNet-V2, -A, -R and ReaL labels, for networks of ImageNet's classes.

- V2 (Recht et al. 2019, arXiv 1902.10811): class folders named by class number, "0" to "999", in
  the published order: that of the WordNet IDs. As text, "10" would come before "2".
- A (Hendrycks et al. 2019, arXiv 1907.07174) and R (Hendrycks et al. 2020, arXiv 2006.16241): 200
  of the classes each, folders named by WordNet ID. As in the authors' code, the network answers
  among those classes alone: all other logits are left out before the largest is taken.
- ReaL (Beyer et al. 2020, arXiv 2006.07159): real.json has for the k-th validation image (from
  1) the list of all classes that are right, in the published order of classes. An answer is right
  if it is in the list; images with an empty list are left out.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.prepare.inventory import read_class_names
from efficientnet_tf.data.sources.class_mapping import RelabelledSource
from efficientnet_tf.data.sources.files import FileSource
from efficientnet_tf.data.sources.records import RecordSource
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.evaluation.imagenet_submission import read_ids
from efficientnet_tf.evaluation.scores import Outcomes
from efficientnet_tf.storage.files import read_bytes

_WORDNET_ID = re.compile(r"n\d{8}")
_VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})\b")
# Of official TFRecords and of TFDS' ImageNet.
_NAME_FEATURES = ("image/filename", "file_name")
_READ_AT_ONCE = 256


def read_names(path: str, num_classes: int) -> tuple[str, ...]:
    """The file of --class_names: one name a line, in the order of the network's classes.

    Of a line that begins with a WordNet ID that alone is taken, as in LOC_synset_mapping.txt. For
    the folder of ImageNet's development kit the names are its WordNet IDs in their order.

    Raises:
        UsageError: it cannot be read, or has another number of names.
    """
    if os.path.isdir(path):
        names = sorted(read_ids(path))
    else:
        lines = [line.strip() for line in read_class_names(path)]
        found = [_WORDNET_ID.match(line) for line in lines]
        names = [each[0] if each else line for each, line in zip(found, lines, strict=True)]
    if len(names) != num_classes or len(set(names)) != num_classes:
        raise UsageError(
            f"--class_names must name the run's {num_classes} classes, one a line, each once; "
            f'"{path}" has {len(names)} lines, {len(set(names))} different ones.'
        )
    return tuple(names)


def published_classes(num_classes: int, class_names: Sequence[str] | None) -> np.ndarray:
    """The network's class number of each number in the published order: int64 [num_classes].

    Without names the network's order is taken for the published one, as in the official TFRecords
    and all published checkpoints.

    Raises:
        UsageError: the names are not WordNet IDs, so nobody knows.
    """
    if class_names is None:
        return np.arange(num_classes)
    _require_ids(class_names)
    return np.argsort(np.array(class_names), kind="stable")


def v2_classes(source: Source, num_classes: int, class_names: Sequence[str] | None) -> np.ndarray:
    """The network's class number of each class folder of ImageNet-V2.

    Raises:
        UsageError: the folders are not "0" to the number of classes, or see `published_classes`.
    """
    names = source.class_names or ()
    if sorted(names) != sorted(str(number) for number in range(num_classes)):
        raise UsageError(
            f"--eval_variant=imagenet-v2: the class folders must be named 0 to {num_classes - 1}, "
            f'found {len(names)}, such as "{names[0] if names else ""}". Unpack '
            "imagenetv2-matched-frequency.tar.gz (or another of its three sets) and give that "
            "folder; sets with WordNet IDs need no --eval_variant."
        )
    published = published_classes(num_classes, class_names)
    return published[[int(name) for name in names]]


def subset_classes(source: Source, variant: str, class_names: Sequence[str] | None) -> np.ndarray:
    """The network's class number of each class folder of ImageNet-A or -R.

    Raises:
        UsageError: a folder is no class of the network, or its classes have no WordNet IDs.
    """
    if class_names is None:
        raise UsageError(
            f"--eval_variant={variant}: the run does not know the names of its classes, which tell "
            "which of them the folders are. Give their WordNet IDs, one a line in the order of "
            "the classes, or the folder of ImageNet's development kit: --class_names=FILE."
        )
    _require_ids(class_names)
    number = {name: place for place, name in enumerate(class_names)}
    names = source.class_names or ()
    strange = [name for name in names if name not in number]
    if strange:
        raise UsageError(
            f"--eval_variant={variant}: the class folders must be WordNet IDs of the run's classes;"
            f' {len(strange)} of {len(names)} are not, such as "{strange[0]}".'
        )
    return np.array([number[name] for name in names], np.int64)


def _require_ids(class_names: Sequence[str]) -> None:
    strange = [name for name in class_names if not _WORDNET_ID.fullmatch(name)]
    if strange:
        raise UsageError(
            f'--eval_variant: the run\'s classes are named otherwise ("{strange[0]}") than by '
            'WordNet IDs ("n01440764"), so their order is not known. Give these IDs, one a line '
            "in the order of the classes: --class_names=FILE."
        )


def read_real_labels(path: str, num_classes: int) -> list[list[int]]:
    """real.json: for each validation image the classes that are right.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(read_bytes(path))
    except ValueError as error:
        raise UsageError(f'--real_labels: "{path}" is no JSON ({error}).') from error
    if not isinstance(content, list) or not all(
        _are_classes(each, num_classes) for each in content
    ):
        raise UsageError(
            f'--real_labels: "{path}" must hold a list for each validation image of the class '
            f"numbers, 0 to {num_classes - 1}, that are right for it."
        )
    return content


def _are_classes(numbers: Any, num_classes: int) -> bool:
    return isinstance(numbers, list) and all(
        type(number) is int and 0 <= number < num_classes for number in numbers
    )


def real_accuracy(
    found: Outcomes, numbers: Sequence[int], labels: Sequence[Sequence[int]], published: np.ndarray
) -> dict[str, Any]:
    """ReaL accuracy for JSON: "top1" over "examples", and how many are "without_labels".

    Args:
        numbers: of each example's validation image, from 1.
        labels: see `read_real_labels`.
        published: see `published_classes`.

    Raises:
        RunError: there is an image that the labels do not reach, or none of them has a label.
    """
    if max(numbers) > len(labels):
        raise RunError(
            f"--real_labels has {len(labels)} entries, too few for ILSVRC2012_val_"
            f"{max(numbers):08d}. Download the file again."
        )
    right = [
        predicted in published[labels[number - 1]]
        for predicted, number in zip(found.predicted, numbers, strict=True)
        if labels[number - 1]
    ]
    if not right:
        raise RunError("--real_labels has no label for any of the images that were evaluated.")
    return {
        "top1": float(np.mean(right)),
        "examples": len(right),
        "without_labels": len(numbers) - len(right),
    }


def describe_real(real: Mapping[str, Any]) -> str:
    """`ReaL top-1 83.12 %  (46837 images, 3163 without labels left out)`."""
    return (
        f"ReaL top-1 {100 * real['top1']:.2f} %  ({real['examples']} images, "
        f"{real['without_labels']} without labels left out)"
    )


def validation_numbers(source: Source, split: str, places: np.ndarray) -> list[int]:
    """The number of each example's file ILSVRC2012_val_NNNNNNNN.JPEG.

    Args:
        places: of examples in the split, see Predictions.

    Raises:
        RunError: the source does not say its file names, or they are not ImageNet's.
    """
    names = _file_names(source, split, places)
    matches = [_VALIDATION.search(name) for name in names]
    for name, match, place in zip(names, matches, places, strict=True):
        if match is None:
            raise RunError(
                "--eval_variant=real needs images of ImageNet's validation set by their names, "
                f'ILSVRC2012_val_NNNNNNNN.JPEG; {source.place(split, place)} is "{name}". Give '
                "the set as class folders: --eval_source=folder:DIR."
            )
    return [int(match[1]) for match in matches if match]


def _file_names(source: Source, split: str, places: np.ndarray) -> list[str]:
    if isinstance(source, RelabelledSource):
        source = source.inner
    if isinstance(source, FileSource):
        return [os.path.basename(source.place(split, int(place))) for place in places]
    if not isinstance(source, RecordSource):
        return [""] * len(places)
    numbers, records = np.divmod(places, 2**32)  # see data/sources/records.py
    names: list[str] = []
    for number in np.unique(numbers):
        of_file = np.array(_record_names(source.files[split].paths[number]), object)
        names += list(of_file[records[numbers == number]])
    return names


def _record_names(path: str) -> list[str]:
    """The file name that each record of a file tells, or ""."""
    features = {name: tf.io.FixedLenFeature([], tf.string, "") for name in _NAME_FEATURES}

    def parse(records: tf.Tensor) -> tf.Tensor:
        parsed = tf.io.parse_example(records, features)
        return tf.strings.join([parsed[name] for name in _NAME_FEATURES])

    batches = tf.data.TFRecordDataset(path).batch(_READ_AT_ONCE).map(parse)
    return [name.decode() for batch in batches.as_numpy_iterator() for name in batch]
