"""What is in a folder of TFRecord files: manifest.json, written last and verified by the reader.

TensorFlow takes a TFRecord file that was cut off between two records for a whole one, so a copy
that stopped half-way would only show as a slightly smaller data set. The manifest knows better:
of each file the examples, the bytes and the SHA-256 of the contents; and of the data set the
classes. Everything here works in a folder and in a bucket.
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import RunError
from efficientnet_tf.storage.files import exists, opened, read_json, write_text
from efficientnet_tf.terminal.progress import progress_bar

MANIFEST = "manifest.json"
VERSION = 1
# How the names of a split's files begin; the official code has no files of "minival".
PREFIXES = {"train": "train", "minival": "minival", "test": "validation"}

FILES_AT_ONCE = 16  # waiting for a bucket, mostly
_CHUNK = 2**23  # bytes
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """One TFRecord file.

    Attributes:
        name: within the folder of the manifest.
        examples: records in it.
        bytes: its length.
        sha256: of its contents, 64 hexadecimal digits; "" if it was not computed.
    """

    name: str
    examples: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A data set in TFRecord files.

    Attributes:
        name: of the source that the files were made from.
        num_classes: labels are 0..num_classes-1.
        class_names: one per label, or None if unknown.
        label_offset: the stored number of class 0.
        files: of each split that exists ("train", "minival", "test"), in order.
        origin: how the word prepare made the files; None if it did not.
    """

    name: str
    num_classes: int
    class_names: tuple[str, ...] | None
    label_offset: int
    files: Mapping[str, tuple[FileEntry, ...]]
    origin: Mapping[str, Any] | None = None

    @property
    def num_examples(self) -> dict[str, int]:
        """Examples of each split that exists."""
        return {split: sum(file.examples for file in self.files[split]) for split in self.files}


def file_name(split: str, number: int, total: int) -> str:
    """train-00003-of-01024, in the official layout."""
    return f"{PREFIXES[split]}-{number:05d}-of-{total:05d}"


def write(manifest: Manifest, data_dir: str) -> None:
    """Writes the manifest of the files in `data_dir`."""
    content = {"version": VERSION, **dataclasses.asdict(manifest)}
    write_text(os.path.join(data_dir, MANIFEST), json.dumps(content, indent=1) + "\n")


def read(data_dir: str) -> Manifest | None:
    """The manifest in `data_dir`, or None if there is none.

    Raises:
        RunError: it cannot be read or is not valid.
    """
    path = os.path.join(data_dir, MANIFEST)
    if not exists(path):
        return None
    try:
        return _parse(read_json(path))
    except (ValueError, RecursionError, OSError) as error:  # no JSON, no text, no file
        raise RunError(
            f"{path} is not a valid manifest: {error}. Copy it again, or write it anew with "
            "`python main.py prepare --manifest_only`."
        ) from error


def _parse(content: Any) -> Manifest:
    _require(isinstance(content, dict), "the file", "an object", content)
    version = content.get("version")
    _require(version == VERSION, '"version"', f"{VERSION}, which this program reads", version)
    classes = _whole(content, "num_classes", low=1)
    names = content.get("class_names")
    if names is not None:
        is_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
        _require(is_names, '"class_names"', "null or a list of texts", names)
        _require(len(names) == classes, '"class_names"', f"one per class ({classes})", len(names))
    files, origin = content.get("files"), content.get("origin")
    _require(isinstance(files, dict), '"files"', "an object", files)
    _require(origin is None or isinstance(origin, dict), '"origin"', "null or an object", origin)
    for split, entries in files.items():
        _require(split in PREFIXES, "a split", f"one of {', '.join(PREFIXES)}", split)
        _require(isinstance(entries, list), f'"{split}"', "a list of files", entries)
    manifest = Manifest(
        name=_text(content, "name"),
        num_classes=classes,
        class_names=None if names is None else tuple(names),
        label_offset=_whole(content, "label_offset", low=-(2**31)),
        files={split: tuple(map(parse_entry, entries)) for split, entries in files.items()},
        origin=origin,
    )
    listed = [file.name for entries in manifest.files.values() for file in entries]
    _require(len(set(listed)) == len(listed), "every file", "listed once", len(listed))
    return manifest


def parse_entry(content: Any) -> FileEntry:
    """A file of a manifest from its JSON; a ValueError says what is wrong."""
    _require(isinstance(content, dict), "a file", "an object", content)
    name, digest = _text(content, "name"), _text(content, "sha256")
    # A manifest may come from the network: it names files of its own folder only.
    _require(re.fullmatch(r"\w[\w.-]*", name) is not None, '"name" of a file', "a name", name)
    is_digest = re.fullmatch(r"([0-9a-f]{64})?", digest) is not None
    _require(is_digest, f'"sha256" of {name}', '64 hexadecimal digits or ""', digest)
    return FileEntry(name, _whole(content, "examples", 0), _whole(content, "bytes", 0), digest)


def _whole(content: Mapping[str, Any], key: str, low: int) -> int:
    value: Any = content.get(key)
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= low
    _require(is_whole, f'"{key}"', f"a whole number of at least {low}", value)
    return value


def _text(content: Mapping[str, Any], key: str) -> str:
    value: Any = content.get(key)
    _require(isinstance(value, str), f'"{key}"', "a text", value)
    return value


def _require(condition: bool, what: str, expected: str, found: Any) -> None:
    if not condition:
        shown = "nothing" if found is None else repr(found)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise ValueError(f"{what} must be {expected}, found {shown}")


def verify(manifest: Manifest, data_dir: str, checksums: bool = False) -> None:
    """Checks that every file is there and has its length; with `checksums` also its contents.

    Raises:
        RunError: names the files that differ.
    """
    entries = [file for files in manifest.files.values() for file in files]
    wrong = _differing(entries, lambda entry: size_difference(entry, data_dir))
    if checksums and not wrong:
        unknown = [entry.name for entry in entries if not entry.sha256]
        if unknown:
            raise RunError(
                f"{data_dir}: {MANIFEST} has no checksums of {len(unknown)} files, such as "
                f"{unknown[0]}. Write it anew with `python main.py prepare --manifest_only`."
            )
        with progress_bar(sum(entry.bytes for entry in entries), "B", "checksums") as bar:
            wrong = _differing(
                entries,
                lambda entry: _content_difference(entry, data_dir),
                lambda entry: bar.update(entry.bytes),
            )
    if wrong:
        more = f"\n  and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise RunError(
            f"{data_dir}: {len(wrong)} of {len(entries)} files are not as {MANIFEST} says:\n  "
            + "\n  ".join(wrong[:_SHOWN])
            + f"{more}\nCopy them again, or write them again with `python main.py prepare`. If "
            "they were changed on purpose, write a new manifest with its --manifest_only."
        )


def _differing(
    entries: list[FileEntry],
    difference: Callable[[FileEntry], str | None],
    done: Callable[[FileEntry], object] = lambda entry: None,
) -> list[str]:
    """What is wrong with each file, many at once; in the order of the files."""
    found: dict[str, str | None] = {entry.name: None for entry in entries}
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        futures = {pool.submit(difference, entry): entry for entry in entries}
        for future in as_completed(futures):
            found[futures[future].name] = future.result()
            done(futures[future])
    return [text for text in found.values() if text is not None]


def size_difference(entry: FileEntry, data_dir: str) -> str | None:
    """What is wrong with the length of a file, None if nothing is."""
    try:
        size = tf.io.gfile.stat(os.path.join(data_dir, entry.name)).length
    except tf.errors.NotFoundError:
        return f"{entry.name}: {entry.bytes} bytes expected, there is no such file"
    except tf.errors.OpError as error:  # a link to itself, no permission, a bucket out of reach
        return f"{entry.name}: {entry.bytes} bytes expected, it cannot be read: {error.message}"
    if size != entry.bytes:
        return f"{entry.name}: {entry.bytes} bytes expected, found {size}"
    return None


def _content_difference(entry: FileEntry, data_dir: str) -> str | None:
    found = sha256(os.path.join(data_dir, entry.name))
    if found == entry.sha256:
        return None
    return (
        f"{entry.name}: as long as expected ({entry.bytes} bytes), but the contents differ: "
        f"SHA-256 {entry.sha256[:12]}... expected, found {found[:12]}..."
    )


def sha256(path: str) -> str:
    """Of a file's contents."""
    digest = hashlib.sha256()
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
