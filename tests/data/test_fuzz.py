"""Mutated images and TFRecord files: an image, or the documented error; no crash, no hang.

Hundreds in every run of the tests, 2,000 in the slow ones.
Run in a process of its own, so that a crash or a hang of TensorFlow's C++ is a failed test.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from mutation import mutate

GOLDEN = Path(__file__).parents[1] / "golden" / "images"
SIZE = 32
RECORDS = 5  # in a file
TIMEOUT = 600  # seconds; all of them take about forty


def originals() -> list[bytes]:
    """The golden photos, and small JPEG and PNG files made here."""
    photos = [path.read_bytes() for path in sorted(GOLDEN.glob("*.jpg"))]
    pixels = tf.image.resize(tf.io.decode_jpeg(photos[0], channels=3), [40, 56])
    small = tf.cast(pixels, tf.uint8)
    return [
        *photos,
        tf.io.encode_jpeg(small).numpy(),
        tf.io.encode_jpeg(small, progressive=True).numpy(),
        tf.io.encode_jpeg(small[..., :1]).numpy(),
        tf.io.encode_png(small).numpy(),
        tf.io.encode_png(tf.cast(small, tf.uint16) * 257).numpy(),
    ]


def fuzz_images(count: int) -> tuple[int, int]:
    """(mutated images that could still be used, those that could not)."""
    from efficientnet_tf.data.broken import map_or
    from efficientnet_tf.data.images.preprocessing import Preprocessing

    preprocessing = Preprocessing(SIZE)
    random = np.random.RandomState(0)
    whole = originals()
    mutated = [mutate(whole[i % len(whole)], random) for i in range(count)]

    def both(image: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, bool]:
        evaluated = preprocessing.for_eval(image)
        trained = preprocessing.for_train(image, tf.stack([index, index]))
        return tf.stack([evaluated, trained]), True

    def neither(image: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, bool]:
        return tf.zeros([2, SIZE, SIZE, 3]), False

    examples = tf.data.Dataset.from_tensor_slices((mutated, tf.range(count)))
    results = list(map_or(examples, both, neither).as_numpy_iterator())
    assert len(results) == count
    for images, good in results:
        assert np.isfinite(images).all()
        # TensorFlow 1's bicubic overshoots by at most a third on each axis.
        assert not good or (images.min() > -200 and images.max() < 455)
    for image in mutated[:100]:  # and where nothing catches errors, one of the two kinds
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            preprocessing.for_eval(image)
    usable = sum(bool(good) for _, good in results)
    return usable, count - usable


def fuzz_files(folder: Path, count: int) -> tuple[int, int]:
    """(mutated TFRecord files that could still be read whole, those that could not)."""
    from efficientnet_tf.data.sources.records import RecordFiles, RecordSource
    from efficientnet_tf.data.sources.source import Pass
    from efficientnet_tf.data.sources.tfrecord import official_parser

    random = np.random.RandomState(1)
    photos = originals()[3:]
    original = folder / "original"
    with tf.io.TFRecordWriter(str(original)) as writer:
        for number in range(RECORDS):
            example = tf.train.Example()
            feature = example.features.feature
            feature["image/encoded"].bytes_list.value.append(photos[number % len(photos)])
            feature["image/class/label"].int64_list.value.append(number + 1)
            writer.write(example.SerializeToString())
    paths = [str(folder / f"mutated-{number}") for number in range(count)]
    for path in paths:
        Path(path).write_bytes(mutate(original.read_bytes(), random))

    def read(paths: list[str], known: bool, skip_errors: bool) -> list[tuple[int, bytes]]:
        counts = np.full(len(paths), RECORDS) if known else None
        source = RecordSource(
            name="fuzz",
            num_classes=RECORDS,
            class_names=None,
            num_examples={"train": RECORDS * len(paths)},
            files={"train": RecordFiles(paths, counts)},
            parse=official_parser(label_offset=1),
        )
        how = Pass(skip_errors=skip_errors)
        examples = source.examples("train", how).as_numpy_iterator()
        return sorted((int(example["index"]), example["image"]) for example in examples)

    indices = [file * 2**32 + number for file in range(count) for number in range(RECORDS)]
    kept = read(paths, known=True, skip_errors=True)
    assert [index for index, _ in kept] == indices
    # Where counts are unknown the lost rest of a file is one example.
    found = read(paths, known=False, skip_errors=True)
    assert {pair for pair in kept if pair[1]} == {pair for pair in found if pair[1]}
    broken = {index >> 32 for index, image in kept if not image}
    # Only what follows the last record can be broken besides; where counts are known, it is unread.
    others = [index for index, image in found if not image and index >> 32 not in broken]
    assert all(index % 2**32 == RECORDS for index in others)
    for number in range(0, count, 8):  # where nothing catches errors
        try:
            whole = read(paths[number : number + 1], known=True, skip_errors=False)
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError):
            assert number in broken
        else:
            assert [image for _, image in whole] == [i for n, i in kept if n >> 32 == number]
    return count - len(broken), len(broken)


@pytest.mark.parametrize(
    ("images", "files"), [(200, 50), pytest.param(1600, 400, marks=pytest.mark.slow)]
)
def test_mutated_bytes_never_crash_or_hang(images: int, files: int) -> None:
    command = [sys.executable, "-m", "data.test_fuzz", str(images), str(files)]
    tests = Path(__file__).parents[1]
    result = subprocess.run(command, cwd=tests, capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == 0, result.stderr[-3000:]
    usable, unusable, whole, broken = map(int, result.stdout.split()[-4:])
    assert usable + unusable == images
    assert whole + broken == files
    # Both kinds of outcome are met in numbers, or the mutations are too weak or too strong.
    assert min(usable, unusable) > images / 10
    assert broken > files / 2


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(*fuzz_images(int(sys.argv[1])), *fuzz_files(Path(temporary), int(sys.argv[2])))
