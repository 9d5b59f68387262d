"""The manifest of TFRecord files that were written by another program."""

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from efficientnet_tf.data.prepare.journal import JOURNAL
from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.files import check_folder
from efficientnet_tf.data.sources.manifest import PREFIXES, FileEntry, Manifest, file_name
from efficientnet_tf.data.sources.records import check_record_files, count_records
from efficientnet_tf.errors import UsageError, whole_number
from efficientnet_tf.storage.files import read_bytes
from efficientnet_tf.terminal.progress import progress_bar
from efficientnet_tf.terminal.shown import is_plain, shown


def write_manifest(
    data_dir: str,
    *,
    num_classes: int,
    label_offset: int = 1,
    class_names: Sequence[str] | None = None,
    name: str = "",
    checksums: bool = True,
) -> Manifest:
    """Counts the records of the files in `data_dir` and writes their manifest there.

    The files are those of the official layout, train-00000-of-01024 ..., and optionally minival-*
    files. Of each record only the header is read, but `checksums` needs every byte.

    Args:
        num_classes: labels are 0..num_classes-1.
        label_offset: the stored number of class 0.
        class_names: one per label, if known.
        name: of the data set; by default the folder's.

    Raises:
        UsageError: files are missing, or an argument does not fit.
        RunError: a file is cut off.
    """
    if whole_number(num_classes) is None:
        raise UsageError(
            f"num_classes must be a whole number of at least 1, received {num_classes!r}."
        )
    if class_names is not None and len(class_names) != num_classes:
        raise UsageError(
            f"class_names must be one per class ({num_classes}), received {len(class_names)}."
        )
    names = _complete_sets(data_dir)

    def entry(file: str) -> FileEntry:
        path = os.path.join(data_dir, file)
        digest = manifest.sha256(path) if checksums else ""
        return FileEntry(file, count_records(path), tf.io.gfile.stat(path).length, digest)

    listed = [file for files in names.values() for file in files]
    with (
        ThreadPoolExecutor(manifest.FILES_AT_ONCE) as pool,
        progress_bar(len(listed), " files", "reading") as bar,
    ):
        entries = {}
        for found in pool.map(entry, listed):
            entries[found.name] = found
            bar.update()
    written = Manifest(
        name=name or os.path.basename(data_dir.rstrip("/")),
        num_classes=num_classes,
        class_names=None if class_names is None else tuple(class_names),
        label_offset=label_offset,
        files={split: tuple(entries[file] for file in names[split]) for split in names},
    )
    manifest.write(written, data_dir)
    return written


def read_class_names(path: str) -> list[str]:
    """The names in a text file, one per line, in the order of the labels.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except (UnicodeDecodeError, UsageError) as error:
        raise UsageError(
            f'class_names must be a text file with one name per line: "{path}": {error}'
        ) from error
    names = re.split(r"\r?\n", re.sub(r"\r?\n$", "", text)) if text else []
    for number, name in enumerate(names, start=1):
        if not is_plain(name.replace("\t", " ")):
            raise UsageError(
                f'class_names must be text without control characters: "{path}", line {number}: '
                f'"{shown(name)}". Remove them.'
            )
    return names


def _complete_sets(data_dir: str) -> Mapping[str, list[str]]:
    """The names of each split's files, in order; splits without files are left out."""
    check_folder(data_dir, "with TFRecord files, for which a manifest is written")
    present = set(tf.io.gfile.listdir(data_dir))
    if JOURNAL in present:
        raise UsageError(
            f"{data_dir} holds the files of a run that is not finished ({JOURNAL}). Run "
            "`python main.py prepare` with its arguments again; it writes the manifest."
        )
    sets = {}
    for split, prefix in PREFIXES.items():
        matches = [re.fullmatch(rf"{prefix}-\d{{5}}-of-(\d{{5}})", name) for name in present]
        totals = {int(match[1]) for match in matches if match}
        if len(totals) > 1:
            listed = " and of ".join(map(str, sorted(totals)))
            raise UsageError(
                f"{data_dir} must hold one set of {prefix}-NNNNN-of-MMMMM files, found sets of "
                f"{listed}. Remove the one that does not belong there."
            )
        for total in totals:
            expected = [file_name(split, number, total) for number in range(total)]
            missing = [file for file in expected if file not in present]
            if missing:
                raise UsageError(
                    f"{data_dir} lacks {len(missing)} of {total} {prefix} files, such as "
                    f"{missing[0]}. Finish the download or conversion."
                )
            check_record_files([os.path.join(data_dir, file) for file in expected])
            sets[split] = expected
    if "train" not in sets:
        raise UsageError(f"{data_dir} holds no train-NNNNN-of-MMMMM files. Check the folder.")
    return sets
