"""The real TPU compiler, libtpu, called ahead of time through jaxlib on a machine without a TPU.

`compile_program` says whether a program fits a chip's memory and what XLA expects it to cost.
Nothing is run. libtpu is proprietary and optional: `pip install 'efficientnet_tf[tpu-check]'`.
The calls are jaxlib's internals, which is why the extra pins its version.
"""

import re
import time
from dataclasses import dataclass, field
from typing import Any

from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.tpu import requirements
from efficientnet_tf.tpu.lowering import Program
from efficientnet_tf.tpu.targets import TpuSlice

# XLA's own effort levels: 9 compiles some four times faster than the default; memory differs by
# a few per cent.
FAST: dict[str, Any] = {"optimization_level": 9}
FULL: dict[str, Any] = {}

_MOST_ARGUMENTS = 2000  # where jax, too, begins to pass one tuple
_BYTES = {"pred": 1, "bf16": 2}
_COLLECTIVE = re.compile(
    r"= (?P<result>\([^=]*?\)|\S+) "
    r"(?P<kind>all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(?:-start)?\("
)
# (needed, available), in the two forms that the compiler has for it.
_TOO_LARGE = (
    re.compile(r"\(([\d.]+[KMGT]?)\) exceeds available HBM[^(]*\(([\d.]+[KMGT]?)\)"),
    re.compile(r"[Uu]sed ([\d.]+[KMGT]?) of ([\d.]+[KMGT]?) hbm"),
)
_ARRAY = re.compile(r"(?P<type>pred|[a-z]+\d+)\[(?P<shape>[\d,]*)\]")


@dataclass(frozen=True)
class CompileReport:
    """A program that fits. All sizes are bytes on one device, all counts those of one replica.

    Attributes:
        peak_hbm_bytes: the most that is alive at once, as XLA assigned its buffers.
        alias_bytes: arguments whose memory takes a result, such as updated variables.
        bytes_accessed: read and written in HBM, by XLA's cost analysis.
        collectives: kind -> (how many, bytes of their results).
    """

    name: str
    target: str
    device_kind: str
    replicas: int
    compile_seconds: float
    peak_hbm_bytes: int
    argument_bytes: int
    output_bytes: int
    alias_bytes: int
    temp_bytes: int
    code_bytes: int
    flops: float
    bytes_accessed: float
    collectives: dict[str, tuple[int, int]] = field(default_factory=dict)
    fits: bool = True


@dataclass(frozen=True)
class OutOfMemory:
    """A program that the compiler refuses, because it does not fit the device's memory.

    Attributes:
        needed_bytes: what it would take; None if the compiler did not say.
        available_bytes: what the compiler lets a program use.
    """

    name: str
    target: str
    replicas: int
    compile_seconds: float
    needed_bytes: float | None
    available_bytes: float | None
    fits: bool = False


def _devices(target: TpuSlice) -> list[Any]:
    requirements.prepare()
    from jax.experimental import topologies

    name, options = target.topology
    topology = topologies.get_topology_desc(topology_name=name, platform="tpu", **options)
    return list(topology.devices)


def parse_module(stablehlo: bytes) -> Any:
    """The module as PJRT takes it."""
    from jax._src.interpreters import mlir
    from jax._src.lib.mlir import ir

    with mlir.make_ir_context():
        module = ir.Module.parse(stablehlo)
        copies = []

        def visit(op: Any) -> Any:
            # tf2xla marks updated variables so; PJRT does not know the dialect. A copy has the
            # value of what it copies.
            if op.name == "mhlo.copy":
                copies.append(op)
            return ir.WalkResult.ADVANCE

        module.operation.walk(visit)
        for op in copies:
            op.results[0].replace_all_uses_with(op.operands[0])
            op.erase()
    return module


def compile_program(
    program: Program,
    target: TpuSlice,
    replicas: int | None = None,
    options: dict[str, Any] | None = None,
) -> CompileReport | OutOfMemory:
    """Compiles for the first `replicas` devices of the slice.

    Args:
        program: see lowering.py.
        target: see targets.target.
        replicas: None: as many as the program was traced for.
        options: of XLA; None: `FAST`.

    Raises:
        UsageError: the compiler is not installed, or the slice has fewer devices.
        RunError: the compiler refuses the program for another reason than memory.
    """
    replicas = program.replicas if replicas is None else replicas
    devices = _devices(target)
    if replicas > len(devices):
        raise UsageError(
            f"{target.name} has {len(devices)} devices, fewer than the {replicas} replicas asked."
        )
    import numpy as np
    from jax._src import compiler
    from jax._src.lib import xla_client
    from jax.errors import JaxRuntimeError

    used = devices[:replicas]
    compile_options = compiler.get_compile_options(
        num_replicas=replicas,
        num_partitions=1,
        device_assignment=np.array([device.id for device in used]).reshape(replicas, 1),
        env_options_overrides=dict(FAST if options is None else options),
    )
    compile_options.executable_build_options.use_spmd_partitioning = False
    module = parse_module(program.stablehlo)
    # As TensorFlow's TPU runtime passes them; a v3 takes no more than some 3,000 one by one.
    compile_options.parameter_is_tupled_arguments = _num_arguments(module) > _MOST_ARGUMENTS
    started = time.perf_counter()
    try:
        with module.context:
            executable = used[0].client.compile(
                module,
                executable_devices=xla_client.DeviceList(tuple(used)),
                compile_options=compile_options,
            )
    except JaxRuntimeError as error:
        seconds = time.perf_counter() - started
        return _refused(program, target, replicas, seconds, error)
    seconds = time.perf_counter() - started
    memory, cost = executable.get_compiled_memory_stats(), executable.cost_analysis()
    return CompileReport(
        name=program.name,
        target=target.name,
        device_kind=used[0].device_kind,
        replicas=replicas,
        compile_seconds=seconds,
        peak_hbm_bytes=memory.peak_memory_in_bytes,
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        alias_bytes=memory.alias_size_in_bytes,
        temp_bytes=memory.temp_size_in_bytes,
        code_bytes=memory.generated_code_size_in_bytes,
        flops=cost["flops"],
        bytes_accessed=cost["bytes accessed"],
        collectives=collectives(executable.hlo_modules()[0].to_string()),
    )


def _num_arguments(module: Any) -> int:
    """Of the program's entry."""
    main = next(each for each in module.body.operations if each.name.value == "main")
    return len(main.arguments)


def _refused(
    program: Program, target: TpuSlice, replicas: int, seconds: float, error: Exception
) -> OutOfMemory:
    sizes = hbm_sizes(str(error))
    if sizes is None:
        reason = first_line(error)
        raise RunError(
            f"the TPU compiler refuses {program.name} for {target.name}: {reason}"
        ) from error
    return OutOfMemory(program.name, target.name, replicas, seconds, *sizes)


def hbm_sizes(message: str) -> tuple[float | None, float | None] | None:
    """(bytes needed, bytes available) in a refusal for lack of HBM; None if it is another one.

    On-chip memory that runs out (vmem, smem) is another one: a smaller batch need not help.
    """
    if "RESOURCE_EXHAUSTED" not in message or "hbm" not in message.lower():
        return None
    for pattern in _TOO_LARGE:
        found = pattern.search(message)
        if found is not None:
            return _bytes(found[1]), _bytes(found[2])
    return None, None


def _bytes(size: str) -> float:
    """`15.75G` -> bytes."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    return float(size.rstrip("KMGT")) * units.get(size[-1], 1)


def collectives(hlo: str) -> dict[str, tuple[int, int]]:
    """Kind -> (how many, bytes of their results) in the text of a compiled module."""
    found: dict[str, tuple[int, int]] = {}
    for match in _COLLECTIVE.finditer(re.sub(r"/\*.*?\*/", "", hlo)):
        count, size = found.get(match["kind"], (0, 0))
        found[match["kind"]] = count + 1, size + _result_bytes(match["result"])
    return found


def _result_bytes(result: str) -> int:
    total = 0
    for array in _ARRAY.finditer(result):
        width = _BYTES.get(array["type"]) or int(re.sub(r"\D", "", array["type"])) // 8
        for side in filter(None, array["shape"].split(",")):
            width *= int(side)
        total += width
    return total
