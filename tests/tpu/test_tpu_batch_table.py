"""The table of largest batches: rows on disk, what counts, Markdown."""

import dataclasses
from pathlib import Path

import pytest

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import UsageError
from efficientnet_tf.tpu import batch_table
from efficientnet_tf.tpu.batch_table import Row, append, digest, markdown, read, select

GIB = 2**30
LIKE = ("abc", "fast")


def row(model: str, tpu_type: str, batch: int, fits: bool, size: float) -> Row:
    return Row(*LIKE, model, tpu_type, batch, fits, size * GIB, 3e9 * batch, 1e9 * batch, 40.0)


ROWS = [
    row("efficientnet-b0", "v3-8", 1536, True, 14),
    row("efficientnet-b0", "v3-8", 2048, False, 16),
    row("efficientnet-b0", "v3-8", 1024, True, 12),
    row("efficientnet-b0", "v6e-8", 4096, True, 28),
    row("efficientnet-b7", "v6e-8", 1, False, 99),
]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "table.csv")
    assert read(path) == []
    for each in ROWS:
        append(path, each)
    assert read(path) == ROWS


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no table of this command"):
        read(str(path))


def test_only_rows_of_the_same_step_and_level_count() -> None:
    others = [
        dataclasses.replace(ROWS[0], digest="other"),
        dataclasses.replace(ROWS[0], level="full"),
    ]
    assert select([*others, *ROWS], LIKE, "efficientnet-b0", "v3-8") == ROWS[:3]


def test_markdown_gives_chips_not_cores() -> None:
    table = markdown(ROWS, LIKE, ["efficientnet-b0", "efficientnet-b7"], ["v3-8", "v6e-8"])
    assert table.splitlines()[2:] == [
        # A v3 chip has two cores: 2 * 1536 images, 2 * 14 GiB.
        "| efficientnet-b0 | 3,072 | 28.0 | 3.00 | at least 4,096 | 28.0 | 3.00 |",
        "| efficientnet-b7 |  |  |  | none |  |  |",
    ]


def test_the_digest_changes_with_the_configuration_and_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ExperimentConfig()
    first = digest(config)
    config.train.global_batch_size = 7  # found by the search
    config.model.name = "efficientnet-b7"  # a column of its own
    assert digest(config) == first
    config.optimizer.ema_decay = 0.0
    assert digest(config) != first
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(batch_table, "_PACKAGE", tmp_path)
    empty = digest(config)
    (tmp_path / "models" / "layers.py").write_text("new")
    assert digest(config) != empty
