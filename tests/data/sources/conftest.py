"""Prepares sets of TensorFlow Datasets in the folder of a test, without a network."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow_datasets as tfds
from stored_sets import COLOUR, TWO, Stored, change_json, examples

Store = Callable[..., Path]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reaching for the network fails the test."""
    monkeypatch.setattr(socket.socket, "connect", pytest.fail)
    monkeypatch.setattr(socket, "getaddrinfo", pytest.fail)


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
