"""ImageNet, or any set in its layout, from TFRecord files on a disk or in a bucket.

The layout is that of the official code: `train-00000-of-01024` ..., `validation-00000-of-00128`
..., each record a tf.train.Example with `image/encoded` and `image/class/label` (1..1000). What
`main.py prepare` writes has this layout, too, with a manifest and, if the source has a
minival split, `minival-*` files.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.files import check_folder
from efficientnet_tf.data.sources.found import advice
from efficientnet_tf.data.sources.holdout import PAPER_MINIVAL, choose_rows, default_count
from efficientnet_tf.data.sources.records import (
    FILES_READ_AT_ONCE,
    Parse,
    RecordFiles,
    RecordSource,
    check_record_files,
    count_records,
)
from efficientnet_tf.errors import UsageError, whole_number
from efficientnet_tf.storage.paths import expanded

LAYOUT = "train-00000-of-01024 ..., validation-00000-of-00128 ..."
IMAGENET_TRAIN, IMAGENET_TEST = 1_281_167, 50_000  # examples
IMAGENET_LAYOUT = (1000, 1024, 128)  # classes, train files, validation files
_LOOKED_AT = 16  # files, and records of each, whose labels are looked at first


def tfrecord_source(
    data_dir: str | None,
    *,
    num_classes: int | None = None,
    minival_shards: int | None = 20,
    minival: int = 0,
    split_seed: int = 0,
    label_offset: int = 1,
    checksums: bool = False,
) -> RecordSource:
    """A source of the TFRecord files in `data_dir` (a folder or gs://bucket/folder).

    "test" are the validation-* files. "minival" are `minival` training images chosen by
    `split_seed` (25,000 in the paper); with 0 the minival-* files if there are any, else the
    first `minival_shards` train-* files (20 in the official code: 25,022 of ImageNet), else, if
    that is None, a tenth of the training images, at most 25,000.

    Counts come from the manifest. Without one they are known for ImageNet in 1,024 + 128 files;
    otherwise every record's header is read once, which takes long on a bucket.

    Args:
        num_classes: None: as the manifest says, else 1000, with a warning where the labels of some
            records reach less than half as far.
        label_offset: the stored number of class 0, if there is no manifest.
        checksums: compare the contents of all files with the manifest, not only their sizes.

    Raises:
        UsageError: folder or files are missing, no training image would be left, or some record
            has a label below `label_offset`.
        RunError: a file differs from what the manifest says, or has to be counted and is cut off.
    """
    check_folder(
        data_dir,
        f"with TFRecord files {LAYOUT} (without ImageNet at hand, use the data set digits or "
        "synthetic)",
    )
    data_dir = expanded(data_dir or "")
    stored = manifest.read(data_dir)
    classes = num_classes or (stored.num_classes if stored else IMAGENET_LAYOUT[0])
    if stored:
        if classes != stored.num_classes:
            raise UsageError(
                f"num_classes must be {stored.num_classes}, as {manifest.MANIFEST} in {data_dir} "
                f"says, received {classes}. Leave it out."
            )
        manifest.verify(stored, data_dir, checksums=checksums)
        files = {split: _listed(data_dir, entries) for split, entries in stored.files.items()}
    else:
        if checksums:
            raise UsageError(
                f"data_dir has no {manifest.MANIFEST} with checksums to verify: {data_dir}. Write "
                "one with `python main.py prepare --manifest_only`, or do not ask for it."
            )
        files = {
            "train": RecordFiles(_find_files(data_dir, "train")),
            "test": RecordFiles(_find_files(data_dir, "validation")),
        }
        if tf.io.gfile.glob(f"{data_dir}/minival-*-of-*"):
            files["minival"] = RecordFiles(_find_files(data_dir, "minival"))
    lengths = [len(files[split].paths) if split in files else 0 for split in ("train", "test")]
    is_imagenet = (classes, *lengths) == IMAGENET_LAYOUT
    offset = stored.label_offset if stored else label_offset
    if not stored or stored.origin is None:
        _check_labels(
            data_dir, files["train"].paths, classes, offset, assumed=not (num_classes or stored)
        )
    by_shards = not minival and minival_shards is not None
    if not stored and not (is_imagenet and by_shards):
        files = {split: _counted(found) for split, found in files.items()}
    if minival or ("minival" not in files and not by_shards):
        files["train"], files["minival"] = _hold_out_images(files["train"], minival, split_seed)
    elif "minival" not in files:
        files["train"], files["minival"] = _hold_out_files(files["train"], minival_shards)
    return RecordSource(
        name=stored.name if stored else "imagenet" if is_imagenet else "tfrecord",
        num_classes=classes,
        class_names=stored.class_names if stored else None,
        num_examples=_num_examples(files),
        files=files,
        parse=official_parser(offset),
        label_offset=offset,
    )


def _check_labels(
    data_dir: str, paths: Sequence[str], classes: int, offset: int, *, assumed: bool
) -> None:
    """Looks at the labels of some training records before a run is built on them.

    Args:
        classes: 0..classes-1 are meant, stored with `offset` added.
        assumed: nobody said how many classes there are.
    """
    chosen = list(paths[:: -(-len(paths) // _LOOKED_AT)])
    records = tf.data.Dataset.from_tensor_slices(chosen).interleave(
        lambda path: tf.data.TFRecordDataset(path).take(_LOOKED_AT), cycle_length=_LOOKED_AT
    )
    parse = official_parser(0)
    # What cannot be read is said, or passed over, when its turn comes.
    labels = records.map(lambda record: parse(record)[1]).ignore_errors()
    found = sorted({int(label) for label in labels.as_numpy_iterator()})
    if not found:
        return
    low, high = found[0], found[-1]
    if low < offset and high < low + classes:  # else single labels are wrong; reading names them
        begins = "; the official layout counts from 1" if offset == 1 else f", not at {offset}"
        raise UsageError(
            f"labels in {data_dir} begin at {low}{begins}. Say where they begin: "
            f"--config.data.label_offset={low} (check-data and prepare: --label_offset={low}), or "
            f"in a new manifest: prepare --manifest_only --label_offset={low}."
        )
    if assumed and 2 * (high - offset + 1) < classes:
        logging.getLogger(__name__).warning(
            "%s does not say how many classes there are, so %d are taken; but labels of the %d "
            "training files looked at are no more than %d. Give the number of classes: "
            "--config.data.num_classes (check-data and prepare: --classes).",
            data_dir,
            classes,
            len(chosen),
            high,
        )


def official_parser(label_offset: int) -> Parse:
    """Reads a tf.train.Example in the official layout; `label_offset` is the number of class 0."""

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = tf.io.parse_single_example(
            record,
            {
                "image/encoded": tf.io.FixedLenFeature([], tf.string),
                "image/class/label": tf.io.FixedLenFeature([], tf.int64),
            },
        )
        return features["image/encoded"], features["image/class/label"] - label_offset

    return parse


def _listed(data_dir: str, entries: tuple[manifest.FileEntry, ...]) -> RecordFiles:
    """The files of a split in a manifest."""
    return RecordFiles(
        [os.path.join(data_dir, entry.name) for entry in entries],
        np.array([entry.examples for entry in entries], np.int64),
    )


def _counted(files: RecordFiles) -> RecordFiles:
    with ThreadPoolExecutor(FILES_READ_AT_ONCE) as pool:  # waiting for a bucket, mostly
        return RecordFiles(files.paths, np.array(list(pool.map(count_records, files.paths))))


def _hold_out_images(files: RecordFiles, minival: int, seed: int) -> tuple[RecordFiles, ...]:
    """Train and minival of the same files: which records belong to which is decided by `seed`."""
    total = int(files.kept_counts().sum())
    minival = minival or default_count(total, at_most=PAPER_MINIVAL)
    held_out = np.zeros(total, bool)
    held_out[choose_rows(total, minival, seed)] = True
    return tuple(RecordFiles(files.paths, files.counts, kept) for kept in (~held_out, held_out))


def _hold_out_files(files: RecordFiles, shards: int | None) -> tuple[RecordFiles, ...]:
    """Train and minival: the first `shards` files are minival."""
    if shards is None or whole_number(shards, -(2**63)) is None:
        raise UsageError(f"minival_shards must be a whole number, received {shards!r}.")
    total = len(files.paths)
    if not 0 <= shards < total:
        raise UsageError(
            f"minival_shards must leave training files: {shards} of the {total} train-* files in "
            f"{os.path.dirname(files.paths[0])} were to be held out. Choose 0 to {total - 1}, or "
            "hold out single images with minival."
        )
    return tuple(
        RecordFiles(files.paths[part], None if files.counts is None else files.counts[part])
        for part in (slice(shards, None), slice(shards))
    )


def _num_examples(files: Mapping[str, RecordFiles]) -> dict[str, int]:
    """Examples of each split; of ImageNet's files they need not be counted."""
    sizes = {
        split: 0 if found.counts is None else int(found.kept_counts().sum())
        for split, found in files.items()
    }
    if files["train"].counts is None:
        shards = len(files["minival"].paths)
        sizes["minival"] = int(IMAGENET_TRAIN * shards / IMAGENET_LAYOUT[1])  # as official
        sizes["train"] = IMAGENET_TRAIN - sizes["minival"]
        sizes["test"] = IMAGENET_TEST
    return {split: sizes.get(split, 0) for split in ("train", "minival", "test")}


def _find_files(data_dir: str, prefix: str) -> tuple[str, ...]:
    """The complete set `prefix`-NNNNN-of-MMMMM in a folder, in order."""
    names = [os.path.basename(path) for path in tf.io.gfile.glob(f"{data_dir}/{prefix}-*")]
    matches = [re.fullmatch(rf"{prefix}-(\d{{5}})-of-(\d{{5}})", name) for name in sorted(names)]
    totals = {int(match[2]) for match in matches if match}
    if len(totals) != 1:
        found = "none" if not totals else f"sets of {' and of '.join(map(str, sorted(totals)))}"
        raise UsageError(
            f"data_dir must hold one set of {prefix}-NNNNN-of-MMMMM files ({LAYOUT}), found "
            f"{found} in {data_dir}.\n{advice(data_dir)}"
        )
    total = totals.pop()
    expected = [f"{prefix}-{number:05d}-of-{total:05d}" for number in range(total)]
    missing = sorted(set(expected) - set(names))
    if missing:
        listed = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UsageError(
            f"data_dir lacks {len(missing)} of {total} {prefix} files: {listed} (in {data_dir}). "
            "Finish the download or conversion."
        )
    paths = tuple(os.path.join(data_dir, name) for name in expected)
    check_record_files(paths)
    return paths
