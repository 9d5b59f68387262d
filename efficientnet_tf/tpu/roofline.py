"""Which limit of a chip binds a compiled program, and how fast it could be at best.

An estimate: XLA's counts of operations and bytes over the chip's published peaks, as if one of
the two ran at its peak all the time and nothing else took time. Real steps are slower; which of
two programs moves less is what it tells.
"""

from dataclasses import dataclass

from efficientnet_tf.tpu.compiler import CompileReport
from efficientnet_tf.tpu.targets import Chip


@dataclass(frozen=True)
class Roofline:
    """Of one program on one device.

    Attributes:
        intensity: operations for each byte of HBM read or written.
        arithmetic_seconds, memory_seconds: each at the chip's peak.
    """

    intensity: float
    arithmetic_seconds: float
    memory_seconds: float

    @property
    def seconds(self) -> float:
        """The least the program can take."""
        return max(self.arithmetic_seconds, self.memory_seconds)

    @property
    def binds(self) -> str:
        """`arithmetic` or `memory bandwidth`."""
        memory = self.memory_seconds >= self.arithmetic_seconds
        return "memory bandwidth" if memory else "arithmetic"


def roofline(report: CompileReport, chip: Chip) -> Roofline:
    """Of a report for a device of `chip`, which has its share of the chip's peaks."""
    return Roofline(
        intensity=report.flops / report.bytes_accessed,
        arithmetic_seconds=report.flops / (chip.peak_flops / chip.devices),
        memory_seconds=report.bytes_accessed / (chip.hbm_bandwidth / chip.devices),
    )
