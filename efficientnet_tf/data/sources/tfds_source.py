"""Image sets of TensorFlow Datasets (TFDS), by name or from the folder of a prepared set.

TFDS finds the set, downloads and prepares it if need be, and knows its splits and features. The
records are read by `RecordSource`, so that order, shares of the hosts and resuming are as for all
other sources, and images stay encoded until they are cropped.

Splits: "test" is the set's test split, or its validation split if there is no test split or its
labels are hidden (stored as -1). "minival" is the validation split if it is not test. What is
missing then is held out of train.
"""

import fnmatch
import os
import re
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import plain_message
from efficientnet_tf.data.sources.holdout import (
    PAPER_MINIVAL,
    SPLIT_NAMES,
    choose_rows,
    default_count,
    name_splits,
)
from efficientnet_tf.data.sources.records import (
    Parse,
    RecordFiles,
    RecordSource,
    check_record_files,
)
from efficientnet_tf.data.sources.tfds_features import check_features
from efficientnet_tf.errors import RunError, UsageError, nearest, whole_number
from efficientnet_tf.machine.packages import require
from efficientnet_tf.storage.paths import expanded, is_remote

# tensorflow_datasets is imported where it is used, because few runs need it; its types are Any.

TFRECORD = "tfrecord"  # TFDS's name of the format


def tfds_source(
    name: str,
    data_dir: str | None = None,
    *,
    minival: int = 0,
    test: int = 0,
    split_seed: int = 0,
) -> RecordSource:
    """A source of the TFDS set `name`; it is prepared first if it is not on disk.

    Args:
        name: "cifar10", "imagenet2012:5.*.*", "set/config", or the folder of a prepared set (with
            dataset_info.json), for which neither network nor the set's code are needed.
        data_dir: where TFDS keeps its sets (default: $TFDS_DATA_DIR, else ~/tensorflow_datasets),
            or the folder of this set.
        minival: so many images of train, chosen by `split_seed`, even if there is a validation
            split for it; 0: that split, else a tenth of train, at most 25,000.
        test: so many images of train, for a set without test and validation split; 0: a tenth.

    Raises:
        UsageError: no such set, it is not one of labelled images in TFRecord files, or splits that
            cannot be.
        RunError: the set is not on disk and TFDS could not prepare it.
    """
    for argument, value in (("minival", minival), ("test", test)):
        if whole_number(value, 0) is None:
            raise UsageError(
                f"{argument} must be a whole number of images, or 0 for the default, received "
                f"{value!r}."
            )
    require(f"data.source=tfds:{name}", "tensorflow_datasets")
    builder = _prepared_builder(expanded(name), data_dir and expanded(data_dir))
    where = f'the data set "tfds:{name}"'
    image_key, label_key = _image_and_label(builder.info, where)
    parse = _parser(builder.info.features, image_key, label_key)
    files = _files_of_splits(builder, parse, where)
    counts = {}
    total = int(files["train"].kept_counts().sum())
    if "test" not in files:
        counts["test"] = test or default_count(total)
    elif test:
        raise UsageError(
            f"test must be 0, received {test}: {where} has a test or validation split of its own. "
            "Drop the number."
        )
    if minival or "minival" not in files:
        counts["minival"] = minival or default_count(total, at_most=PAPER_MINIVAL)
    if counts:
        files |= _held_out(files["train"], counts, split_seed, where)
    label = builder.info.features[label_key]
    return RecordSource(
        name=f"tfds:{name}",
        num_classes=label.num_classes,
        class_names=tuple(label.names),
        num_examples={
            split: int(files[split].kept_counts().sum()) for split in ("train", "minival", "test")
        },
        files=files,
        parse=parse,
    )


def _prepared_builder(name: str, data_dir: str | None) -> Any:
    """TFDS's object for the set, whose files are on disk, as TFRecords."""
    import tensorflow_datasets as tfds

    check_features(name, data_dir)
    if _is_set(name):
        if data_dir:
            raise UsageError(
                f"data_dir must not be given when the set is a folder itself, received "
                f'"{data_dir}" with "tfds:{name}". Drop it.'
            )
        builder = tfds.builder_from_directory(name)
    elif data_dir and _is_set(data_dir):
        builder = tfds.builder_from_directory(data_dir)
        _check_same_set(name, data_dir, builder.info.full_name)
    else:
        builder = _builder_by_name(name, data_dir)
        if not tf.io.gfile.exists(builder.data_dir):
            _prepare(builder, name)
    _check_format(builder, name)
    return builder


def _is_set(folder: str) -> bool:
    return tf.io.gfile.exists(os.path.join(folder, "dataset_info.json"))


def _builder_by_name(name: str, data_dir: str | None) -> Any:
    """From prepared files if there are any, else from the code of the set."""
    import tensorflow_datasets as tfds

    if name.startswith(("/", ".")) or is_remote(name):
        raise UsageError(
            f'the data set "tfds:{name}" is a folder without dataset_info.json. Give the folder '
            "of a prepared set, with its version, such as ~/tensorflow_datasets/cifar10/3.0.2, "
            "or its name and data_dir."
        )
    where = data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    # Any version, because only for a stated version does TFDS look for files before code: of a
    # set on disk the code may be gone, or be of a newer version.
    version = {} if ":" in name else {"version": "*.*.*"}
    try:
        return tfds.builder(name, data_dir=data_dir, **version)
    except tfds.core.registered.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)  # those are listed on the web
        raise UsageError(
            f'the data set "tfds:{name}" is not known to tensorflow_datasets {tfds.__version__} '
            f"and not prepared in {where}. Check name and version, or give its data_dir."
            + nearest(re.split("[/:]", name)[0], known)
        ) from error
    except Exception as error:  # of many types: no such config or version, not well-formed, ...
        reason = textwrap.shorten(plain_message(error), 300, placeholder=" ...")
        raise UsageError(
            f'the data set "tfds:{name}" cannot be loaded from {where}: {reason} It must be '
            "given as tfds:name, tfds:name/config or tfds:name:1.*.*."
        ) from error


def _check_same_set(name: str, data_dir: str, full_name: str) -> None:
    """A `data_dir` with a set in it must be the one asked for: all parts that `name` states."""
    parts = full_name.split("/")  # set, config if it has any, version
    if not all(fnmatch.filter(parts, part) for part in re.split("[/:]", name)):
        raise UsageError(
            f'data_dir {data_dir} holds the set "{full_name}", not "{name}". Give the folder of '
            "the other set, or the folder that has both."
        )


def _prepare(builder: Any, name: str) -> None:
    """Downloads the set and writes its files."""
    steps = " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
    try:
        builder.download_and_prepare(file_format=TFRECORD)
    except Exception as error:  # what the code of a set may raise is not listed anywhere
        reason = plain_message(error)
        if steps not in reason:
            reason = f"{reason} {steps}"
        raise (UsageError if steps else RunError)(
            f'the data set "tfds:{name}" is not in {builder.data_dir} and could not be prepared '
            f"there: {textwrap.shorten(reason, 500, placeholder=' ...')} Prepare it where there "
            "is a network (with this command, or tfds build --file_format=tfrecord), and give its "
            "folder as data_dir."
        ) from error


def _check_format(builder: Any, name: str) -> None:
    """TFRecords must be among the formats that the set is kept in."""
    formats = sorted(found.value for found in builder.info.available_file_formats())
    if TFRECORD not in formats:
        raise UsageError(
            f'the data set "tfds:{name}" must be stored as tfrecord, found {", ".join(formats)} '
            f"in {builder.data_dir}. Give another data_dir, in which it will be prepared anew, or "
            "prepare it with tfds build --file_format=tfrecord."
        )


def _image_and_label(info: Any, where: str) -> tuple[str, str]:
    """The names of the two features."""
    import tensorflow_datasets as tfds

    image_key, label_key = "image", "label"
    keys: list[Any] = list(info.supervised_keys or ())
    # Some sets name a nest of features there, or a third for weights.
    if len(keys) >= 2 and all(isinstance(key, str) for key in keys):
        image_key, label_key = keys[0], keys[1]
    is_dict = isinstance(info.features, tfds.features.FeaturesDict)
    features = dict(info.features.items()) if is_dict else {}
    if image_key not in features or label_key not in features:
        found = ", ".join(f'"{key}"' for key in sorted(features)) or type(info.features).__name__
        raise UsageError(
            f'{where} must have the features "{image_key}" and "{label_key}", found {found}. '
            "Choose a set for image classification."
        )
    image, label = features[image_key], features[label_key]
    encoded = isinstance(image, tfds.features.Image) and image.np_dtype != np.float32
    pixels = isinstance(image, tfds.features.Tensor) and image.np_dtype == np.uint8
    shape = list(image.shape) if encoded or pixels else []
    if len(shape) != 3 or (pixels and shape[-1] not in (1, 3)):
        raise UsageError(
            f'the feature "{image_key}" of {where} must be an Image, or a uint8 Tensor of height, '
            f"width and 1 or 3 channels, found {image!r}. Choose a set for image classification."
        )
    if not isinstance(label, tfds.features.ClassLabel) or not label.num_classes:
        raise UsageError(
            f'the feature "{label_key}" of {where} must be a ClassLabel with a known number of '
            f"classes, found {label!r}. Choose a set for image classification."
        )
    return image_key, label_key


def _parser(features: Any, image_key: str, label_key: str) -> Parse:
    """Reads the two features; an Image stays encoded."""
    import tensorflow_datasets as tfds

    wanted = tfds.features.FeaturesDict({key: features[key] for key in (image_key, label_key)})
    encoded = isinstance(features[image_key], tfds.features.Image)
    decoders = {image_key: tfds.decode.SkipDecoding()} if encoded else None

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = wanted.deserialize_example(record, decoders=decoders)
        image = example[image_key]
        if not encoded and image.shape[-1] == 1:
            image = tf.image.grayscale_to_rgb(image)
        return image, example[label_key]

    return parse


def _files_of_splits(builder: Any, parse: Parse, where: str) -> dict[str, RecordFiles]:
    """The files of our splits as far as the set has them, with labels: "train" at least."""
    present = set(tf.io.gfile.listdir(builder.data_dir))
    files = {}
    for split, info in builder.info.splits.items():
        if split.lower() in SPLIT_NAMES and info.num_examples:
            template = info.filename_template.replace(filetype_suffix=TFRECORD)
            paths = template.sharded_filepaths(info.num_shards)
            counts = np.array(info.shard_lengths, np.int64)
            files[split] = RecordFiles([os.fspath(path) for path in paths], counts)
            _check_present(files[split], present, where)
    if not any(SPLIT_NAMES[split.lower()] == "train" for split in files):
        found = ", ".join(f'"{split}"' for split in builder.info.splits) or "no splits"
        raise UsageError(
            f'{where} must have a split "train" with examples, found {found} in '
            f"{builder.data_dir}. Choose another set, or prepare it again."
        )
    labelled = [
        split
        for split, found in files.items()
        if SPLIT_NAMES[split.lower()] == "train" or _has_labels(found, parse)
    ]
    ours = name_splits(labelled, f"the splits of {where}")
    return {ours[split]: files[split] for split in labelled}


def _with_examples(files: RecordFiles) -> list[str]:
    counts = np.asarray(files.counts)
    return [path for path, count in zip(files.paths, counts, strict=True) if count]


def _check_present(files: RecordFiles, present: set[str], where: str) -> None:
    needed = [os.path.basename(path) for path in _with_examples(files)]
    if missing := sorted(set(needed) - present):
        listed = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UsageError(
            f"{where} lacks {len(missing)} of {len(needed)} files: {listed} (in "
            f"{os.path.dirname(files.paths[0])}). Copy or prepare it again."
        )
    check_record_files(files.paths)


def _has_labels(files: RecordFiles, parse: Parse) -> bool:
    """Whether the first record has a label: those of a competition's test split are hidden."""
    first = tf.data.TFRecordDataset(_with_examples(files)[0]).take(1)
    try:
        labels = [int(parse(record)[1]) for record in first]
    except tf.errors.OpError:
        return True  # the pass over the split will say what is wrong, and where
    return labels != [-1]


def _held_out(
    train: RecordFiles, counts: Mapping[str, int], seed: int, where: str
) -> dict[str, RecordFiles]:
    """The splits in `counts` and what they leave of train, all of them in train's files."""
    total = int(train.kept_counts().sum())
    if sum(counts.values()) >= total:
        asked = " and ".join(f"{split} = {count}" for split, count in counts.items())
        raise UsageError(
            f"{' and '.join(counts)} must leave training images: {asked} were to be held out of "
            f"the {total} of {where}. Ask for fewer."
        )
    owner = np.full(total, "train", object)
    for split, count in counts.items():
        left = np.flatnonzero(owner == "train")
        owner[left[choose_rows(len(left), count, seed)]] = split
    return {
        split: RecordFiles(train.paths, train.counts, owner == split)
        for split in ("train", *counts)
    }
