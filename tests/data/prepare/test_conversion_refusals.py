"""What a conversion refuses: arguments, folders of others, examples that cannot be used."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from listed_source import SHARDS, Listed, contents, listed, read

from efficientnet_tf.data.prepare import journal
from efficientnet_tf.data.prepare.conversion import prepare
from efficientnet_tf.data.prepare.encoded import StreamOptions
from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import RunError, UsageError


def broken(count: int = 50, at: int = 20) -> Listed:
    """With an image that cannot be read."""
    whole = listed(count)
    images = list(whole.images["train"])
    images[at] = b""
    return dataclasses.replace(whole, images={"train": tuple(images)})


def test_other_arguments_are_refused(digits: Source, reference: Path, tmp_path: Path) -> None:
    before = contents(reference)
    options = StreamOptions(seed=1)
    expected = r"other arguments, as manifest.json in .*\n  seed: 0 -> 1\nUse the same arguments"
    with pytest.raises(UsageError, match=expected):
        prepare(digits, str(reference), options=options, shards=SHARDS)
    with pytest.raises(UsageError, match=r'shards: \{"train": 7, .* -> \{"train": 16, '):
        prepare(digits, str(reference))
    with pytest.raises(UsageError, match=r'source: "digits" -> "listed"\n  examples: '):
        prepare(listed(), str(reference))
    assert contents(reference) == before
    (tmp_path / journal.JOURNAL).write_text(json.dumps({"source": "digits", "seed": 7}) + "\n")
    with pytest.raises(UsageError, match=r"manifest\.partial\.jsonl in .*(?s:.*)seed: 7 -> 0"):
        prepare(digits, str(tmp_path), shards=SHARDS)
    (tmp_path / journal.JOURNAL).write_text("")
    with pytest.raises(RunError, match=r"manifest\.partial\.jsonl is damaged: .* begin again"):
        prepare(digits, str(tmp_path), shards=SHARDS)


def test_other_images_of_the_same_number_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(listed(), str(tmp_path))
    before = contents(tmp_path)
    monkeypatch.setattr(Listed, "listing", lambda self, split: [b"others"])
    with pytest.raises(UsageError, match="other arguments.*\n  fingerprints: "):
        prepare(listed(), str(tmp_path))
    assert contents(tmp_path) == before


def test_files_of_others_are_refused(digits: Source, tmp_path: Path) -> None:
    stranger = tmp_path / "train-00000-of-01024"
    stranger.write_bytes(b"precious")
    expected = "holds 1 files that are not of a run of this program, such as train-00000-of-01024"
    with pytest.raises(UsageError, match=expected):
        prepare(digits, str(tmp_path))
    manifest.write(manifest.Manifest("x", 1, None, 1, {"train": ()}), str(tmp_path))
    with pytest.raises(UsageError, match="manifest.json .* does not say how its files were made"):
        prepare(digits, str(tmp_path))
    assert stranger.read_bytes() == b"precious"
    with pytest.raises(
        UsageError, match="output_dir must be a folder that can be made: .*precious"
    ):
        prepare(digits, str(stranger / "precious"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"splits": ["train", "validation"]}, r'train, minival, test, .* received "validation"'),
        ({"shards": {"tain": 3}}, r'received "tain"\. Did you mean "train"\?'),
        (
            {"shards": {"test": 360}},
            r'"test" must be a whole number from 1 to its 359 .* received 360',
        ),
        ({"shards": {"test": 0}}, "received 0"),
        ({"shards": {"test": True}}, "received True"),
        ({"threads": 0}, "threads must be a whole number of at least 1, received 0"),
    ],
)
def test_wrong_arguments(digits: Source, tmp_path: Path, arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepare(digits, str(tmp_path), **arguments)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be a whole number of at least 0, received -1"),
        ({"shuffle_buffer": 0}, "shuffle_buffer must be a whole number of at least 1, received 0"),
        (
            {"on_error": "Skip"},
            r'on_error must be "stop" or "skip", received "Skip"\. Did you mean "sk',
        ),
    ],
)
def test_wrong_options(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StreamOptions(**arguments)


@pytest.mark.parametrize("claimed", [45, 49, 51, 60])
def test_a_wrong_count_leaves_no_manifest(tmp_path: Path, claimed: int) -> None:
    source = listed(num_examples={"train": claimed, "minival": 0, "test": 0})
    what = "only 50 could be read" if claimed > 50 else "there are more"
    expected = rf'should have {claimed} examples in split "train", but {what}: no manifest'
    for _ in range(2):  # and not the second time, either
        with pytest.raises(RunError, match=expected):
            prepare(source, str(tmp_path), shards={"train": 5})
    assert manifest.MANIFEST not in contents(tmp_path)


def test_an_unreadable_example_stops_and_is_named(tmp_path: Path) -> None:
    expected = r"train/20\.image cannot be used: .*cannot be read.* on_error=skip\. Finished files"
    for _ in range(2):  # also when the run goes on
        with pytest.raises(RunError, match=expected) as caught:
            prepare(broken(), str(tmp_path), shards={"train": 25})
        assert "{{" not in str(caught.value)


def test_an_unreadable_example_is_left_out(tmp_path: Path, caplog) -> None:
    said: list[str] = []
    options = StreamOptions(on_error="skip")
    arguments = {"options": options, "shards": {"train": 5}, "say": said.append}
    made = prepare(broken(), str(tmp_path), **arguments)
    assert caplog.messages == [
        "left out train/20.image: The record or file cannot be read: it is cut off, damaged, "
        "missing or forbidden."
    ]
    assert said[0] == "train: 49 images in 5 files, 1 left out because they cannot be used"
    assert sorted(entry.examples for entry in made.files["train"]) == [9, 10, 10, 10, 10]
    files = read(tmp_path, "train-*")
    assert [len(records) for records in files] == [e.examples for e in made.files["train"]]
    names = {record["image/filename"][0] for records in files for record in records}
    assert names == {f"train/{index}.image".encode() for index in range(50) if index != 20}


def test_what_is_no_image(tmp_path: Path, caplog) -> None:
    images = (*listed(9).images["train"], b"<html>")
    source = listed(10, images={"train": images})
    expected = r"train/9\.image cannot be used: this is no image .* it begins with b'<html>'"
    with pytest.raises(RunError, match=expected):
        prepare(source, str(tmp_path / "stop"), shards={"train": 2})
    options = StreamOptions(on_error="skip")
    made = prepare(source, str(tmp_path / "skip"), options=options, shards={"train": 2})
    assert made.num_examples == {"train": 9}
    assert len(caplog.messages) == 1


def test_a_png_that_cannot_become_a_jpeg(tmp_path: Path) -> None:
    images = list(listed(10).images["train"])
    images[4] = images[4][:40]
    source = listed(10, images={"train": tuple(images)})
    options = StreamOptions(jpeg=True)
    with pytest.raises(RunError, match=r"train/4\.image cannot be used"):
        prepare(source, str(tmp_path / "stop"), options=options, shards={"train": 2})
    options = StreamOptions(jpeg=True, on_error="skip")
    made = prepare(source, str(tmp_path / "skip"), options=options, shards={"train": 2})
    assert made.num_examples == {"train": 9}


def test_nothing_to_write(tmp_path: Path) -> None:
    source = listed(4, images={"train": (b"",) * 4})
    options = StreamOptions(on_error="skip")
    with pytest.raises(RunError, match=r'None of the 4 examples of split "train" .* can be used'):
        prepare(source, str(tmp_path), options=options)
    assert manifest.MANIFEST not in contents(tmp_path)


def test_labels_out_of_range(tmp_path: Path) -> None:
    source = listed(labels=lambda index: index % 4)
    with pytest.raises(RunError, match=r"image cannot be used: The label is 3, it must be 0 to 2"):
        prepare(source, str(tmp_path))
