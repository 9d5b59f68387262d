"""TFRecord files of a source: complete, shuffled, repeatable."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import tensorflow as tf
from listed_source import SHARDS, contents, listed, read

from efficientnet_tf.data.prepare.conversion import default_shards, prepare
from efficientnet_tf.data.prepare.encoded import StreamOptions
from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.source import Source

ROOT = Path(__file__).parents[3]


def test_every_example_once_with_its_label(digits: Source, reference: Path) -> None:
    for split, prefix in {"train": "train", "minival": "minival", "test": "validation"}.items():
        files = read(reference, f"{prefix}-*")
        assert len(files) == SHARDS[split]
        assert max(map(len, files)) - min(map(len, files)) <= 1
        found = Counter()
        for record in (record for records in files for record in records):
            (encoded,), (label,) = record["image/encoded"], record["image/class/label"]
            pixels = tf.io.decode_png(encoded).numpy()
            found[pixels.tobytes(), label] += 1
            assert record["image/class/text"] == (str(label - 1).encode(),)
            assert record["image/format"] == (b"PNG",)
            assert record["image/height"] == record["image/width"] == (8,)
        stored = digits.examples(split).as_numpy_iterator()
        assert found == Counter((e["image"].tobytes(), int(e["label"]) + 1) for e in stored)


def test_the_manifest_says_what_is_there(digits: Source, reference: Path) -> None:
    made = manifest.read(str(reference))
    assert made is not None
    assert (made.name, made.num_classes, made.label_offset) == ("digits", 10, 1)
    assert made.class_names == digits.class_names
    assert made.num_examples == digits.num_examples
    listed_files = [entry for entries in made.files.values() for entry in entries]
    assert sorted(contents(reference)) == sorted([e.name for e in listed_files] + ["manifest.json"])
    for entry in listed_files:
        data = (reference / entry.name).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert entry.examples == len(read(reference, entry.name)[0])
    manifest.verify(made, str(reference), checksums=True)


def test_names_are_the_official_ones(reference: Path) -> None:
    names = sorted(contents(reference))
    assert names[1:3] == ["minival-00000-of-00002", "minival-00001-of-00002"]
    assert names[3] == "train-00000-of-00007"
    assert names[-1] == "validation-00002-of-00003"


def test_order_is_shuffled_by_the_seed(tmp_path: Path) -> None:
    orders = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        prepare(listed(), str(folder), options=StreamOptions(seed=seed), shards={"train": 3})
        files = read(folder, "train-*")
        orders.append([record["image/filename"][0] for records in files for record in records])
        assert sorted(orders[-1]) == sorted(f"train/{index}.image".encode() for index in range(50))
    stored = [f"train/{index}.image".encode() for index in range(50)]
    assert stored != orders[0] != orders[1] != stored


def test_encoded_images_keep_their_bytes(tmp_path: Path) -> None:
    source, said = listed(), []
    prepare(source, str(tmp_path), shards={"train": 3}, say=said.append)
    for record in (record for records in read(tmp_path, "train-*") for record in records):
        index = int(record["image/filename"][0][6:-6])
        assert record["image/encoded"] == (source.images["train"][index],)
        assert record["image/format"] == (b"PNG" if index % 5 == 4 else b"JPEG",)
        assert record["image/height"] == (3 + index % 4,)
        assert record["image/width"] == (5,)
        assert record["image/class/label"] == (index % 3 + 1,)
        assert record["image/class/text"] == (("cat", "dög", "cow")[index % 3].encode(),)
    assert said[0] == "train: 50 images in 3 files"
    assert "10 PNG images were written in their own format" in said[1]
    assert "--jpeg" in said[1]


def test_jpeg_for_other_readers(tmp_path: Path) -> None:
    source, said = listed(), []
    options = StreamOptions(jpeg=True)
    prepare(source, str(tmp_path), options=options, shards={"train": 3}, say=said.append)
    for record in (record for records in read(tmp_path, "train-*") for record in records):
        index = int(record["image/filename"][0][6:-6])
        (encoded,) = record["image/encoded"]
        assert record["image/format"] == (b"JPEG",)
        if index % 5 != 4:
            assert encoded == source.images["train"][index]
        decoded = tf.io.decode_jpeg(encoded).numpy().astype(int)
        assert decoded.shape == (3 + index % 4, 5, 3)
        assert np.abs(decoded - index).max() <= 2
    assert len(said) == 1


def test_two_runs_are_byte_identical(digits: Source, reference: Path, tmp_path: Path) -> None:
    prepare(digits, str(tmp_path), shards=SHARDS, threads=1)
    assert contents(tmp_path) == contents(reference)


def test_splits_can_be_left_out(digits: Source, reference: Path, tmp_path: Path) -> None:
    made = prepare(digits, str(tmp_path), splits=["test", "train"], shards={"test": 3, "train": 7})
    assert list(made.files) == ["train", "test"]
    assert not list(tmp_path.glob("minival-*"))
    for path in tmp_path.glob("*-of-*"):
        assert path.read_bytes() == (reference / path.name).read_bytes()


def test_default_shards() -> None:
    counts = {1: 1, 15: 15, 16: 16, 20_000: 16, 20_001: 17, 50_000: 40, 1_281_167: 1024}
    assert {examples: default_shards(examples) for examples in counts} == counts


def test_a_bucket(digits: Source, reference: Path) -> None:
    bucket = "ram://prepare/digits"  # TensorFlow's file system in memory, reached like gs://
    prepare(digits, bucket, shards=SHARDS)
    assert sorted(tf.io.gfile.listdir(bucket)) == sorted(contents(reference))
    for name, expected in contents(reference).items():
        with tf.io.gfile.GFile(f"{bucket}/{name}", "rb") as file:
            assert file.read() == expected


def test_the_command(reference: Path, tmp_path: Path) -> None:
    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "main.py"), "prepare", *flags]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    done = run()
    assert done.returncode == 2
    assert done.stderr == (
        "error: --output_dir must be a folder or gs://bucket/folder, received nothing.\n"
    )
    place = f"--output_dir={tmp_path}"
    counts = ("--shards=7", "--minival_files=2", "--validation_shards=3", "--threads=2")
    done = run("--source=digits", place, *counts)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("train: 1259 images in 7 files\n")
    assert contents(tmp_path) == contents(reference)
    written = manifest.read(str(tmp_path))
    (tmp_path / manifest.MANIFEST).unlink()
    done = run("--manifest_only", place, "--classes=10")
    assert done.returncode == 0, done.stderr
    found = manifest.read(str(tmp_path))
    assert found is not None
    assert written is not None
    assert found.files == written.files
