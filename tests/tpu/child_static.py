"""The static check of this project's functions, traced for a TPU: one JSON line for each.

Run as `child_static.py TPU_TYPE MODEL[,MODEL...] [whole]` (or `tiny`), by children.py.
Without `whole` a network has three blocks, one of them with a residual: what it is traced from in
a fifth of the time.
"""

import json
import sys
from collections import Counter
from typing import Any

import tensorflow as tf
from tiny_experiment import tiny_config

from efficientnet_tf import config as config_lib
from efficientnet_tf.tpu import op_check, programs, tracing
from efficientnet_tf.tpu.targets import target

# Of the short networks: each kind of block that the whole one has.
BLOCKS = {
    "efficientnet-b0": ("r1_k3_s11_e1_i32_o16_se0.25", "r2_k5_s22_e6_i16_o24_se0.25"),
    "efficientnet-lite0": ("r1_k3_s11_e1_i32_o16", "r2_k5_s22_e6_i16_o24"),
    "efficientnet-edgetpu-S": ("r2_k3_s22_e8_i32_o24_c1", "r1_k5_s22_e8_i24_o32"),
}


def config_of(model: str, replicas: int, whole: bool) -> Any:
    if model == "tiny":
        return tiny_config(8 * replicas, parts=2)
    config = config_lib.ExperimentConfig()
    config.model.name = model
    if not whole:
        config.model.blocks_args = BLOCKS[model]
    config.train.global_batch_size = 8 * replicas
    return config_lib.finish(config)


def nodes(trace: Any) -> list[Any]:
    functions = trace.graph_def.library.function
    return [*trace.graph_def.node, *(node for each in functions for node in each.node_def)]


def show(model: str, trace: Any) -> None:
    kinds = Counter(node.op for node in nodes(trace))
    line = {
        "model": model,
        "function": trace.name,
        "replicas": trace.replicas,
        "nodes": sum(kinds.values()),
        "variables": len(trace.variables),
        "sums": kinds["CrossReplicaSum"],
        "bfloat16": sum(
            # Not by [] alone, which would give the nodes that have no T an empty one.
            "T" in node.attr and node.attr["T"].type == tf.bfloat16.as_datatype_enum
            for node in nodes(trace)
        ),
        "image": trace.inputs[0][1].dtype.name,
        "problems": [str(problem) for problem in op_check.problems(trace)],
    }
    print(json.dumps(line), flush=True)


def main(tpu_type: str, models: str, extent: str = "") -> None:
    for model in models.split(","):
        config = config_of(model, target(tpu_type).devices, whole=extent == "whole")
        experiment = programs.build(config, target(tpu_type))
        train = programs.train_trace(experiment)
        show(model, train)
        show(model, programs.eval_trace(experiment))
        for dtype in ("uint8", "float32"):
            show(model, programs.serving_trace(experiment, 8, dtype))
        if model == "tiny":  # the check must see what is inside strategy.run and inside a loop
            step = experiment.updates.train_step()

            def bad(batch: Any, step: Any = step) -> Any:
                loss = step.update(batch)

                def body(index: Any) -> Any:
                    tf.print(index)
                    return index + 1

                tf.while_loop(lambda index: index < 2, body, [0])
                return tf.cast(loss, tf.float64)

            dataset = experiment.updates.dataset(programs.one_host(experiment))
            show("bad", tracing.trace_replicated(experiment.strategy, bad, [dataset.element_spec]))


if __name__ == "__main__":
    main(*sys.argv[1:])
