"""The TPUs a program can be compiled for: chips with their published peaks, and slices of them.

A slice is named as Google Cloud names it: `v5litepod-8` and `v6e-8` count chips, `v3-8`, `v4-8`
and `v5p-8` count TensorCores, two to a chip. A *device* is what tf.distribute.TPUStrategy makes a
replica of: a TensorCore up to v3, a whole chip from v4 on.

Peaks are those of https://cloud.google.com/tpu/docs (pages v2 to v6e), per chip.
"""

from dataclasses import dataclass

from efficientnet_tf.errors import UsageError, nearest

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One generation.

    Attributes:
        name: also libtpu's, such as "v5e".
        accelerator: what Google Cloud writes before the dash.
        counts_cores: the number behind the dash counts TensorCores, not chips.
        devices: replicas that TPUStrategy runs on a chip.
        peak_flops: bfloat16 operations a second.
        hbm_bytes: memory.
        usable: the share of it, in GiB for each device, that libtpu 0.0.51 lets a program use; read
            from its refusal of a program that is far too large.
        hbm_bandwidth: bytes a second.
    """

    name: str
    accelerator: str
    counts_cores: bool
    devices: int
    peak_flops: float
    hbm_bytes: int
    usable: float
    hbm_bandwidth: float

    @property
    def usable_bytes(self) -> float:
        """Of one device."""
        return self.usable * GIB

    @property
    def ridge(self) -> float:
        """Operations for each byte above which arithmetic binds, below which memory does."""
        return self.peak_flops / self.hbm_bandwidth


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v2", "v2", True, 2, 45e12, 16 * GIB, 7.48, 700e9),
        Chip("v3", "v3", True, 2, 123e12, 32 * GIB, 15.48, 900e9),
        Chip("v4", "v4", True, 1, 275e12, 32 * GIB, 30.75, 1200e9),
        Chip("v5e", "v5litepod", False, 1, 197e12, 16 * GIB, 15.75, 819e9),
        Chip("v5p", "v5p", True, 1, 459e12, 95 * GIB, 95.73, 2765e9),
        Chip("v6e", "v6e", False, 1, 918e12, 32 * GIB, 31.24, 1640e9),
    )
}

_FLAT = {1: (1, 1, 1), 4: (2, 2, 1), 8: (2, 4, 1), 16: (4, 4, 1), 32: (4, 8, 1), 64: (8, 8, 1)}
_OLD = {4: (2, 2, 1), 16: (4, 4, 1), 32: (4, 8, 1), 64: (8, 8, 1)}
_CUBE = {4: (2, 2, 1), 8: (2, 2, 2), 16: (2, 2, 4), 32: (2, 4, 4), 64: (4, 4, 4)}
# Chips in a slice -> how they are laid out. Larger slices compile the same program.
_SHAPES = {"v2": _OLD, "v3": _OLD, "v4": _CUBE, "v5e": _FLAT, "v5p": _CUBE, "v6e": _FLAT}
# On these hosts all eight chips of a 2x4 slice belong to one machine.
_ONE_HOST = {"v5e": (1, 8), "v6e": (1, 8)}


@dataclass(frozen=True)
class TpuSlice:
    """A slice: `chips` of a generation in a mesh of `shape` (x, y, z)."""

    name: str
    chip: Chip
    shape: tuple[int, int, int]

    @property
    def chips(self) -> int:
        x, y, z = self.shape
        return x * y * z

    @property
    def devices(self) -> int:
        """Replicas of a TPUStrategy over the whole slice."""
        return self.chips * self.chip.devices

    @property
    def topology(self) -> tuple[str, dict[str, object]]:
        """The name libtpu knows the slice by, and its options."""
        flat = self.chip.name in ("v2", "v3", "v5e", "v6e")
        name = "x".join(str(side) for side in (self.shape[:2] if flat else self.shape))
        options: dict[str, object] = {}
        if self.chips in _ONE_HOST.get(self.chip.name, ()):
            options["chips_per_host_bounds"] = list(self.shape)
        if self.chip.name == "v4":
            options["chip_config_name"] = "megacore"  # one device with all of the chip's memory
        return f"{self.chip.name}:{name}", options


def _slices() -> dict[str, TpuSlice]:
    found = {}
    for chip in CHIPS.values():
        for chips, shape in _SHAPES[chip.name].items():
            name = f"{chip.accelerator}-{chips * 2 if chip.counts_cores else chips}"
            found[name] = TpuSlice(name, chip, shape)
    return found


SLICES = _slices()


def target(name: str) -> TpuSlice:
    """The slice of that name.

    Raises:
        UsageError: unknown, or larger than what is compiled here.
    """
    known = name.replace("v5e-", "v5litepod-")  # the name that JAX and people use
    if known not in SLICES:
        raise UsageError(
            f'the TPU type must be one of {", ".join(SLICES)}, received "{name}". '
            "A larger slice runs the same program on each chip: take the largest of its "
            f"generation.{nearest(name, list(SLICES))}"
        )
    return SLICES[known]
