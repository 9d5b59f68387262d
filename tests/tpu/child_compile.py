"""The small network's functions compiled by the real TPU compiler: one JSON line for each.

Run as `child_compile.py TPU_TYPE[,TPU_TYPE...]` with as many devices each, by children.py.
"""

import dataclasses
import json
import sys

import tensorflow as tf
from tiny_experiment import tiny_config

from efficientnet_tf.tpu import compiler, lowering, programs
from efficientnet_tf.tpu.targets import target
from efficientnet_tf.tpu.tracing import trace_plain


def main(tpu_types: str) -> None:
    targets = [target(name) for name in tpu_types.split(",")]
    experiment = programs.build(tiny_config(8 * targets[0].devices), targets[0])
    traces = [
        programs.train_trace(experiment),
        programs.eval_trace(experiment),
        programs.serving_trace(experiment, 8),
    ]
    lowered = [lowering.lower(trace) for trace in traces]
    large = [tf.TensorSpec([2**33], tf.float32)]  # 32 GiB
    lowered.append(lowering.lower(trace_plain(lambda values: values + 1.0, large, "large")))
    for each in targets:
        for program in lowered:
            result = compiler.compile_program(program, each)
            print(json.dumps(dataclasses.asdict(result)), flush=True)
    trainable = sum(
        value.shape.num_elements() for value in experiment.model.state.trainable.values()
    )
    print(json.dumps({"name": "model", "trainable_weights": trainable}))


if __name__ == "__main__":
    main(sys.argv[1])
