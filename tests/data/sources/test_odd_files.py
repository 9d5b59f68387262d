"""Folders that hold pipes, devices, the litter of programs, and names that are no text."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from efficientnet_tf.data.images import names
from efficientnet_tf.data.sources import folder
from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.data.sources.source import Pass
from efficientnet_tf.errors import UsageError


@pytest.fixture
def photos_folder(tmp_path: Path) -> Path:
    """Ten files in each of two class folders; their contents are their names."""
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(10):
            (tmp_path / label / f"{number}.jpg").write_text(f"{label}{number}")
    return tmp_path


def every(root: Path) -> Iterator[bytes]:
    source = folder_source(str(root))
    for split in source.num_examples:
        yield from (example["image"] for example in source.examples(split).as_numpy_iterator())


def test_what_is_no_regular_file_is_named_and_not_opened(
    photos_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(photos_folder / "cat" / "z.jpg")
    (photos_folder / "dog" / "endless.png").symlink_to("/dev/zero")
    with open(photos_folder / "dog" / "huge.jpg", "wb") as file:
        file.truncate(names.MAX_BYTES + 1)  # takes no room on the disk
    assert len(list(every(photos_folder))) == 20
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for part in (
        "3 images",
        '"cat/z.jpg (it is a named pipe, not a regular file)"',
        '"dog/endless.png (it is a device, not a regular file)"',
        f'"dog/huge.jpg (it has {names.MAX_BYTES + 1:,} bytes, more than the',
    ):
        assert part in record.message


def test_what_programs_leave_behind_is_no_class(photos_folder: Path) -> None:
    for litter in ("__MACOSX", "@eaDir", "lost+found", ".ipynb_checkpoints", "cat/__MACOSX"):
        (photos_folder / litter).mkdir()
        (photos_folder / litter / "x.jpg").write_text("litter")
    assert folder_source(str(photos_folder)).class_names == ("cat", "dog")
    assert b"litter" not in set(every(photos_folder))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"caf\xe9", "caf\\xe9"),
        (b"a\nb", "a\\x0ab"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        ("left\u202eright".encode(), "left\\u202eright"),
    ],
)
def test_names_of_classes_are_a_line_of_text(photos_folder: Path, name: bytes, said: str) -> None:
    extra = os.path.join(os.fsencode(photos_folder), name)
    os.mkdir(extra)
    with open(os.path.join(extra, b"x.jpg"), "wb"):
        pass
    with pytest.raises(UsageError) as caught:
        folder_source(str(photos_folder))
    assert "names of classes must be one line of UTF-8 text" in str(caught.value)
    assert f'found "{said}"' in str(caught.value)


def test_names_are_read_as_utf8_where_python_reads_ascii(
    photos_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos_folder / "dog").rename(photos_folder / "café")
    real = folder.entries

    def read_as_ascii(*arguments: object) -> tuple[list[str], ...]:  # with PYTHONUTF8=0, LC_ALL=C
        found = real(*arguments)
        return tuple([os.fsencode(n).decode("ascii", "surrogateescape") for n in k] for k in found)

    monkeypatch.setattr(folder, "entries", read_as_ascii)
    assert folder_source(str(photos_folder)).class_names == ("café", "cat")
    assert len(list(every(photos_folder))) == 20


def test_names_of_files_and_folders_may_be_any_bytes(photos_folder: Path) -> None:
    odd = os.fsdecode(os.fsencode(photos_folder) + b"-\xe9\n")
    photos_folder.rename(odd)
    os.rename(f"{odd}/cat/0.jpg", os.fsencode(odd) + b"/cat/\xff\x1b.jpg")
    source = folder_source(odd)
    images = {
        split: list(source.examples(split).as_numpy_iterator()) for split in source.num_examples
    }
    assert sum(map(len, images.values())) == 20
    places = {
        source.place(split, int(each["index"])): each["image"]
        for split, examples in images.items()
        for each in examples
    }
    (place,) = (place for place, image in places.items() if image == b"cat0")
    assert place.endswith("-\\xe9\\x0a/cat/\\xff\\x1b.jpg")


def test_a_bucket_out_of_reach_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: str) -> bool:
        raise tf.errors.FailedPreconditionError(None, None, "Could not resolve host: a.b")

    monkeypatch.setattr(tf.io.gfile, "exists", lost)
    with pytest.raises(UsageError, match="cannot be reached: Could not resolve host: a.b. Check"):
        folder_source("gs://bucket/photos")
    monkeypatch.undo()
    with pytest.raises(UsageError, match="cannot be reached: .*'https' not implemented"):
        folder_source("https://host/photos")


def test_each_unread_file_says_why(photos_folder: Path) -> None:
    source = folder_source(str(photos_folder))
    broken = {
        "empty": lambda path: path.write_bytes(b""),
        "No such file": Path.unlink,
        "Is a directory": lambda path: (path.unlink(), path.mkdir()),
        "named pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    }
    for index, (reason, damage) in enumerate(broken.items()):
        damage(Path(source.place("train", index)))
        assert reason in source.why_unread("train", index)
    how = Pass(skip_errors=True)
    first = next(iter(source.examples("train", how).as_numpy_iterator()))
    assert first["image"] == b""


def test_a_link_to_itself_is_one_unreadable_image(photos_folder: Path) -> None:
    (photos_folder / "cat" / "round.jpg").symlink_to("round.jpg")
    source = folder_source(str(photos_folder))
    places = {
        source.place(split, index): source.why_unread(split, index)
        for split, count in source.num_examples.items()
        for index in range(count)
    }
    (reason,) = (reason for place, reason in places.items() if place.endswith("round.jpg"))
    assert "symbolic links" in reason
