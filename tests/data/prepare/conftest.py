"""The digits, and their TFRecord files written without interruption."""

from pathlib import Path
from typing import Any

import pytest
from listed_source import SHARDS

from efficientnet_tf.data.prepare.conversion import prepare
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.data.sources.source import Source


@pytest.fixture(scope="session")
def digits() -> Source:
    """The embedded digits."""
    return digits_source()


@pytest.fixture(scope="session")
def reference(digits: Source, tmp_path_factory: Any) -> Path:
    """The digits, written without interruption."""
    folder = tmp_path_factory.mktemp("digits") / "new" / "folder"
    prepare(digits, str(folder), shards=SHARDS)
    return folder
