"""A folder of class folders: `DIR/CLASS/...`, or `DIR/train/CLASS/...` and more splits beside it.

Labels follow the sorted names of the class folders, as in Keras and torchvision.

Differences from keras.utils.image_dataset_from_directory and torchvision's ImageFolder: splits
are recognised by their names; an empty class folder, a lone one and two that are spelt almost
alike are errors; files that are no images are counted and mentioned; symbolic links cannot loop;
buckets (gs://) are read as well.
"""

import collections
import dataclasses
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from efficientnet_tf.data.images.names import EXTENSIONS, is_hidden, is_image, why_not_read
from efficientnet_tf.data.sources.files import (
    FileSource,
    check_class_names,
    check_folder,
    check_same_classes,
    file_source,
)
from efficientnet_tf.data.sources.holdout import (
    SPLIT_NAMES,
    all_in_test,
    hold_out_missing,
    name_splits,
)
from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.files import entries
from efficientnet_tf.storage.paths import expanded, is_remote
from efficientnet_tf.terminal.shown import shown

_LISTED_AT_ONCE = 16  # folders; on a bucket or a network disk most of the time is waiting

_Identity = tuple[int, int]  # of a folder: device and inode


@dataclasses.dataclass
class _Found:
    """What lies in a class folder, by paths relative to it."""

    images: list[str] = dataclasses.field(default_factory=list)  # sorted, folder after folder
    others: list[str] = dataclasses.field(default_factory=list)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)  # images; why
    folders: set[_Identity] = dataclasses.field(default_factory=set)  # itself and those below


@dataclasses.dataclass
class _Split:
    """A folder of class folders.

    `prefix` is "train/" and the like, or "" if there are no split folders; `files` are those
    beside the class folders.
    """

    prefix: str
    files: list[str]
    classes: dict[str, _Found]


def folder_source(
    data_dir: str, *, minival: int = 0, test: int = 0, split_seed: int = 0, whole: bool = False
) -> FileSource:
    """A source of the images in `data_dir`, a folder on a disk or gs://bucket/folder.

    If there is a folder `train` (or `training`) of class folders, its neighbours `minival`, `val`
    (`valid`, `validation`) and `test` (`testing`) are splits as well: val is minival beside a
    test folder and test without one, as for ImageNet. Otherwise the folders in `data_dir` are the
    classes. What is missing of minival and test is held out of train by the names of the files.

    Images are the files that end with one of `EXTENSIONS`, at any depth below their class folder.

    Args:
        minival: images to hold out; 0: about a tenth of train, at most 25,000.
        test: images to hold out; 0: about a tenth of train.
        split_seed: which ones these are.
        whole: every image is in test, for evaluation alone.

    Raises:
        UsageError: no such folder, no images, fewer than two classes, an empty class, classes that
            are spelt almost alike or differ between splits, a split that would be empty.
    """
    root = os.path.join(expanded(data_dir), "")
    check_folder(data_dir, "that holds a folder for each class")
    splits = {split: _scan(root, prefix) for split, prefix in _prefixes(root).items()}
    _check_images(root, splits.values())
    folders = _class_folders(root, splits)

    paths: list[str] = []
    labels: list[int] = []
    rows = {}
    for split, scanned in splits.items():
        first = len(paths)
        for label, name in enumerate(folders):
            images = scanned.classes[name].images if name in scanned.classes else []
            paths += [f"{scanned.prefix}{name}/{image}" for image in images]
            labels += [label] * len(images)
        rows[split] = np.arange(first, len(paths))
    table = np.array(labels, np.int64)
    if whole:
        rows = all_in_test(len(table))
    else:
        rows = hold_out_missing(
            table, paths, rows, minival=minival, test=test, seed=split_seed, where=root
        )
    whole_path = root.rstrip("/") if is_remote(root) else os.path.abspath(root)
    return file_source(
        f"folder:{os.path.basename(whole_path)}",
        root=root,
        paths=paths,
        labels=table,
        rows=rows,
        class_names=tuple(map(_name, folders)),
    )


def _name(folder: str) -> str:
    """The name of a class folder as text: names are bytes, which Python may read as it likes."""
    try:
        return folder if is_remote(folder) else os.fsencode(folder).decode("utf-8")
    except UnicodeError:
        return folder  # refused by `check_class_names`


def _prefixes(root: str) -> dict[str, str]:
    """The folder of each split, such as "train/"; train is "" if classes lie in `root` itself."""
    folders, _ = _entries(root)
    named = [name for name in folders if name.lower() in SPLIT_NAMES]
    trains = [name for name in named if SPLIT_NAMES[name.lower()] == "train"]
    nested = any(_entries(os.path.join(root, name))[0] for name in trains)
    # A class can be called "train", too; then it holds images, and has neighbours of other names.
    if not nested and (not named or len(named) < len(folders)):
        return {"train": ""}
    unused = [name for name in folders if name not in named]
    if unused:
        logging.getLogger(__name__).warning(
            "%s is read as splits (%s); not used: %s.", root, ", ".join(named), _some(unused)
        )
    found = name_splits(named, f"the folders of {root}")
    return {split: f"{name}/" for name, split in found.items()}


def _scan(root: str, prefix: str) -> _Split:
    """Lists a folder of class folders."""
    folder = os.path.join(root, prefix)
    classes, files = _entries(folder)
    ancestors = {_identity(root), _identity(folder)} - {None}
    with ThreadPoolExecutor(_LISTED_AT_ONCE) as pool:
        found = pool.map(lambda name: _scan_class(os.path.join(folder, name), ancestors), classes)
        split = _Split(prefix, files, dict(zip(classes, found, strict=True)))
    owner: dict[_Identity, str] = {}
    for name, below in split.classes.items():
        for identity in below.folders:
            if owner.setdefault(identity, name) != name:
                raise UsageError(
                    f'a folder must belong to one class, but "{owner[identity]}" and "{name}" in '
                    f"{folder} share one through a symbolic link. Remove the link."
                )
    return split


def _scan_class(folder: str, ancestors: set[_Identity | None]) -> _Found:
    """Lists a class folder and all below; symbolic links are followed, but none twice or upward."""
    found = _Found()
    pending = [""]
    while pending:
        inner = pending.pop()
        identity = _identity(os.path.join(folder, inner))
        if identity is not None:
            if identity in ancestors or identity in found.folders:
                continue
            found.folders.add(identity)
        folders, files = _entries(os.path.join(folder, inner))
        pending += [f"{inner}{name}/" for name in reversed(folders)]
        for name in files:
            if not is_image(name):
                found.others.append(inner + name)
            elif reason := _refusal(os.path.join(folder, inner, name)):
                found.refused[inner + name] = reason
            else:
                found.images.append(inner + name)
    return found


def _refusal(path: str) -> str:
    """Why a file is not even opened; one that cannot be found is, when its turn comes."""
    if is_remote(path) or not os.path.exists(path):
        return ""
    return why_not_read(path)


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """The names of the folders and of the files in `folder`, sorted, without hidden ones."""
    try:
        folders, files = entries(folder, is_image)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be listed: {error.strerror}. Check its permissions and links."
        ) from error
    return _visible(folders), _visible(files)


def _visible(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not is_hidden(name))


def _identity(folder: str) -> _Identity | None:
    """None in a bucket, which has no links, and for a folder that cannot be listed anyway."""
    if is_remote(folder):
        return None
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_images(root: str, splits: Iterable[_Split]) -> None:
    """Refuses a folder without images in class folders; mentions what will not be used."""
    loose, others, images = [], [], 0
    refused: list[str] = []
    for split in splits:
        beside = [split.prefix + name for name in split.files if is_image(name)]
        loose += beside
        others += [split.prefix + name for name in split.files if not is_image(name)]
        for name, found in split.classes.items():
            others += [f"{split.prefix}{name}/{other}" for other in found.others]
            images += len(found.images)
            refused += [
                f"{split.prefix}{name}/{image} ({why})" for image, why in found.refused.items()
            ]
        if split.prefix and not any(found.images for found in split.classes.values()):
            raise UsageError(
                f"{root}{split.prefix} must hold class folders with images, found none"
                + (f", and {len(beside)} images directly in it" if beside else "")
                + ". Sort its images into a folder for each class, or move it away."
            )
    if not images:
        raise UsageError(
            f"data_dir must hold a folder of images for each class; in {root} there are "
            f"{f'{len(loose)} images, but not in class folders' if loose else 'no images'} "
            f"(looked for {', '.join(EXTENSIONS)}; other files: {_by_extension(others)})."
        )
    log = logging.getLogger(__name__)
    if refused:
        log.warning(
            "%d images in %s cannot be read and are not used: %s.",
            len(refused),
            root,
            _some(refused),
        )
    if loose:
        log.warning(
            "%d images in %s lie beside the class folders and are not used: %s.",
            len(loose),
            root,
            _some(loose),
        )
    if others:
        log.warning(
            "%d files in %s are not images by their names and are not used: %s, such as %s.",
            len(others),
            root,
            _by_extension(others),
            shown(others[0]),
        )


def _class_folders(root: str, splits: Mapping[str, _Split]) -> tuple[str, ...]:
    """The sorted class folders of train, once they have been found to be in order."""
    train = splits["train"]
    where = f"the folders of {root}{train.prefix}"
    names = tuple(sorted(train.classes))
    hint = " If the classes are folders inside that one, give it as data_dir."
    check_class_names(tuple(map(_name, names)), where, hint)
    empty = [name for name in names if not train.classes[name].images]
    if empty:
        raise UsageError(
            f"each class folder must hold images, found none for {_some(empty)} in {where} "
            f"(looked for {', '.join(EXTENSIONS)}). Add images, or remove the folder."
        )
    for split, scanned in splits.items():
        # A folder left empty in minival or test is no class.
        held = [name for name, found in scanned.classes.items() if found.images]
        check_same_classes(names, held, split, root)
    return names


def _by_extension(files: Sequence[str]) -> str:
    counts = collections.Counter(os.path.splitext(file)[1] or "no extension" for file in files)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common(5)) or "none"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f'"{shown(name)}"' for name in names[:3]) + more
