"""TPU chips, their holders and libtpu's lock, on machines made up in a folder."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from efficientnet_tf.machine import chips
from efficientnet_tf.machine.chips import (
    Holder,
    device_nodes,
    findings,
    has_chips,
    holders,
    hosts,
    on_pci_bus,
    spare_metadata_lookups,
)
from efficientnet_tf.machine.findings import BAD, OK, WARN


def pci(root: Path, vendor: str, device: str, count: int = 1) -> None:
    for number in range(count):
        folder = root / f"sys/bus/pci/devices/{vendor}-{device}-{number}"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(vendor + "\n")
        (folder / "device").write_text(device + "\n")


def node(root: Path, name: str) -> Path:
    path = root / "dev" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def process(root: Path, pid: int, *paths: Path, command: str = "python\0train.py") -> None:
    folder = root / "proc" / str(pid) / "fd"
    folder.mkdir(parents=True)
    (folder.parent / "cmdline").write_text(command)
    for number, path in enumerate(paths):
        (folder / str(number)).symlink_to(path)


@pytest.fixture
def v5e(tmp_path: Path) -> Path:
    """A machine with four chips of v5e."""
    pci(tmp_path, "0x1ae0", "0x0063", 4)
    for number in range(4):
        node(tmp_path, f"vfio/{number}")
    node(tmp_path, "vfio/vfio")
    return tmp_path


def test_a_machine_with_chips(v5e: Path) -> None:
    assert on_pci_bus(v5e) == ["v5e"] * 4
    assert [path.name for path in device_nodes(v5e)] == ["0", "1", "2", "3"]
    lines = findings(wants_tpu=True, root=v5e, lock=v5e / "lock")
    assert [line.status for line in lines] == [OK, OK]
    assert lines[0].text.startswith("4 v5e (")
    assert lines[1].text == "nobody"


def test_older_chips_have_accel_devices_and_containers_no_pci_bus(tmp_path: Path) -> None:
    node(tmp_path, "accel0")
    (tmp_path / "dev/accel").mkdir()  # other makers' accelerators
    assert [path.name for path in device_nodes(tmp_path)] == ["accel0"]
    assert has_chips(tmp_path)


@pytest.mark.parametrize(
    ("accelerator", "expected"),
    [("v5litepod-8", "v5e"), ("v6e-1", "v6e"), ("v4-8", "v4"), ("v3-32", "v3"), ("", "")],
)
def test_where_the_pci_bus_is_silent_the_environment_tells_the_kind(
    accelerator: str, expected: str, v5e: Path, tmp_path: Path
) -> None:
    environment = {"TPU_ACCELERATOR_TYPE": accelerator}
    assert chips.kind(environment, tmp_path / "container") == expected
    assert chips.kind(environment, v5e) == "v5e"
    assert chips.kind({}, tmp_path / "container") == ""


def test_other_devices_are_no_tpu(tmp_path: Path) -> None:
    pci(tmp_path, "0x10de", "0x0063")  # NVIDIA's vendor id
    pci(tmp_path, "0x1ae0", "0x0042")  # Google's network card
    node(tmp_path, "vfio/0")  # a GPU handed to a virtual machine
    assert not has_chips(tmp_path)
    (line,) = findings(wants_tpu=False, root=tmp_path)
    assert line.status == OK
    (line,) = findings(wants_tpu=True, root=tmp_path)
    assert line.status == BAD
    assert "none" in line.text
    assert "/dev/accel*" in line.text
    assert len(line.remedies) == 2


def test_chips_without_a_device_are_said_to_be_so(tmp_path: Path) -> None:
    pci(tmp_path, "0x1ae0", "0x005e")
    (line,) = findings(wants_tpu=True, root=tmp_path)
    assert line.status == BAD
    assert "docker run --privileged" in line.remedies[0]


def test_a_device_that_may_not_be_opened(v5e: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("/2"))
    (line,) = findings(wants_tpu=True, root=v5e)
    assert line.status == BAD
    assert "not readable and writable by you" in line.text
    assert str(v5e / "dev/vfio/2") in line.remedies[0]


def test_the_process_that_has_a_device_open_is_named(v5e: Path) -> None:
    process(v5e, 70, v5e / "dev/vfio/1", v5e / "dev/vfio/1", Path("/dev/null"))
    process(v5e, 71, Path("/dev/null"))
    process(v5e, 72, v5e / "dev/vfio/0")
    held, closed = holders(device_nodes(v5e), v5e / "lock", v5e, own_pid=72)
    assert held == [Holder(70, "python train.py", str(v5e / "dev/vfio/1"))]
    assert closed == 0
    line = findings(wants_tpu=True, root=v5e, lock=v5e / "lock")[1]
    assert line.status == BAD
    assert "process 70 (python train.py) has" in line.text
    assert "Only one process" in line.remedies[0]
    assert "kill 70 72" in line.remedies[0]


def test_processes_of_others_are_counted(v5e: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(v5e, 70)
    iterdir = Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "fd":
            raise PermissionError
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    line = findings(wants_tpu=True, root=v5e, lock=v5e / "lock")[1]
    assert line.status == WARN
    assert "1 processes of other users could not be asked" in line.text


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_process_that_holds_the_lock_is_found_in_the_real_proc(tmp_path: Path) -> None:
    lock = tmp_path / "libtpu_lockfile"
    lock.touch()
    assert holders([], lock)[0] == [], "a file alone, left over by a dead process, holds nothing"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        ((pid, name, path),) = ((h.pid, h.name, h.path) for h in holders([], lock)[0])
        other.communicate()
    assert (pid, path) == (other.pid, str(lock))
    assert "python" in name
    with lock.open("w") as own:
        fcntl.lockf(own, fcntl.LOCK_EX)
        assert holders([], lock)[0] == [], "our own lock"


def test_a_lock_of_another_user(v5e: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = v5e / "lock"
    lock.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != lock)
    line = findings(wants_tpu=True, root=v5e, lock=lock)[1]
    assert line.status == BAD
    assert line.remedies == (f"sudo rm {lock}",)


def test_metadata_is_not_looked_up_without_chips(tmp_path: Path, v5e: Path) -> None:
    environment: dict[str, str] = {}
    spare_metadata_lookups(environment, v5e)
    assert environment == {}
    spare_metadata_lookups(environment, tmp_path / "empty")
    assert environment == {"TPU_SKIP_MDS_QUERY": "1"}
    environment = {"TPU_SKIP_MDS_QUERY": "0"}
    spare_metadata_lookups(environment, tmp_path / "empty")
    assert environment == {"TPU_SKIP_MDS_QUERY": "0"}, "what the user set stays"


def test_hosts_are_those_of_the_environment() -> None:
    assert hosts({}) == 1
    assert hosts({"TPU_WORKER_HOSTNAMES": "localhost"}) == 1
    assert hosts({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}) == 2


def test_the_lock_lies_where_libtpu_puts_it() -> None:
    assert chips.lock_file().name == "libtpu_lockfile"
