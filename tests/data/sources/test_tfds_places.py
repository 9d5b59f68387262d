"""TFDS sets: where they are found, prepared on first use, and what is said of others."""

import re
from pathlib import Path
from typing import Any

import pytest
import tensorflow_datasets as tfds
from stored_sets import VERSION, RegisteredForTests, numbers

from efficientnet_tf.data.sources.tfds_source import tfds_source
from efficientnet_tf.errors import RunError, UsageError

pytestmark = pytest.mark.usefixtures("no_network")


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
