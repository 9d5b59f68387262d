"""Sets of TensorFlow Datasets made for tests, and their examples as TFDS and as we read them."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from efficientnet_tf.data.sources.records import RecordSource
from efficientnet_tf.data.sources.source import Pass

VERSION = "1.2.0"
COLOUR = tfds.features.Image(shape=(6, 7, 3))  # kept as PNG
TWO = tfds.features.ClassLabel(names=["cat", "dög"])


class Stored(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes given examples; it has no code that TFDS could find later."""

    name = "stored"
    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        features: dict[str, Any],
        splits: dict[str, Sequence[dict[str, Any]]],
        supervised_keys: Any = None,
        name: str = "stored",
        **more: Any,
    ) -> None:
        self.name = name
        self._features = features
        self._splits = splits
        self._supervised_keys = supervised_keys
        super().__init__(**more)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(self._features),
            supervised_keys=self._supervised_keys,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(rows) for split, rows in self._splits.items()}

    def _generate_examples(self, examples: Sequence[dict[str, Any]]) -> Any:
        yield from enumerate(examples)


class RegisteredForTests(tfds.core.GeneratorBasedBuilder):
    """A set whose code TFDS finds by name, and which can be prepared on first use."""

    VERSION = tfds.core.Version(VERSION)
    failure: Exception | None = None

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"image": COLOUR, "label": TWO})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Any:
        yield from enumerate(examples(10))


class ByHandForTests(tfds.core.GeneratorBasedBuilder):
    """A set whose files users must fetch themselves, such as ImageNet."""

    VERSION = tfds.core.Version(VERSION)
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
      Register at example.org,
      then put photos.tar there.
    """

    _info = RegisteredForTests._info

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        with tf.io.gfile.GFile(str(dl_manager.manual_dir / "photos.tar")) as file:
            file.read()
        return {}

    def _generate_examples(self) -> Any:
        yield from ()


def noise(number: int, shape: tuple[int, ...] = (6, 7, 3)) -> np.ndarray:
    pixels = np.random.RandomState(number).randint(0, 256, shape).astype(np.uint8)
    pixels[0, 0] = number  # so that an image can be told
    return pixels


def examples(count: int, label: int | None = None) -> list[dict[str, Any]]:
    return [{"image": noise(i), "label": i % 2 if label is None else label} for i in range(count)]


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def numbers(source: RecordSource, split: str, **more: Any) -> list[int]:
    """The images of a pass, by the number in their first pixel."""
    return [
        int(tf.io.decode_image(example["image"])[0, 0, 0])
        for example in source.examples(split, Pass(**more))
    ]


def read_by_tfds(folder: Path, split: str, image: str, label: str) -> Counter:
    """(label, shape, pixels) of a split as TFDS decodes it."""
    dataset = tfds.builder_from_directory(folder).as_dataset(split=split)
    return Counter(
        (int(row[label]), row[image].shape, row[image].tobytes())
        for row in dataset.as_numpy_iterator()
    )


def read_by_us(passes: Sequence[tf.data.Dataset], channels: int = 0) -> Counter:
    rows = [row for dataset in passes for row in dataset.as_numpy_iterator()]
    images = [tf.io.decode_image(row["image"], channels).numpy() for row in rows]
    return Counter(
        (int(row["label"]), image.shape, image.tobytes())
        for row, image in zip(rows, images, strict=True)
    )
