"""A folder that holds another kind of data set: what is said of it, and how to ask for it."""

from pathlib import Path

import pytest

from efficientnet_tf.data.sources.by_name import load_source
from efficientnet_tf.errors import UsageError


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            ["cat/a.jpg", "dog/b.png", "dog/c.txt", ".git/d.jpg"],
            'It has folders of images: "cat", "dog". Ask for them by --config.data.source=folder.',
        ),
        (["train/cat/a.jpg", "val/cat/b.jpg"], 'folders of images: "train", "val". Ask for'),
        (
            ["table.csv", "images.zip"],
            "a table: table.csv. Ask for it by --config.data.source=csv:",
        ),
        (["dataset_info.json", "x.tfrecord-00000-of-00001"], "--config.data.source=tfds:"),
        (["a.zip", "b.zip", "x/y/z.txt"], "It has 2 files with .zip, 1 folders. Check the folder"),
        ([], "It has nothing. Check the folder and the names of the files."),
    ],
)
@pytest.mark.parametrize("source", ["imagenet", "tfrecord"])
def test_what_lies_there_is_said(
    tmp_path: Path, files: list[str], expected: str, source: str
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(UsageError, match="found none in ") as caught:
        load_source(source, str(tmp_path))
    assert expected in str(caught.value).splitlines()[1]
