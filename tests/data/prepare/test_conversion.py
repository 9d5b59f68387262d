"""TFRecord files of a source: complete, shuffled, repeatable, finished after an interruption."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.prepare import journal
from efficientnet_tf.data.prepare.conversion import default_shards, prepare
from efficientnet_tf.data.prepare.encoded import StreamOptions
from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.errors import RunError, UsageError

ROOT = Path(__file__).parents[3]
SHARDS = {"train": 7, "minival": 2, "test": 3}


@dataclasses.dataclass(frozen=True, eq=False)
class Listed(Source):
    """Encoded images in a list; an empty one stands for a file that cannot be read."""

    images: Mapping[str, tuple[bytes, ...]]
    labels: Callable[[int], int] = lambda index: index % 3

    def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
        order = np.arange(len(self.images[split]))
        if how.shuffle:
            order = np.random.RandomState(how.seed).permutation(order)
        order = order[how.start :]

        def check(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            if not how.skip_errors:
                good = tf.strings.length(example["image"]) > 0
                with tf.control_dependencies([tf.debugging.Assert(good, ["cannot be read"])]):
                    return {**example, "image": tf.identity(example["image"])}
            return example

        columns = {
            "image": [self.images[split][index] for index in order],
            "label": np.array([self.labels(index) for index in order], np.int64),
            "index": order,
        }
        return tf.data.Dataset.from_tensor_slices(columns).map(check)

    def place(self, split: str, index: int) -> str:
        return f"{split}/{index}.image"


def listed(count: int = 50, **changes: Any) -> Listed:
    """Small JPEGs, and a PNG as every fifth; the pixels tell the index."""
    images = []
    for index in range(count):
        pixels = np.full([3 + index % 4, 5, 3], index, np.uint8)
        encode = tf.io.encode_png if index % 5 == 4 else tf.io.encode_jpeg
        images.append(encode(pixels).numpy())
    arguments = {
        "name": "listed",
        "num_classes": 3,
        "class_names": ("cat", "dög", "cow"),
        "num_examples": {"train": count, "minival": 0, "test": 0},
        "images": {"train": tuple(images)},
        **changes,
    }
    return Listed(**arguments)


def broken(count: int = 50, at: int = 20) -> Listed:
    """With an image that cannot be read."""
    whole = listed(count)
    images = list(whole.images["train"])
    images[at] = b""
    return dataclasses.replace(whole, images={"train": tuple(images)})


def read(folder: Path, pattern: str) -> list[list[dict[str, Any]]]:
    """The features of the records, file by file, read with nothing of ours."""
    files = []
    for path in sorted(folder.glob(pattern)):
        records = []
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            records.append(
                {
                    key: (*value.bytes_list.value, *value.int64_list.value)
                    for key, value in feature.items()
                }
            )
        files.append(records)
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def digits() -> Source:
    return digits_source()


@pytest.fixture(scope="module")
def reference(digits: Source, tmp_path_factory: Any) -> Path:
    """The digits, written without interruption."""
    folder = tmp_path_factory.mktemp("digits") / "new" / "folder"
    prepare(digits, str(folder), shards=SHARDS)
    return folder


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


class Failing:
    """In the place of tf.io.TFRecordWriter: fails at the 20th record of the file of this name."""

    def __init__(self, name: str, error: BaseException) -> None:
        self._name, self._error, self._writer = name, error, tf.io.TFRecordWriter

    @contextlib.contextmanager
    def __call__(self, path: str) -> Iterator[Any]:
        records = itertools.count(1)

        def write(record: bytes) -> None:
            if path.endswith(self._name) and next(records) == 20:
                raise self._error
            writer.write(record)

        with self._writer(path) as writer:
            yield SimpleNamespace(write=write)


FULL = tf.errors.ResourceExhaustedError(None, None, "No space left on device")


@pytest.mark.parametrize("name", ["train-00004-of-00007", "validation-00001-of-00003"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_full_disk(
    digits: Source, reference: Path, tmp_path: Path, monkeypatch: Any, name: str, threads: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", Failing(name, FULL))
        expected = rf"{tmp_path}/{name} could not be written: No space left .*finished files are k"
        with pytest.raises(RunError, match=expected):
            prepare(digits, str(tmp_path), shards=SHARDS, threads=threads)
    names = sorted(contents(tmp_path))
    assert names[0] == journal.JOURNAL
    assert not [path for path in names if path.startswith("partial.") or path == name]
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-of-*")}
    assert len(kept) >= 4  # those before it, and maybe those beside it
    said: list[str] = []
    prepare(digits, str(tmp_path), shards=SHARDS, threads=threads, say=said.append)
    assert said[0] == f"{len(kept)} of 12 files are finished in {tmp_path}, going on."
    assert contents(tmp_path) == contents(reference)
    for path, written in kept.items():
        assert (tmp_path / path).stat().st_mtime_ns == written


def test_an_interrupted_run_goes_on(
    digits: Source, reference: Path, tmp_path: Path, monkeypatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", Failing("train-00003-of-00007", KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            prepare(digits, str(tmp_path), shards=SHARDS)
    assert not list(tmp_path.glob("partial.*"))
    # The journal may end in the middle of a line, and a listed file may have lost its end.
    with (tmp_path / journal.JOURNAL).open("a") as file:
        file.write('{"name": "train-00003-of-')
    (tmp_path / "train-00001-of-00007").write_bytes(b"")
    prepare(digits, str(tmp_path), shards=SHARDS)
    assert contents(tmp_path) == contents(reference)


def test_resuming_reads_from_the_first_missing_file(tmp_path: Path, monkeypatch) -> None:
    starts = []
    source = listed()

    class Watched(Listed):
        def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
            starts.append(how.start)
            return super().examples(split, how)

    watched = Watched(**vars(source))
    prepare(watched, str(tmp_path), shards={"train": 10})
    whole = contents(tmp_path)
    for name in ("train-00004-of-00010", "train-00007-of-00010"):
        (tmp_path / name).unlink()  # also a finished set is repaired
    prepare(watched, str(tmp_path), shards={"train": 10})
    assert starts == [0, 20]
    assert contents(tmp_path) == whole


KILLED = """
import sys, time
from efficientnet_tf.data.prepare import conversion as prepare
from efficientnet_tf.data.sources.in_memory import digits_source
serialise = prepare.serialise
def slowly(*arguments):
    time.sleep(0.002)
    return serialise(*arguments)
prepare.serialise = slowly
prepare.prepare(digits_source(), sys.argv[1], shards={"train": 7, "minival": 2, "test": 3})
"""


def test_a_killed_run_goes_on(digits: Source, reference: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    partial = tmp_path / "partial.train-00003-of-00007"
    while not partial.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    if process.stderr:
        process.stderr.close()
    found = contents(tmp_path)
    assert "partial.train-00003-of-00007" in found  # it was in the middle of a file
    assert manifest.MANIFEST not in found
    prepare(digits, str(tmp_path), shards=SHARDS)
    assert contents(tmp_path) == contents(reference)


def test_a_complete_folder_is_left_alone(digits: Source, reference: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in reference.iterdir()}
    said: list[str] = []
    made = prepare(digits, str(reference), shards=SHARDS, say=said.append)
    assert said[0] == f"{reference} is complete: nothing to write."
    assert made == manifest.read(str(reference))
    assert {path: path.stat().st_mtime_ns for path in reference.iterdir()} == before


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
        "left out train/20.image: this is no image in one of the formats JPEG, PNG, GIF, BMP, "
        "WEBP: nothing could be read."
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
    with pytest.raises(RunError, match=r"image has label 3, but .* \"listed\" must be 0 to 2"):
        prepare(source, str(tmp_path))


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
