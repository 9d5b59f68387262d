"""TFDS sets: every example once and as TFDS reads it, splits, where sets are found, refusals."""

import json
import re
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from efficientnet_tf.data.sources import tfds_source as module
from efficientnet_tf.data.sources.records import RecordSource
from efficientnet_tf.data.sources.source import Pass
from efficientnet_tf.data.sources.tfds_source import tfds_source
from efficientnet_tf.errors import RunError, UsageError

VERSION = "1.2.0"
COLOUR = tfds.features.Image(shape=(6, 7, 3))  # kept as PNG
TWO = tfds.features.ClassLabel(names=["cat", "dög"])


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", pytest.fail)
    monkeypatch.setattr(socket, "getaddrinfo", pytest.fail)


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


Store = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Prepares a set of `count` examples per split in tmp_path/data, gives its folder."""

    def write(
        splits: dict[str, Any],
        features: dict[str, Any] | None = None,
        num_shards: int = 1,
        file_format: str = "tfrecord",
        **more: Any,
    ) -> Path:
        rows = {
            split: examples(rows or 1) if isinstance(rows, int) else rows
            for split, rows in splits.items()
        }
        folder = str(tmp_path / "data")
        builder = Stored(features or {"image": COLOUR, "label": TWO}, rows, data_dir=folder, **more)
        builder.download_and_prepare(
            file_format=file_format,
            download_config=tfds.download.DownloadConfig(num_shards=num_shards),
        )

        def empty(info: dict[str, Any]) -> None:  # TFDS only writes splits with examples
            for split in info["splits"]:
                if not splits[split["name"]]:
                    split["shardLengths"] = ["0"]

        change_json(Path(builder.data_dir) / "dataset_info.json", empty)
        return Path(builder.data_dir)

    return write


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


@pytest.mark.parametrize(("encoding", "num_shards"), [("png", 1), ("jpeg", 2), ("png", 4)])
def test_every_example_once_and_as_tfds_reads_it(store, encoding: str, num_shards: int) -> None:
    image = tfds.features.Image(shape=(None, None, 3), encoding_format=encoding)
    folder = store({"train": 5, "test": 23}, {"image": image, "label": TWO}, num_shards=4)
    source = tfds_source(str(folder))
    assert (source.num_classes, source.class_names) == (2, ("cat", "dög"))
    assert source.num_examples["test"] == 23
    expected = read_by_tfds(folder, "test", "image", "label")
    assert set(expected.values()) == {1}
    for shuffle in (False, True):
        passes = [
            source.examples(
                "test", Pass(shuffle=shuffle, epoch=3, seed=1, shard_index=i, num_shards=num_shards)
            )
            for i in range(num_shards)
        ]
        assert passes[0].element_spec["image"] == tf.TensorSpec([], tf.string)
        assert passes[0].element_spec["label"] == tf.TensorSpec([], tf.int64)
        assert read_by_us(passes) == expected


def test_resumed_pass_is_the_rest(store) -> None:
    source = tfds_source(str(store({"train": 30, "test": 4}, num_shards=3)))
    how = {"epoch": 2, "seed": 5, "shuffle": True}
    whole = numbers(source, "train", **how)
    assert sorted(whole) != whole
    for start in (1, 11, len(whole)):
        assert numbers(source, "train", start=start, **how) == whole[start:]


def test_place_names_file_and_record(store) -> None:
    folder = store({"train": 4, "test": 6}, num_shards=2)
    source = tfds_source(str(folder))
    rows = list(source.examples("test"))
    places = {source.place("test", int(row["index"])) for row in rows}
    assert places == {
        f"{folder}/stored-test.tfrecord-0000{i}-of-00002, record {k} (counted from 0)"
        for i in range(2)
        for k in range(3)
    }


def test_damaged_record_keeps_its_place(store) -> None:
    folder = store({"train": 4, "test": 3})
    path = folder / "stored-test.tfrecord-00000-of-00001"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    other = tf.train.Example().SerializeToString()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in (records[0], other, records[2]):
            writer.write(record)
    source = tfds_source(str(folder))
    rows = list(source.examples("test", Pass(skip_errors=True)).as_numpy_iterator())
    assert [row["image"] == b"" for row in rows] == [False, True, False]
    assert [row["index"] for row in rows] == [0, 1, 2]
    with pytest.raises(tf.errors.InvalidArgumentError, match="image"):
        list(source.examples("test"))


def test_grey_images_stay_encoded(store) -> None:
    features = {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    rows = [{"image": noise(i, (28, 28, 1)), "label": i} for i in range(10)]
    folder = store({"train": rows, "test": rows}, features, supervised_keys=("image", "label"))
    source = tfds_source(str(folder))
    assert (source.num_classes, source.class_names) == (10, tuple("0123456789"))
    one_pass = source.examples("test")
    assert one_pass.element_spec["image"] == tf.TensorSpec([], tf.string)
    assert read_by_us([one_pass]) == read_by_tfds(folder, "test", "image", "label")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encoding", ["none", "zlib"])
def test_pixels_that_are_not_encoded(store, channels: int, encoding: str) -> None:
    image = tfds.features.Tensor(shape=(4, 5, channels), dtype=np.uint8, encoding=encoding)
    rows = [{"image": noise(i, (4, 5, channels)), "label": i % 2} for i in range(6)]
    folder = store({"train": rows, "test": rows}, {"image": image, "label": TWO})
    dataset = tfds_source(str(folder)).examples("test")
    assert dataset.element_spec["image"] == tf.TensorSpec([4, 5, 3], tf.uint8)
    found = {row["image"].tobytes(): row["label"] for row in dataset.as_numpy_iterator()}
    repeated = {np.repeat(row["image"], 3 // channels, -1).tobytes(): row["label"] for row in rows}
    assert found == repeated


def test_supervised_keys_name_the_features(store) -> None:
    features = {
        "picture": COLOUR,
        "coarse": tfds.features.ClassLabel(num_classes=2),
        "fine": tfds.features.ClassLabel(num_classes=5),
        "label": tfds.features.Text(),
    }
    rows = [{"picture": noise(i), "coarse": i % 2, "fine": i % 5, "label": "no"} for i in range(10)]
    folder = store({"train": rows, "test": rows}, features, supervised_keys=("picture", "fine"))
    source = tfds_source(str(folder))
    assert source.num_classes == 5
    found = read_by_us([source.examples("test")])
    assert found == read_by_tfds(folder, "test", "picture", "fine")


def test_nested_supervised_keys_are_passed_over(store) -> None:
    keys = ({"a": "image", "b": "image"}, "label")
    assert tfds_source(str(store({"train": 5, "test": 1}, supervised_keys=keys))).num_classes == 2


@pytest.mark.parametrize(
    ("stored", "arguments", "expected", "test_is"),
    [
        # A tenth of train for each that is missing.
        ({"train": 100}, {}, (80, 10, 10), "train"),
        ({"train": 100}, {"minival": 7, "test": 20}, (73, 7, 20), "train"),
        ({"train": 100, "test": 5}, {}, (90, 10, 5), "test"),
        # As for ImageNet, whose validation set is what papers test on.
        ({"train": 100, "validation": 6}, {}, (90, 10, 6), "validation"),
        ({"train": 100, "validation": 6}, {"minival": 25}, (75, 25, 6), "validation"),
        ({"train": 100, "test": 5, "validation": 6}, {}, (100, 6, 5), "test"),
        ({"train": 100, "test": 5, "validation": 6}, {"minival": 7}, (93, 7, 5), "test"),
        # A test split without labels is none; splits that are none of ours are left alone.
        ({"train": 100, "test": -5, "validation": 6, "extra": 9}, {}, (90, 10, 6), "validation"),
        ({"train": 100, "test": -5}, {"test": 3}, (87, 10, 3), "train"),
        ({"train": 100, "test": 0}, {}, (80, 10, 10), "train"),
    ],
)
def test_splits(store, stored, arguments, expected, test_is: str) -> None:
    def rows(split: str, count: int) -> list[dict[str, Any]]:
        if split == "train" or count == 0:
            return examples(count)
        # Other images than train's. A count below 0 stands for hidden labels.
        return examples(100 + abs(count), label=-1 if count < 0 else 0)[100:]

    folder = store({split: rows(split, count) or 0 for split, count in stored.items()})
    source = tfds_source(str(folder), **arguments)
    found = {split: numbers(source, split) for split in ("train", "minival", "test")}
    assert tuple(source.num_examples[split] for split in found) == expected
    assert tuple(map(len, found.values())) == expected
    from_train = [split for split in found if max(found[split]) < 100]
    held_out = [split for split in from_train if split != "train"]
    assert sorted(sum((found[split] for split in from_train), [])) == list(range(100))
    assert ("test" in held_out) == (test_is == "train")
    assert Path(source.files["test"].paths[0]).name.startswith(f"stored-{test_is}.tfrecord-")


def test_held_out_images_are_fixed_by_the_seed(store) -> None:
    folder = str(store({"train": 100}, num_shards=3))

    def chosen(split: str, **arguments: int) -> set[int]:
        source = tfds_source(folder, **arguments)
        return set(numbers(source, split, epoch=4, seed=9, shuffle=True))

    first = {split: chosen(split) for split in ("train", "minival", "test")}
    assert first == {split: chosen(split, split_seed=0) for split in first}
    assert first["test"] == chosen("test", minival=77)  # does not depend on minival
    assert first["train"] | first["minival"] | first["test"] == set(range(100))
    for split in ("minival", "test"):
        assert len(first[split]) == 10
        assert chosen(split, split_seed=1) != first[split]


def test_files_without_examples(store) -> None:
    folder = store({"train": 8, "test": 10}, num_shards=2)

    def insert(info: dict[str, Any]) -> None:  # Beam writes sets with empty files
        for split in info["splits"]:
            name = f"stored-{split['name']}.tfrecord"
            one, two = split["shardLengths"]
            split["shardLengths"] = ["0", one, "0", two]
            for old, new in ((1, 3), (0, 1)):
                old_path = folder / f"{name}-0000{old}-of-00002"
                old_path.rename(folder / f"{name}-0000{new}-of-00004")
            (folder / f"{name}-00000-of-00004").touch()  # the other one does not even exist

    change_json(folder / "dataset_info.json", insert)
    source = tfds_source(str(folder), minival=3)
    for shuffle in (False, True):
        shards = [
            numbers(source, "test", shuffle=shuffle, shard_index=i, num_shards=4) for i in range(4)
        ]
        assert sorted(sum(shards, [])) == list(range(10))
    together = numbers(source, "train") + numbers(source, "minival")
    assert sorted(together) == list(range(8))


def test_prepared_set_is_found_without_its_code(store, tmp_path: Path) -> None:
    folder = store({"train": 10, "test": 3})
    data_dir = str(tmp_path / "data")
    for name, where in [
        ("stored", data_dir),
        ("stored:1.2.0", data_dir),
        ("stored:1.*.*", data_dir),
        ("stored", str(folder)),
        ("stored:1.2.*", str(folder)),
        (str(folder), None),
    ]:
        source = tfds_source(name, where)
        assert source.name == f"tfds:{name}"
        assert source.files["test"].paths == [f"{folder}/stored-test.tfrecord-00000-of-00001"]


def test_default_data_dir_and_home_are_those_of_tfds(store, monkeypatch, tmp_path: Path) -> None:
    store({"train": 10, "test": 3})
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "data"))
    assert tfds_source("stored").num_examples["test"] == 3
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tfds_source("stored", "~/data").num_examples["test"] == 3
    assert tfds_source(f"~/data/stored/{VERSION}").num_examples["test"] == 3


def test_prepared_config_is_found(store, tmp_path: Path) -> None:
    config = tfds.core.BuilderConfig(name="large", version=VERSION)
    folder = store({"train": 10, "test": 3}, config=config)
    assert folder.parts[-2:] == ("large", VERSION)
    for name, where in [
        ("stored/large", tmp_path / "data"),
        ("stored/large:1.*.*", tmp_path / "data"),
        ("stored/large", folder),
    ]:
        assert tfds_source(name, str(where)).num_examples["test"] == 3


def test_files_on_disk_come_before_newer_code(store, tmp_path: Path) -> None:
    """Of cifar10, TFDS has code of another version, which it would have to download."""
    store({"train": 10, "test": 3}, name="cifar10")
    assert tfds_source("cifar10", str(tmp_path / "data")).num_examples["test"] == 3


@pytest.mark.parametrize("name", ["other", "stored/small", "stored:2.*.*", "stored:1.2.1"])
def test_data_dir_with_another_set_is_refused(store, name: str) -> None:
    folder = store({"train": 10})
    message = f'holds the set "stored/1.2.0", not "{name}"'
    with pytest.raises(UsageError, match=re.escape(message)):
        tfds_source(name, str(folder))


def test_folder_and_data_dir_are_refused(store, tmp_path: Path) -> None:
    folder = store({"train": 10})
    with pytest.raises(UsageError, match="data_dir must not be given when the set is a folder"):
        tfds_source(str(folder), str(tmp_path))


def test_set_is_prepared_on_first_use(tmp_path: Path, monkeypatch) -> None:
    source = tfds_source("registered_for_tests", str(tmp_path))
    folder = tmp_path / "registered_for_tests" / VERSION
    assert (folder / "registered_for_tests-train.tfrecord-00000-of-00001").exists()
    assert source.num_examples == {"train": 8, "minival": 1, "test": 1}
    monkeypatch.setattr(RegisteredForTests, "failure", ValueError("prepared twice"))
    again = tfds_source("registered_for_tests", str(tmp_path))
    assert numbers(again, "train") == numbers(source, "train")


def test_set_that_cannot_be_downloaded(tmp_path: Path, monkeypatch) -> None:
    failure = ConnectionError("Failed to resolve 'example.org'\n(no network)")
    monkeypatch.setattr(RegisteredForTests, "failure", failure)
    expected = (
        f'"tfds:registered_for_tests" is not in {tmp_path}/registered_for_tests/1.2.0 and could '
        "not be prepared there: Failed to resolve 'example.org' (no network). Prepare it where "
        "there is a network (with this command, or tfds build --file_format=tfrecord), and give "
        "its folder as data_dir."
    )
    with pytest.raises(RunError, match=re.escape(expected)):
        tfds_source("registered_for_tests", str(tmp_path))


def test_cifar10_that_cannot_be_downloaded(tmp_path: Path, monkeypatch) -> None:
    """TFDS itself would try for three minutes."""

    def fail(builder: Any, *, file_format: str) -> None:
        raise ConnectionError(f"no network for {builder.name} as {file_format}")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    expected = rf'"tfds:cifar10" is not in {tmp_path}/cifar10/3\.\d\.\d and .* for cifar10 as tfrec'
    with pytest.raises(RunError, match=expected):
        tfds_source("cifar10", str(tmp_path))


def test_set_that_must_be_fetched_by_hand(tmp_path: Path) -> None:
    steps = "Register at example.org, then put photos.tar there. Prepare it where"
    with pytest.raises(UsageError, match=rf"downloads/manual does not exist .* {steps}") as caught:
        tfds_source("by_hand_for_tests", str(tmp_path))
    assert str(caught.value).count("example.org") == 1
    (tmp_path / "downloads" / "manual").mkdir(parents=True)
    (tmp_path / "downloads" / "manual" / "photos.zip").touch()
    with pytest.raises(UsageError, match=rf"photos\.tar; No such file.* {steps}"):
        tfds_source("by_hand_for_tests", str(tmp_path))


def test_long_reasons_are_cut(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(RegisteredForTests, "failure", OSError("much " * 1000))
    with pytest.raises(RunError, match=r"much much \.\.\. Prepare it where") as caught:
        tfds_source("registered_for_tests", str(tmp_path))
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifra10", r'"tfds:cifra10" is not known to .* not prepared in .*Did you mean "cifar10"'),
        ("cifra10:1.*.*", r'is not known to .*Did you mean "cifar10"'),
        ("registered_for_tests:9.*.*", r"cannot be loaded from .* only: 1\.2\.0"),
        ("stored:9.*.*", r"is not known to .* not prepared in .* Check name and version"),
        ("", r'"tfds:" cannot be loaded from .* given as tfds:name, tfds:name/config'),
        ("cifar10:9", r"cannot be loaded from .*Parsing builder name string cifar10:9 failed"),
        ("cifar10:9.*.*", r"cannot be loaded from .*at version 9\.\*\.\*, only: 3\."),
        ("cifar10/large", r"cannot be loaded from .*BuilderConfig large not found"),
        ("/nowhere/cifar10", r"is a folder without dataset_info\.json\. Give the folder"),
        ("./cifar10/3.0.2", r"is a folder without dataset_info\.json"),
    ],
)
def test_unknown_sets_are_refused(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        tfds_source(name, str(tmp_path))
    assert len(str(caught.value)) < 700
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("features", "example", "expected"),
    [
        (
            {"image": COLOUR, "caption": tfds.features.Text()},
            {"image": noise(0), "caption": "a cat"},
            r'must have the features "image" and "label", found "caption", "image"',
        ),
        (
            {"image": COLOUR, "label": tfds.features.Scalar(np.int64)},
            {"image": noise(0), "label": 3},
            r'"label" of .* must be a ClassLabel with a known number of classes, found Scalar',
        ),
        (
            {"image": COLOUR, "label": tfds.features.Sequence(TWO)},
            {"image": noise(0), "label": [0, 1]},
            r'"label" of .* must be a ClassLabel with a known number of classes, found Sequence',
        ),
        (
            {"image": tfds.features.Text(), "label": TWO},
            {"image": "a.jpg", "label": 0},
            r'"image" of .* must be an Image, or a uint8 Tensor .*, found Text',
        ),
        (
            {"image": tfds.features.Image(shape=(6, 7, 1), dtype=np.float32), "label": TWO},
            {"image": np.zeros((6, 7, 1), np.float32), "label": 0},
            r'"image" of .* must be an Image, or a uint8 Tensor .*, found Image',
        ),
        (
            {"image": tfds.features.Tensor(shape=(6, 7, 3), dtype=np.float32), "label": TWO},
            {"image": np.zeros((6, 7, 3), np.float32), "label": 0},
            r'"image" of .* must be an Image, or a uint8 Tensor .*, found Tensor',
        ),
        (
            {"image": tfds.features.Tensor(shape=(6, 7), dtype=np.uint8), "label": TWO},
            {"image": np.zeros((6, 7), np.uint8), "label": 0},
            r"height, width and 1 or 3 channels, found Tensor\(shape=\(6, 7\)",
        ),
        (
            {"image": tfds.features.Tensor(shape=(6, 7, 4), dtype=np.uint8), "label": TWO},
            {"image": np.zeros((6, 7, 4), np.uint8), "label": 0},
            r"height, width and 1 or 3 channels, found Tensor\(shape=\(6, 7, 4\)",
        ),
    ],
)
def test_sets_of_other_things_are_refused(store, features, example, expected: str) -> None:
    folder = store({"train": [example]}, features)
    with pytest.raises(UsageError, match=f'the data set "tfds:{folder}"') as caught:
        tfds_source(str(folder))
    assert re.search(expected, str(caught.value)), caught.value


def test_class_label_without_a_number_is_refused(store) -> None:
    folder = store({"train": 5})

    def forget(info: dict[str, Any]) -> None:
        info["featuresDict"]["features"]["label"]["classLabel"] = {}

    change_json(folder / "features.json", forget)
    (folder / "label.labels.txt").unlink()
    with pytest.raises(UsageError, match="a ClassLabel with a known number of classes, found"):
        tfds_source(str(folder))


def test_other_file_formats_are_refused(store) -> None:
    folder = store({"train": 10}, file_format="array_record")
    expected = rf"must be stored as tfrecord, found array_record in {folder}\. Give another data_di"
    with pytest.raises(UsageError, match=expected):
        tfds_source(str(folder))


def test_tfrecords_beside_another_format_are_read(store) -> None:
    folder = store({"train": 10, "test": 4})
    both = {"fileFormat": "array_record", "alternativeFileFormats": ["tfrecord"]}
    change_json(folder / "dataset_info.json", lambda info: info.update(both))
    source = tfds_source(str(folder))
    assert sorted(numbers(source, "test")) == [0, 1, 2, 3]


def test_missing_files_are_refused(store) -> None:
    folder = store({"train": 10, "test": 4}, num_shards=2)
    (folder / "stored-test.tfrecord-00001-of-00002").unlink()
    expected = r"lacks 1 of 2 files: stored-test.tfrecord-00001-of-00002 \(in .*Copy or prepare it"
    with pytest.raises(UsageError, match=expected):
        tfds_source(str(folder))
    shutil.copy(
        folder / "stored-test.tfrecord-00000-of-00002",
        folder / "stored-test.tfrecord-00001-of-00002",
    )
    assert tfds_source(str(folder)).num_examples["test"] == 4


@pytest.mark.parametrize("splits", [{"test": 4}, {"train": 0, "test": 4}, {"extra": 4}])
def test_a_set_without_train_is_refused(store, splits) -> None:
    folder = store(splits)
    found = ", ".join(f'"{split}"' for split in splits)
    expected = rf'must have a split "train" with examples, found {found} in {folder}'
    with pytest.raises(UsageError, match=expected):
        tfds_source(str(folder))


def test_counts_that_cannot_be_are_refused(store) -> None:
    only_train, with_test = (
        str(store({"train": 20})),
        str(store({"train": 20, "test": 4}, name="b")),
    )
    for value in (-1, True, 2.5, "7"):
        with pytest.raises(UsageError, match="minival must be a whole number of images"):
            tfds_source(only_train, minival=value)
        with pytest.raises(UsageError, match="test must be a whole number of images"):
            tfds_source(only_train, test=value)
    with pytest.raises(
        UsageError, match="test must be 0, received 3: .*has a test or validation split"
    ):
        tfds_source(with_test, test=3)
    with pytest.raises(UsageError, match="minival must leave .*minival = 20 were .* of the 20 of"):
        tfds_source(with_test, minival=20)
    expected = "test and minival must leave .*test = 15 and minival = 5 were .* of the 20 of"
    with pytest.raises(UsageError, match=expected):
        tfds_source(only_train, minival=5, test=15)
    assert tfds_source(only_train, minival=5, test=14).num_examples["train"] == 1
    with pytest.raises(UsageError, match="split_seed must be"):
        tfds_source(only_train, split_seed=-1)


def test_the_papers_minival_is_the_most_by_default(monkeypatch) -> None:
    files = module.RecordFiles(["x"], np.array([1_281_167]))
    monkeypatch.setattr(
        module, "_prepared_builder", lambda *_: Stored({"image": COLOUR, "label": TWO}, {})
    )
    monkeypatch.setattr(module, "_files_of_splits", lambda *_: {"train": files, "test": files})
    sizes = tfds_source("imagenet2012").num_examples
    assert (sizes["train"], sizes["minival"]) == (1_256_167, 25_000)
