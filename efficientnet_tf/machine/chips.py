"""The TPU chips of this machine, and which process holds them.

The chips are counted on the PCI bus, since /dev/vfio also serves other devices. Folders are
arguments, so that tests can make a machine up.
"""

import os
import tempfile
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from efficientnet_tf.machine.findings import Finding, bad, ok, warn

ROOT = Path("/")
_ACCELERATOR = "TPU_ACCELERATOR_TYPE"  # such as "v6e-8"
_GOOGLE = "0x1ae0"
_KINDS = {  # PCI device ids
    "0x0027": "v2 or v3",
    "0x005e": "v4",
    "0x0062": "v5p",
    "0x0063": "v5e",
    "0x006f": "v6e",
    "0x0076": "TPU7x",
}


@dataclass(frozen=True)
class Holder:
    """A process that uses `path`, a device or libtpu's lock."""

    pid: int
    name: str
    path: str


def on_pci_bus(root: Path = ROOT) -> list[str]:
    """The kind of each TPU chip, such as ["v5e"]."""
    kinds = []
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        if _text(device / "vendor") == _GOOGLE:
            kinds.append(_KINDS.get(_text(device / "device"), ""))
    return [kind for kind in kinds if kind]


def device_nodes(root: Path = ROOT) -> list[Path]:
    """/dev/accel0 and so on; /dev/vfio/0 and so on if the PCI bus has TPU chips."""
    nodes = [path for path in (root / "dev").glob("accel*") if not path.is_dir()]
    if on_pci_bus(root):
        nodes += (root / "dev/vfio").glob("[0-9]*")
    return sorted(nodes)


def has_chips(root: Path = ROOT) -> bool:
    return bool(on_pci_bus(root) or device_nodes(root))


def generation(accelerator: str) -> str:
    """The chip of a slice that is named as Google Cloud names it: "v5e" for "v5litepod-8"."""
    name = accelerator.partition("-")[0]
    return "v5e" if name == "v5litepod" else name


def kind(environment: Mapping[str, str] = os.environ, root: Path = ROOT) -> str:
    """The kind of this machine's TPU chips, such as "v5e"; "" if nothing says it.

    The PCI bus is asked first. A container may not show it; on a TPU VM the environment tells, too.
    """
    kinds = set(on_pci_bus(root))
    return kinds.pop() if len(kinds) == 1 else generation(environment.get(_ACCELERATOR, ""))


def spare_metadata_lookups(
    environment: MutableMapping[str, str] = os.environ, root: Path = ROOT
) -> None:
    """Keeps libtpu from asking Google's metadata server about chips that are not there.

    Call before TensorFlow is imported. On a machine without TPU, `import tensorflow` of
    tensorflow-tpu 2.19.1 took more than 5 minutes without this, 2.4 s with it.
    """
    if not has_chips(root):
        environment.setdefault("TPU_SKIP_MDS_QUERY", "1")


def hosts(environment: Mapping[str, str] = os.environ) -> int:
    """Hosts of the slice that this machine belongs to, as far as the environment says."""
    names = environment.get("TPU_WORKER_HOSTNAMES", "")
    return max(1, len([name for name in names.split(",") if name]))


def lock_file() -> Path:
    return Path(tempfile.gettempdir()) / "libtpu_lockfile"


def holders(
    nodes: Sequence[Path], lock: Path, root: Path = ROOT, own_pid: int | None = None
) -> tuple[list[Holder], int]:
    """Other processes that have a device open or the lock, and how many could not be asked."""
    own_pid = os.getpid() if own_pid is None else own_pid
    wanted = {str(path) for path in nodes}
    found, closed = [], 0
    for process in sorted((root / "proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        if int(process.name) == own_pid:
            continue
        try:
            targets = {os.readlink(link) for link in (process / "fd").iterdir()}
        except PermissionError:
            closed += 1
            continue
        except OSError:  # it ended meanwhile
            continue
        for path in sorted(targets & wanted):
            found.append(Holder(int(process.name), _name(process), path))
    pid = _lock_holder(lock, root)
    if pid not in (None, own_pid):
        found.append(Holder(pid or 0, _name(root / "proc" / str(pid)), str(lock)))
    return found, closed


def _lock_holder(lock: Path, root: Path) -> int | None:
    """The process whose lock on the file is in /proc/locks; a file without one is left over."""
    try:
        inode = lock.stat().st_ino
    except OSError:
        return None
    for row in _text(root / "proc/locks").splitlines():
        # 1: POSIX  ADVISORY  WRITE 708 fe:00:1311 0 EOF
        fields = row.split()
        if len(fields) > 5 and fields[1] != "->" and fields[5].split(":")[-1] == str(inode):
            return int(fields[4])
    return None


def _name(process: Path) -> str:
    arguments = _text(process / "cmdline").replace("\0", " ").strip()
    return arguments[:60] or _text(process / "comm") or "?"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def findings(*, wants_tpu: bool, root: Path = ROOT, lock: Path | None = None) -> list[Finding]:
    """Lines on the chips, and on who holds them if there are any."""
    kinds, nodes = on_pci_bus(root), device_nodes(root)
    if not kinds and not nodes:
        text = "none: no TPU on the PCI bus, no /dev/accel*"
        remedies = (
            "Choose a machine with a TPU: in Colab Runtime > Change runtime type, in Kaggle "
            "Settings > Accelerator; in Google Cloud log into the TPU VM itself.",
            "A TPU on another machine is given by name or address: --tpu=NAME or "
            "--tpu=grpc://HOST:8470.",
        )
        return [bad("TPU chips", text, *remedies) if wants_tpu else ok("TPU chips", text)]
    shown = ", ".join(map(str, nodes)) or "no device in /dev"
    text = f"{len(kinds) or len(nodes)} {'/'.join(sorted(set(kinds)))} ({shown})"
    refused = [str(node) for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if refused or not nodes:
        remedy = (
            f"Run as root or as a member of the group that owns {refused[0]} (ls -l)."
            if refused
            else "In a container, pass the devices on: docker run --privileged."
        )
        what = f"not readable and writable by you: {', '.join(refused)}" if refused else shown
        return [bad("TPU chips", f"{len(kinds) or len(nodes)} chips, {what}", remedy)]
    lines = [ok("TPU chips", " ".join(text.split()))]
    lock = lock_file() if lock is None else lock
    return [*lines, _held(*holders(nodes, lock, root), lock)]


def _held(found: Sequence[Holder], closed: int, lock: Path) -> Finding:
    if found:
        who = "; ".join(f"process {one.pid} ({one.name}) has {one.path}" for one in found)
        pids = " ".join(sorted({str(one.pid) for one in found}))
        return bad(
            "TPU held by",
            who,
            "Only one process can use the TPU: end the other one (shut the notebook's kernel "
            f"down, or kill {pids}), then start again.",
        )
    if lock.exists() and not os.access(lock, os.R_OK | os.W_OK):
        return bad("TPU held by", f"{lock} belongs to another user", f"sudo rm {lock}")
    if closed:
        text = f"nobody that can be seen; {closed} processes of other users could not be asked"
        return warn("TPU held by", text, "sudo lsof /dev/accel* /dev/vfio/* asks them.")
    return ok("TPU held by", "nobody")
