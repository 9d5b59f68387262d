"""TFRecord files in the official layout: splits, counts, the manifest, and what is refused."""

from pathlib import Path

import pytest
import tensorflow as tf

from efficientnet_tf.data.sources.tfrecord import tfrecord_source
from efficientnet_tf.errors import UsageError


def labels(dataset: tf.data.Dataset) -> list[int]:
    return [int(example["label"]) for example in dataset]


def test_splits_and_counts(make_imagenet) -> None:
    source = tfrecord_source(str(make_imagenet([3, 4, 5, 6], [2, 3])), minival_shards=2)
    assert source.num_examples == {"train": 11, "minival": 7, "test": 5}
    # Stored labels count from 1 in the order of the files; label_offset takes the 1 off.
    for split, expected in {"train": range(7, 18), "minival": range(7), "test": range(5)}.items():
        examples = list(source.examples(split))
        assert sorted(int(example["label"]) for example in examples) == list(expected)
        assert len({int(example["index"]) for example in examples}) == len(examples)


def test_examples_are_the_stored_bytes(make_imagenet, photos) -> None:
    source = tfrecord_source(str(make_imagenet([2], [3])), minival_shards=0)
    for example in source.examples("test"):
        assert example["image"].dtype == tf.string
        assert example["image"].numpy() == photos[(int(example["label"]) + 1) % 3]


def test_imagenet_counts_are_known(tmp_path: Path) -> None:
    for prefix, total in {"train": 1024, "validation": 128}.items():
        for number in range(total):
            (tmp_path / f"{prefix}-{number:05d}-of-{total:05d}").touch()
    source = tfrecord_source(str(tmp_path))
    assert source.name == "imagenet"
    assert source.num_examples == {"train": 1_256_145, "minival": 25_022, "test": 50_000}
    lengths = {split: len(files.paths) for split, files in source.files.items()}
    assert lengths == {"train": 1004, "minival": 20, "test": 128}
    whole = tfrecord_source(str(tmp_path), minival_shards=0)
    assert whole.num_examples == {"train": 1_281_167, "minival": 0, "test": 50_000}
    with pytest.raises(UsageError, match=r'"minival" of source "imagenet" has no examples'):
        whole.examples("minival")
    # The same number of files with other classes is not ImageNet: the (empty) files are counted.
    assert tfrecord_source(str(tmp_path), num_classes=10).num_examples["test"] == 0


def test_the_folder_may_be_below_home(make_imagenet, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(make_imagenet([3, 4, 5, 6], [2, 3]))
    monkeypatch.setenv("HOME", str(folder.parent))
    assert tfrecord_source(f"~/{folder.name}", minival_shards=1).num_examples["test"] > 0


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train-00000-of-01024 .*no data_dir was given"):
        tfrecord_source(None)
    with pytest.raises(UsageError, match=r"train-00000-of-01024 .*nowhere\" is not a folder"):
        tfrecord_source(str(tmp_path / "nowhere"))


def test_missing_files_are_refused(make_imagenet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one set of train-NNNNN-of-MMMMM files .* found none"):
        tfrecord_source(str(tmp_path))
    folder = make_imagenet([1] * 6, [1])
    (folder / "validation-00000-of-00001").unlink()
    with pytest.raises(UsageError, match=r"one set of validation-NNNNN-of-MMMMM files"):
        tfrecord_source(str(folder), minival_shards=1)
    for number in (1, 2, 4, 5):
        (folder / f"train-{number:05d}-of-00006").unlink()
    expected = (
        "lacks 4 of 6 train files: train-00001-of-00006, train-00002-of-00006, "
        r"train-00004-of-00006, \.\.\. .*Finish the download"
    )
    with pytest.raises(UsageError, match=expected):
        tfrecord_source(str(folder), minival_shards=1)
    (folder / "train-00000-of-00007").touch()
    with pytest.raises(UsageError, match=r"found sets of 6 and of 7"):
        tfrecord_source(str(folder), minival_shards=1)


@pytest.mark.parametrize("shards", [-1, 2, 20, True, 0.5])
def test_minival_must_leave_training_files(make_imagenet, shards) -> None:
    with pytest.raises(UsageError, match=r"minival_shards must"):
        tfrecord_source(str(make_imagenet([1, 1], [1])), minival_shards=shards)
