"""Which image files the arguments of a command line mean."""

import os
from pathlib import Path

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.inference import predict
from efficientnet_tf.inference.image_list import image_paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.txt",
        ".hidden.jpg",
        "deep/er/c.jpeg",
        ".trash/x.jpg",
        "[1].jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.jpg").mkdir()  # an image's ending does not make it one
    return tmp_path


def names(paths: list[str], folder: Path) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in paths]


def test_a_folder_gives_its_images_at_any_depth_in_order(folder: Path) -> None:
    found = names(image_paths([str(folder)]), folder)
    assert found == ["[1].jpg", "a.PNG", "b.jpg", "deep/er/c.jpeg"]


def test_what_archives_leave_behind_and_pipes(folder: Path) -> None:
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "b.jpg").touch()
    assert names(image_paths([str(folder)]), folder) == [
        "[1].jpg",
        "a.PNG",
        "b.jpg",
        "deep/er/c.jpeg",
    ]
    os.mkfifo(folder / "pipe.jpg")  # listed: reading it says what it is, and does not wait
    for argument in (folder, folder / "pipe.jpg"):
        assert str(folder / "pipe.jpg") in image_paths([str(argument)])
    assert predict._read(str(folder / "pipe.jpg")) == predict.Unusable(
        str(folder / "pipe.jpg"),
        "The file cannot be read: it is a named pipe, not a regular file.",
    )


def test_the_order_is_that_of_the_arguments(folder: Path) -> None:
    arguments = [str(folder / "deep"), str(folder / "b.jpg"), str(folder / "a.PNG")]
    assert names(image_paths(arguments), folder) == ["deep/er/c.jpeg", "b.jpg", "a.PNG"]


def test_a_pattern_gives_the_images_that_match(folder: Path) -> None:
    assert names(image_paths([f"{folder}/*.jpg"]), folder) == ["[1].jpg", "b.jpg"]
    assert names(image_paths([f"{folder}/*"]), folder) == ["[1].jpg", "a.PNG", "b.jpg"]
    assert names(image_paths([f"{folder}/**/*.jpeg"]), folder) == ["deep/er/c.jpeg"]


def test_a_file_is_taken_whatever_its_name(folder: Path) -> None:
    assert names(image_paths([str(folder / "notes.txt")]), folder) == ["notes.txt"]
    assert names(image_paths([str(folder / "[1].jpg")]), folder) == ["[1].jpg"]


def test_a_dash_is_a_list_in_its_place(folder: Path) -> None:
    lines = ["x y.jpg\n", "\n", "gone.jpg\r\n"]
    found = image_paths([str(folder / "b.jpg"), "-", str(folder / "a.PNG")], lines)
    assert found == [str(folder / "b.jpg"), "x y.jpg", "gone.jpg", str(folder / "a.PNG")]


def test_the_home_folder_and_remote_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert image_paths(["~/b.jpg", "gs://bucket/x*.jpg"]) == [
        str(folder / "b.jpg"),
        "gs://bucket/x*.jpg",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no images: give files"),
        (["-"], "list on standard input .* is empty"),
        (["{}/none.jpg"], 'no image file or folder ".*none.jpg"'),
        (["{}/*.webp"], r'no images match ".*\*.webp" \(looked for .jpg, .*\)\.'),
        (["{}/*.txt"], "only 1 other files"),
        (["{}/folder.jpg"], "no images in the folder"),
    ],
)
def test_what_names_no_image_is_refused(folder: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        image_paths([argument.format(folder) for argument in arguments], ["\n"])
