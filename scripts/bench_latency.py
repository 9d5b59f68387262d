"""Latency of single images on one core, in turn in every runtime (Table 4).

python scripts/bench_latency.py
python scripts/bench_latency.py --models=efficientnet-b0,keras:EfficientNetB0 --runtimes=tflite

--models: names of main.py --list_models, keras:NAME of keras.applications; default the paper's
first pair, ResNet-152 (keras:ResNet152) and B1. --runtimes: keras (a call of the model), function
(tf.function), saved_model, tflite, onnx. Files of ours are folded as main.py exports them, those
of keras.applications are as Keras writes them, but for ONNX, which is ours for all. Batch 1,
random weights, --rounds after a warm-up; all take their turn in each round. Prints mean, median
and 90th percentile in milliseconds, and the median over the first model's in the same runtime.

Exit code 0: fine. 2: wrong use.
"""

import contextlib
import os
import sys

from absl import flags

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code
from efficientnet_tf.terminal.table import aligned

_MODELS = flags.DEFINE_list("models", ["keras:ResNet152", "efficientnet-b1"], "what is measured")
_RUNTIMES = flags.DEFINE_list(
    "runtimes", ["keras", "function", "saved_model", "tflite", "onnx"], "where it runs"
)
_ROUNDS = flags.DEFINE_integer("rounds", 20, "timed answers of each", lower_bound=1)
_WARM_UP = flags.DEFINE_integer("warm_up", 3, "answers before", lower_bound=0)
_CPU_TIME = flags.DEFINE_boolean(
    "cpu_time", False, "the process's CPU time: for a machine that others use at the same time"
)
# (reference, its seconds, ours, its seconds, printed speed-up), from Table 4.
PAPER = (
    ("ResNet-152", 0.554, "EfficientNet-B1", 0.098, 5.7),
    ("GPipe", 19.0, "EfficientNet-B7", 3.1, 6.1),
)


def one_core() -> None:
    """Keeps this process, and the threads it will make, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def installed(runtimes: list[str]) -> list[str]:
    """The runtimes without ONNX Runtime if what it needs is missing and it was not asked for."""
    from importlib.util import find_spec

    missing = [name for name in ("tf2onnx", "onnxruntime") if find_spec(name) is None]
    if "onnx" not in runtimes or not missing:
        return runtimes
    if _RUNTIMES.present:
        raise UsageError(
            f"--runtimes: onnx needs {missing[0]}: pip install 'efficientnet_tf[onnx]'"
        )
    print(f"without onnx: {missing[0]} is not installed")
    return [name for name in runtimes if name != "onnx"]


def run() -> None:
    """Everything."""
    runtimes = installed(_RUNTIMES.value)
    one_core()
    start_tensorflow()
    import time

    import numpy as np
    import tensorflow as tf

    from efficientnet_tf.export import latency

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    contestants = {}
    with contextlib.ExitStack() as stack:
        for name in _MODELS.value:
            model = latency.build(name)
            images = np.random.RandomState(0).uniform(0, 255, (1, *model.input_shape[1:]))
            print(f"{name}: {model.count_params() / 1e6:.1f} M weights, {images.shape[1]} pixels")
            calls = stack.enter_context(latency.runs(name, model, runtimes))
            for runtime, call in calls.items():
                contestants[name, runtime] = (call, images.astype(np.float32))
        found = latency.measure(
            contestants,
            rounds=_ROUNDS.value,
            warm_up=_WARM_UP.value,
            clock=time.process_time if _CPU_TIME.value else time.perf_counter,
        )
    print_table(found, runtimes)


def print_table(found: dict, runtimes: list[str]) -> None:
    """Milliseconds by model and runtime, and the ratios."""
    first = _MODELS.value[0]
    what = "CPU time" if _CPU_TIME.value else "wall clock"
    print(f"milliseconds an image, batch 1, one core, {what}, {_ROUNDS.value} rounds in turn")
    rows = [("model", "runtime", "mean", "median", "p90", f"over {first}")]
    for (name, runtime), each in found.items():
        ratio = each.median / found[first, runtime].median
        numbers = (f"{value:.1f}" for value in (each.mean, each.median, each.p90))
        rows.append((name, runtime, *numbers, f"{ratio:.3f}"))
    print("\n".join(aligned(rows, "<<>")))
    best = {
        name: min(found[name, runtime].median for runtime in runtimes) for name in _MODELS.value
    }
    for name in _MODELS.value[1:]:
        print(
            f"best runtime of each: {first} {best[first]:.1f} ms, {name} {best[name]:.1f} ms: "
            f"{best[first] / best[name]:.2f} times as fast"
        )
    for reference, slow, ours, fast, speedup in PAPER:
        print(
            f"paper, Table 4 (Xeon E5-2690): {reference} {slow:g} s, {ours} {fast:g} s: "
            f"{speedup} times"
        )


def main(argv: list[str]) -> None:
    if asks_for_help(argv):
        print(__doc__, flags.FLAGS.main_module_help(), sep="\n")
        return
    rest = flags.FLAGS(argv)[1:]
    if rest:
        raise UsageError(f'unexpected argument "{rest[0]}": everything is a flag.')
    run()


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv)))
