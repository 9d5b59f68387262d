"""What a run writes down about its computer, from made-up /proc files."""

from pathlib import Path

import pytest

from efficientnet_tf.machine import computer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    return tmp_path


def test_linux_tells_processor_and_memory(root: Path) -> None:
    (root / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: AMD EPYC 7B13\n\nprocessor\t: 1\nmodel name\t: other\n"
    )
    (root / "proc/meminfo").write_text("MemTotal:       16384000 kB\nMemFree:  1 kB\n")
    assert computer.processor(root) == "AMD EPYC 7B13"
    assert computer.memory_bytes(root) == 16_384_000 * 1024


def test_other_systems_tell_what_they_can(root: Path) -> None:
    assert computer.processor(root)
    assert computer.memory_bytes(root) is None


def test_an_arm_processor_has_no_name(root: Path) -> None:
    (root / "proc/cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert "BogoMIPS" not in computer.processor(root)


def test_this_computer() -> None:
    found = computer.describe()
    assert int(found["cores"]) >= 1
    assert found["memory"].endswith(" GiB") or found["memory"] == "unknown"
