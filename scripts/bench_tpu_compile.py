"""Our B0 training step beside that of keras.applications, as the TPU compiler sees both.

python scripts/bench_tpu_compile.py
python scripts/bench_tpu_compile.py --full --plain --rematerialise

Compiles, for a TPU that need not be there, the update of `TrainStep` on our network and on the
one of keras.applications under mixed_bfloat16: the same optimizer (RMSProp, L2, averages), loss,
batch of uint8 images and compiler options; only the network differs. Prints the bytes that the
program reads and writes, its peak memory and its operations, and each over theirs. The numbers
are XLA's, nothing is run. Needs Linux x86-64 and the extra [tpu-check].
"""

import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags, logging

from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import exit_code
from efficientnet_tf.terminal.table import aligned
from efficientnet_tf.tpu.targets import target

_MODELS = [f"efficientnet-b{number}" for number in range(8)]
_MODEL = flags.DEFINE_enum("model", "efficientnet-b0", _MODELS, "variant")
_BATCH = flags.DEFINE_integer("batch", 128, "images on a replica", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 0, "image side in pixels; 0: the variant's", lower_bound=0)
_TPU = flags.DEFINE_string("tpu_type", "v5litepod-1", "slice; one replica of it is compiled for")
_FULL = flags.DEFINE_boolean("full", False, "full optimisation: minutes for each; default: level 9")
_PLAIN = flags.DEFINE_boolean("plain", False, "ours with and without training/tpu_kernels.py")
_REMATERIALISE = flags.DEFINE_boolean("rematerialise", False, "ours with rematerialisation, too")


class _FloatWeights:
    """A Keras model without its counters of random draws, which have no average."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.layers = model.layers
        self.weights = [weight for weight in model.weights if "float" in weight.dtype]
        self.trainable_weights = model.trainable_weights

    def __call__(self, images: Any, training: bool) -> Any:
        return self._model(images, training=training)


def ours(size: int) -> Any:
    from efficientnet_tf import create_model

    return create_model(
        _MODEL.value,
        resolution=size,
        classes=1000,
        classifier_activation=None,
        dtype="mixed_bfloat16",
    )


def theirs(size: int) -> Any:
    import keras
    import numpy as np

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        make = getattr(keras.applications, f"EfficientNetB{_MODEL.value[-1]}")
        model = make(weights=None, classifier_activation=None, input_shape=(size, size, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            # As constants: tensors made outside would enter the program from outside.
            layer.mean, layer.variance = (
                np.asarray(value.numpy()) for value in (layer.mean, layer.variance)
            )
    return _FloatWeights(model)


def compile_step(
    strategy: Any, make: Callable[[int], Any], *, other: bool = False, rematerialise: bool = False
) -> Any:
    """The compiler's report on one update of the network that `make` makes.

    Args:
        other: without training/tpu_kernels.py on chips that train with it, with it on others.
    """
    import tensorflow as tf

    from efficientnet_tf.config import OptimizerConfig, TrainConfig
    from efficientnet_tf.models.variants import find_variant
    from efficientnet_tf.tpu import compiler, fake_strategy, lowering
    from efficientnet_tf.training import tpu_kernels
    from efficientnet_tf.training.state import TrainState
    from efficientnet_tf.training.steps import TrainStep

    size, batch = _SIZE.value or find_variant(_MODEL.value).resolution, _BATCH.value
    with fake_strategy.one_copy(), strategy.scope():
        state = TrainState(make(size), with_average=True)
    replicas = strategy.num_replicas_in_sync
    train = TrainConfig(global_batch_size=batch * replicas, rematerialise=rematerialise)
    step = TrainStep(state, strategy, lambda _: tf.constant(0.01), OptimizerConfig(), train)
    if other:
        step._kernels = None if step._kernels else tpu_kernels
    specs = {
        "image": tf.TensorSpec([batch, size, size, 3], tf.uint8),
        "label": tf.TensorSpec([batch], tf.int32),
    }
    program = lowering.lower_replicated(strategy, step.update, [specs])
    level = compiler.FULL if _FULL.value else compiler.FAST
    return compiler.compile_program(program, target(_TPU.value), options=level)


def table(reports: dict[str, Any]) -> list[str]:
    """Lines; the first report is what the others are measured by."""
    base = next(iter(reports.values()))
    rows: list[tuple[str, ...]] = [("", "GB accessed", "peak HBM, MiB", "GFLOP", "compiled in")]
    for name, report in reports.items():
        if not report.fits:
            rows.append((name, "does not fit", "", "", ""))
            continue
        cells = [
            f"{value / unit:.{digits}f} ({value / of_base:.3f})"
            for value, of_base, unit, digits in (
                (report.bytes_accessed, base.bytes_accessed, 1e9, 2),
                (report.peak_hbm_bytes, base.peak_hbm_bytes, 2**20, 0),
                (report.flops, base.flops, 1e9, 1),
            )
        ]
        rows.append((name, *cells, f"{report.compile_seconds:.0f} s"))
    return aligned(rows)


def main(_: Any) -> None:
    start_tensorflow()
    logging.set_verbosity(logging.WARNING)
    from efficientnet_tf.tpu import fake_strategy
    from efficientnet_tf.training import tpu_kernels

    strategy = fake_strategy.make_tpu_strategy(target(_TPU.value))
    contestants: dict[str, Any] = {
        "keras.applications": lambda: compile_step(strategy, theirs),
        "efficientnet_tf": lambda: compile_step(strategy, ours),
    }
    if _PLAIN.value:
        has_kernels = target(_TPU.value).chip.name in tpu_kernels.CHIPS
        name = "  plain layers" if has_kernels else "  with tpu_kernels.py"
        contestants[name] = lambda: compile_step(strategy, ours, other=True)
    if _REMATERIALISE.value:
        contestants["  rematerialised"] = lambda: compile_step(strategy, ours, rematerialise=True)
    level = "full optimisation" if _FULL.value else "optimization_level 9"
    print(f"{_MODEL.value}, batch {_BATCH.value}, bfloat16, {_TPU.value}, {level}", flush=True)
    reports: dict[str, Any] = {}
    for name, call in contestants.items():
        print(f"compiling {name.strip()} ...", flush=True)
        reports[name] = call()
    print("\n".join(table(reports)))


if __name__ == "__main__":
    app.run(lambda argv: sys.exit(exit_code(lambda: main(argv))))
