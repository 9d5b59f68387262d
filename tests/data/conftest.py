"""Small data sets: in the layout of ImageNet, made from the golden photos, and ten examples."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import tensorflow as tf
from numbered_images import decoded, numbered

from efficientnet_tf.data.sources.records import RecordSource
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.data.sources.tfrecord import tfrecord_source

IMAGES = Path(__file__).parents[1] / "golden" / "images"


def serialised(encoded: bytes, label: int) -> bytes:
    """A tf.train.Example as in the official files."""
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    """The three golden JPEGs."""
    return [path.read_bytes() for path in sorted(IMAGES.glob("*.jpg"))]


@pytest.fixture(scope="session")
def write_records() -> Callable[[Path, Sequence[tuple[bytes, int]]], None]:
    """Writes (encoded image, stored label) pairs into a TFRecord file."""

    def write(path: Path, examples: Sequence[tuple[bytes, int]]) -> None:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for encoded, label in examples:
                writer.write(serialised(encoded, label))

    return write


@pytest.fixture
def make_imagenet(
    tmp_path: Path, photos: list[bytes], write_records: Callable[..., None]
) -> Callable[[Sequence[int], Sequence[int]], Path]:
    """Writes a set with so many records per train and validation file.

    The stored labels count from 1 in the order of the files, so that a label names an example.
    """

    def make(train: Sequence[int], validation: Sequence[int]) -> Path:
        for prefix, counts in (("train", train), ("validation", validation)):
            label = 0
            for number, count in enumerate(counts):
                name = f"{prefix}-{number:05d}-of-{len(counts):05d}"
                stored = range(label + 1, label + count + 1)
                write_records(tmp_path / name, [(photos[i % 3], i) for i in stored])
                label += count
        return tmp_path

    return make


@pytest.fixture
def encoded(make_imagenet) -> RecordSource:
    """Ten JPEGs in "train" and ten in "test", in several files, with labels 0..9."""
    return tfrecord_source(str(make_imagenet([3, 1, 4, 2], [3, 1, 4, 2])), minival_shards=0)


@pytest.fixture(params=["arrays", "records"])
def ten(request, encoded: RecordSource) -> Source:
    """Ten examples in "train" and ten in "test", with labels 0..9."""
    return numbered(10) if request.param == "arrays" else decoded(encoded)
