"""What the word preflight does: compile the project's functions, say what they would cost.

Nothing here was ever run on a TPU: a pass says that the graph lowers, that XLA for TPUs builds it
and that it fits the memory.
"""

import math
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.tpu import batch_table, programs
from efficientnet_tf.tpu.batch_search import bracket, next_batch
from efficientnet_tf.tpu.compiler import FAST, FULL, CompileReport, OutOfMemory, compile_program
from efficientnet_tf.tpu.lowering import Program, Trace, lower
from efficientnet_tf.tpu.op_check import problems
from efficientnet_tf.tpu.roofline import roofline
from efficientnet_tf.tpu.targets import GIB, TpuSlice

LEVELS: dict[str, dict[str, Any]] = {"fast": FAST, "full": FULL}
# Bytes of HBM for each byte of a network's layer outputs at the largest batch, where the compiler
# recomputes what it can. Only a first guess: it saves compiles.
_SHARE_KEPT = 0.2


def level_line(level: str) -> str:
    """Which compiler ran, and how hard it tried."""
    version = metadata.version("libtpu")
    if level == "full":
        return f"compiled by libtpu {version}, full optimisation"
    return (
        f"compiled by libtpu {version} at its fast level (optimization_level 9); a TPU runs better "
        "optimised code, with memory within some per cent and other bytes: --full"
    )


def check(
    config: config_lib.ExperimentConfig,
    target: TpuSlice,
    functions: Sequence[str],
    level: str,
    serving_batch_size: int,
) -> bool:
    """Compiles the functions for the slice and prints what is to know; whether all fit."""
    started = time.perf_counter()
    experiment = programs.build(config, target)
    _introduce(experiment, target)
    print(f"{level_line(level)}; model built in {time.perf_counter() - started:.0f} s", flush=True)
    all_fit = True
    for name in functions:
        started = time.perf_counter()
        trace = _trace(experiment, name, serving_batch_size)
        _refuse_problems(trace)
        traced = time.perf_counter()
        program = lower(trace)
        lowered = time.perf_counter()
        result = compile_program(program, target, options=LEVELS[level])
        images = trace.inputs[0][1].shape[0]
        for line in describe(result, target, images):
            print(line)
        print(
            f"  times           traced {traced - started:.0f} s, lowered {lowered - traced:.0f} s, "
            f"compiled {result.compile_seconds:.0f} s",
            flush=True,
        )
        all_fit = all_fit and result.fits
    parts = config.train.accumulation_steps
    if "train" in functions and parts > 1:
        print(f"(XLA counts one of the {parts} parts of an accumulated update)")
    return all_fit


def _introduce(experiment: Experiment, target: TpuSlice) -> None:
    batch = experiment.config.train.global_batch_size
    model, replicas = experiment.model, target.devices
    size = model.network.resolution
    print(
        f"{model.network.name}, {experiment.data.source.num_classes} classes, {size}x{size} "
        f"pixels, {model.precision}, global batch {batch} on {target.name}: {target.chips} "
        f"chips, {replicas} replicas of {batch // replicas} images",
        flush=True,
    )


def _trace(experiment: Experiment, name: str, serving_batch_size: int) -> Trace:
    if name == "train":
        return programs.train_trace(experiment)
    if name == "eval":
        return programs.eval_trace(experiment)
    return programs.serving_trace(experiment, serving_batch_size)


def _refuse_problems(trace: Trace) -> None:
    found = problems(trace)
    if found:
        shown = "\n  ".join(str(each) for each in found[:10])
        raise RunError(f"the {trace.name} function is not fit for a TPU:\n  {shown}")


def describe(result: CompileReport | OutOfMemory, target: TpuSlice, images: int) -> list[str]:
    """The report of one function for the reader; `images` are those of one replica."""
    chip = target.chip
    usable = chip.usable_bytes
    if isinstance(result, OutOfMemory):
        needed = f"{result.needed_bytes / GIB:.2f}" if result.needed_bytes else "more"
        return [
            f"{result.name}: does NOT fit",
            f"  HBM needed      {needed} GiB a replica; a program may use {usable / GIB:.2f}",
        ]
    line = roofline(result, chip)
    peak = result.peak_hbm_bytes
    rate = images / line.seconds * chip.devices
    exchanged = [
        f"{count} {kind}, {size / 2**20:.1f} MiB"
        for kind, (count, size) in sorted(result.collectives.items())
    ]
    return [
        f"{result.name}: fits",
        f"  peak HBM        {peak * chip.devices / GIB:.2f} of {chip.hbm_bytes / GIB:.0f} GiB a "
        f"chip ({100 * peak / usable:.0f} % of what a program may use)",
        f"  of a replica    arguments {_mib(result.argument_bytes)}, results in their place "
        f"{_mib(result.alias_bytes)}, temporaries {_mib(result.temp_bytes)}, code "
        f"{_mib(result.code_bytes)} MiB",
        f"  operations      {result.flops / 1e9:,.1f} GFLOP a replica, "
        f"{result.flops / images / 1e9:.2f} an image",
        f"  bytes accessed  {result.bytes_accessed / 1e9:,.2f} GB a replica",
        f"  collectives     {'; '.join(exchanged) or 'none'}",
        f"  intensity       {line.intensity:.0f} FLOP a byte; the chip's peaks meet at "
        f"{chip.ridge:.0f}",
        f"  limit           {line.binds}: at least {1e3 * line.seconds:.2f} ms, at most "
        f"{rate:,.0f} images/s a chip (estimate from published peaks)",
    ]


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f}"


def find_max_batch(
    config: config_lib.ExperimentConfig, targets: Sequence[TpuSlice], level: str, path: str
) -> None:
    """Finds the largest batch of the train step on every slice; each compile becomes a CSV row.

    All slices must have the same number of devices: one trace serves them all.

    Raises:
        UsageError: they have not.
    """
    replicas = targets[0].devices
    if any(target.devices != replicas for target in targets):
        counts = ", ".join(f"{target.name}: {target.devices}" for target in targets)
        raise UsageError(
            f"--tpu_type: the slices must have as many devices each, received {counts}."
        )
    like = (batch_table.digest(config), level)
    model = config.model.name
    experiment: Experiment | None = None
    lowered: dict[int, Program] = {}
    for target in targets:
        while True:
            rows = batch_table.select(batch_table.read(path), like, model, target.name)
            if experiment is None:
                if rows and _is_done(rows, target):
                    break
                start = config_lib.with_fields(config, {"train.global_batch_size": replicas})
                experiment = programs.build(start, target)
            batch = _next(experiment, rows, target)
            if batch is None:
                break
            if batch not in lowered:
                programs.set_batch_size(experiment, batch * replicas)
                lowered[batch] = lower(programs.train_trace(experiment))
            result = compile_program(lowered[batch], target, options=LEVELS[level])
            row = _row(result, like, model, target.name, batch)
            batch_table.append(path, row)
            print(_progress(row, target), flush=True)
        rows = batch_table.select(batch_table.read(path), like, model, target.name)
        fitting, _ = bracket(batch_table.attempts(rows))
        print(
            f"{model} on {target.name}: largest batch {fitting * target.chip.devices} a chip "
            f"({fitting} a replica, global {fitting * replicas})",
            flush=True,
        )


def _is_done(rows: Sequence[batch_table.Row], target: TpuSlice) -> bool:
    return next_batch(batch_table.attempts(rows), 1, target.chip.usable_bytes) is None


def _next(experiment: Experiment, rows: Sequence[batch_table.Row], target: TpuSlice) -> int | None:
    usable = target.chip.usable_bytes
    outputs = 2 * sum(
        math.prod(layer.output.shape[1:]) for layer in experiment.model.state.model.layers
    )
    guess = usable / (_SHARE_KEPT * outputs)
    return next_batch(batch_table.attempts(rows), guess, usable)


def _row(
    result: CompileReport | OutOfMemory, like: tuple[str, str], model: str, name: str, batch: int
) -> batch_table.Row:
    if isinstance(result, CompileReport):
        size, flops, accessed = result.peak_hbm_bytes, result.flops, result.bytes_accessed
    else:
        size, flops, accessed = int(result.needed_bytes or 0), 0.0, 0.0
    seconds = round(result.compile_seconds, 1)
    return batch_table.Row(*like, model, name, batch, result.fits, size, flops, accessed, seconds)


def _progress(row: batch_table.Row, target: TpuSlice) -> str:
    verb = "peak" if row.fits else "needs"
    return (
        f"{row.model} on {row.tpu_type}, {row.batch} a replica: "
        f"{'fits' if row.fits else 'does not fit'}, {verb} {row.hbm_bytes / GIB:.2f} of "
        f"{target.chip.usable_bytes / GIB:.2f} GiB (compiled in {row.compile_seconds:.0f} s)"
    )
