"""The static check of this project's functions, traced for a TPU: one JSON line for each.

Run as `child_static.py TPU_TYPE MODEL[,MODEL...]` (or `tiny`), in a process of its own.
"""

import json
import sys
from collections import Counter
from typing import Any

from efficientnet_tf.startup import start_tensorflow

start_tensorflow()

import tensorflow as tf  # noqa: E402
from tiny_experiment import tiny_config  # noqa: E402

from efficientnet_tf import config as config_lib  # noqa: E402
from efficientnet_tf.tpu import op_check, programs, tracing  # noqa: E402
from efficientnet_tf.tpu.targets import target  # noqa: E402


def config_of(model: str, replicas: int) -> Any:
    if model == "tiny":
        return tiny_config(8 * replicas, parts=2)
    config = config_lib.ExperimentConfig()
    config.model.name = model
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
            node.attr["T"].type == tf.bfloat16.as_datatype_enum for node in nodes(trace)
        ),
        "image": trace.inputs[0][1].dtype.name,
        "problems": [str(problem) for problem in op_check.problems(trace)],
    }
    print(json.dumps(line), flush=True)


def main(tpu_type: str, models: str) -> None:
    for model in models.split(","):
        experiment = programs.build(config_of(model, target(tpu_type).devices), target(tpu_type))
        train = programs.train_trace(experiment)
        show(model, train)
        show(model, programs.eval_trace(experiment))
        for dtype in ("uint8", "float32"):
            show(model, programs.serving_trace(experiment, 8, dtype))
        if model == "tiny":  # the check must see what is inside strategy.run and inside a loop
            step = experiment.train_step(experiment.schedule())

            def bad(batch: Any, step: Any = step) -> Any:
                loss = step.update(batch)

                def body(index: Any) -> Any:
                    tf.print(index)
                    return index + 1

                tf.while_loop(lambda index: index < 2, body, [0])
                return tf.cast(loss, tf.float64)

            dataset = experiment.train_dataset_of(programs.one_host(experiment))
            show("bad", tracing.trace_replicated(experiment.strategy, bad, [dataset.element_spec]))


if __name__ == "__main__":
    main(*sys.argv[1:])
