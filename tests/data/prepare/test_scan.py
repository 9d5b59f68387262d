"""What a scan of a data set counts, and what it finds broken or odd."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientnet_tf.data.prepare.conversion import prepare
from efficientnet_tf.data.prepare.scan import ScanReport, scan, table, warnings
from efficientnet_tf.data.sources.by_name import SyntheticSource, synthetic_source
from efficientnet_tf.data.sources.in_memory import array_source, digits_source
from efficientnet_tf.data.sources.source import IN_ORDER, Pass
from efficientnet_tf.data.sources.tfrecord import tfrecord_source
from efficientnet_tf.errors import UsageError

ROOT = Path(__file__).parents[3]
HEADINGS = ["split", "images", "unusable", "formats", "colours", "sides", "repeated"]
TRAIN, TEST = "train-00000-of-00001", "validation-00000-of-00001"


def jpeg(value: int, height: int = 40, width: int = 50, channels: int = 3) -> bytes:
    pixels = np.full([height, width, channels], value, np.uint8)
    return bytes(tf.io.encode_jpeg(pixels).numpy())


@pytest.fixture
def scanned(tmp_path: Path, write_records: Any) -> Any:
    """Writes (image, stored label 1..3) pairs and scans both splits."""

    def run(train: list[tuple[bytes, int]], test: list[tuple[bytes, int]]) -> list[ScanReport]:
        write_records(tmp_path / TRAIN, train)
        write_records(tmp_path / TEST, test)
        source = tfrecord_source(str(tmp_path), num_classes=3, minival_shards=0)
        return [scan(source, split) for split in ("train", "test")]

    return run


def test_digits() -> None:
    source = digits_source()
    reports = [scan(source, split) for split in ("train", "minival", "test")]
    for report in reports:
        expected = np.bincount(source.arrays[report.split][1].numpy(), minlength=10)
        np.testing.assert_array_equal(report.per_class, expected)
        assert report.examples == source.num_examples[report.split]
        assert report.formats == {"array": report.examples}
        assert report.sides == (8, 8)
        assert report.broken == []
    lines = table(reports).splitlines()
    assert lines[0] == 'source "digits", 10 classes'
    assert lines[1].split() == HEADINGS
    assert " ".join(lines[2].split()) == "train 1,259 0 array 1,259 RGB 1,259 8-8 px 0"
    assert lines[6].split() == ["class", "train", "minival", "test"]
    assert lines[7].split() == ["0", *(str(report.per_class[0]) for report in reports)]
    assert warnings(reports) == [
        f"{split}: {count} images have a side under 32 pixels, the smallest of 8."
        for split, count in (("train", "1,259"), ("minival", "179"), ("test", "359"))
    ]


def test_formats_and_colours(scanned: Any) -> None:
    pixels = np.zeros([60, 33, 4], np.uint8)
    images = [
        jpeg(1),
        jpeg(2, 31, 700),
        jpeg(3, channels=1),
        tf.io.encode_png(pixels).numpy(),
        tf.io.encode_png(pixels[..., :3].astype(np.uint16)).numpy(),
    ]
    train, test = scanned([(image, 1) for image in images], [(jpeg(9), 3)])
    assert train.formats == {"JPEG": 3, "PNG": 2}
    assert train.colours == {"RGB": 2, "grey": 1, "RGB+alpha": 1, "RGB 16-bit": 1}
    assert train.sides == (31, 700)
    assert train.small == 1
    assert train.per_class.tolist() == [5, 0, 0]
    assert test.per_class.tolist() == [0, 0, 1]
    assert "JPEG 3, PNG 2" in table([train, test])


def test_broken_examples_are_named(scanned: Any, tmp_path: Path, photos: list[bytes]) -> None:
    records = [(jpeg(1), 1), (photos[0][:5000], 1), (b"<html>", 2), (jpeg(2), 9), (jpeg(3), 3)]
    train, test = scanned(records, [(jpeg(4), 1)])
    assert train.examples == 5
    assert train.per_class.tolist() == [1, 0, 1]
    place = f"train: {tmp_path / TRAIN}, record"
    cut, html, label = train.broken
    assert cut.startswith(f"{place} 1 (counted from 0): ")
    assert "Invalid JPEG data" in cut
    assert html.startswith(f"{place} 2 (counted from 0): ")
    assert "format" in html
    assert label.startswith(f"{place} 3 (counted from 0): ")
    assert test.broken == []
    assert "  3  " in table([train, test]).splitlines()[2]  # the column "unusable"


def test_turned_images_are_counted(scanned: Any) -> None:
    def turned(kind: str, orientation: int) -> bytes:
        tags, file = Image.Exif(), io.BytesIO()
        tags[0x0112] = orientation
        Image.new("RGB", (40, 50 + orientation)).save(file, kind, exif=tags)
        return file.getvalue()

    images = [turned("JPEG", 6), turned("PNG", 3), turned("WEBP", 8), turned("JPEG", 1), jpeg(1)]
    train, test = scanned([(image, 1) for image in images], [(jpeg(4), 1)])
    assert (train.rotated, test.rotated) == (3, 0)
    assert any(
        line.startswith("train: 3 of 5 images are stored lying or mirrored, as their EXIF")
        for line in warnings([train, test])
    )


def test_labels_that_a_source_lets_pass() -> None:
    images = np.zeros([3, 40, 40, 3], np.uint8)
    source = array_source("odd", {"train": (images, np.array([0, 2, -1]))}, num_classes=2)
    report = scan(source, "train")
    assert [line.split(": ")[-1] for line in report.broken] == [
        "The label is 2, it must be 0 to 1.",
        "The label is -1, it must be 0 to 1.",
    ]


class TooFew(SyntheticSource):
    """Has fewer examples than it says."""

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        return super().examples(split, how).take(3)


def test_a_wrong_count_is_broken() -> None:
    source = TooFew(**vars(synthetic_source(2, image_size=40, num_examples=5)))
    report = scan(source, "train")
    assert report.broken == ["train: 3 examples were found, but the source says that there are 5."]
    assert scan(source, "train", limit=2).broken == []


def test_repeated_images(scanned: Any, tmp_path: Path) -> None:
    twice, both = jpeg(1), jpeg(2)
    train, test = scanned(
        [(twice, 1), (both, 2), (twice, 1), (twice, 3), *((jpeg(100 + i), 2) for i in range(9))],
        [(jpeg(3), 1), (both, 2)],
    )
    record = f"{tmp_path / TRAIN}, record {{}} (counted from 0)".format
    assert train.repeated == [(0, 2, True), (0, 3, False)]
    found = warnings([train, test])
    same = f"train: 1 images are there more than once: {record(0)} = {record(2)}"
    differ = (
        f"train: 1 images are there more than once with different labels: {record(0)} = {record(3)}"
    )
    assert same in found
    assert differ in found
    (leak,) = [line for line in found if "are in train and in test" in line]
    assert leak.startswith("1 images are in train and in test, which makes test look better")
    assert leak.endswith(f"{record(1)} = {tmp_path / TEST}, record 1 (counted from 0)")


def test_many_repeats_are_cut_short() -> None:
    images = np.zeros([20, 40, 40, 3], np.uint8)
    source = array_source("same", {"train": (images, np.zeros(20))}, num_classes=1)
    (line,) = warnings([scan(source, "train")])
    assert line.startswith("train: 19 images are there more than once: ")
    assert line.endswith("; and 14 more")
    assert line.count(" = ") == 5


def test_rare_classes() -> None:
    labels = np.array([0] * 10 + [1] * 9 + [2])
    images = np.arange(20 * 40 * 40 * 3).reshape([20, 40, 40, 3]).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(20)
    names = ("many", "some", "one", "none")
    source = array_source("few", {"train": (images, labels)}, num_classes=4, class_names=names)
    assert warnings([scan(source, "train")]) == [
        "train: 1 classes have no image: none",
        "train: 1 classes have a single image: one",
        "train: 1 classes have fewer than 10 images: some",
    ]
    # Not said of a part of the split.
    assert warnings([scan(source, "train", limit=19)]) == []


def test_a_part_of_a_split() -> None:
    report = scan(digits_source(), "train", limit=100)
    assert report.examples == report.per_class.sum() == 100
    assert not report.whole
    assert report.broken == []
    with pytest.raises(UsageError, match='split must be one of "train", .* received "tset"'):
        scan(digits_source(), "tset")


def check(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "main.py"), "check-data", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_command(tmp_path: Path) -> None:
    images = np.random.RandomState(0).randint(0, 256, [50, 8, 8, 3]).astype(np.uint8)
    splits = {"train": (images[:40], np.arange(40) % 2), "test": (images[40:], np.arange(10) % 2)}
    source = array_source("noise", splits, num_classes=2)
    prepare(source, str(tmp_path), shards={"train": 2, "test": 1})  # four are held out
    place = ("--source=tfrecord", f"--data_dir={tmp_path}")
    done = check(*place)
    assert done.returncode == 0, done.stderr
    assert 'source "noise", 2 classes' in done.stdout
    assert "all files are as manifest.json says" in done.stdout
    assert "warning: train: 36 images have a side under 32 pixels" in done.stdout
    assert "broken:" not in done.stdout
    assert "scanning train: 36/36 images" in done.stderr
    path = tmp_path / TEST
    data = bytearray(path.read_bytes())
    data[40] ^= 1  # inside the first record
    path.write_bytes(data)
    done = check(*place, "--splits=test")
    assert done.returncode == 1
    assert f"broken: test: {path}, record 0 (counted from 0): " in done.stdout
    assert f"{TEST}: as long as expected" in done.stdout
