"""What one replica of a function under TPUStrategy runs, cut out of TensorFlow's graph.

`trace_replicated` traces `strategy.run(fn)` and takes the cluster that TensorFlow would hand to the
TPU compiler, with what enters and leaves it. `trace_plain` does it for a function without a
strategy. Nothing is changed in the ops: op_check.py reads them, lowering.py compiles them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

# What TPUStrategy puts around the cluster; it never reaches the device.
_FRAME = frozenset({"TPUReplicateMetadata", "TPUCompilationResult", "TPUReplicatedOutput"})


@dataclass(frozen=True)
class Trace:
    """What one replica runs, as TensorFlow ops.

    Attributes:
        name: of the function.
        graph_def: its nodes; they read `inputs`, `replica_values` and `variables`, which are not
            among them.
        inputs: (name, spec) of every argument tensor, flat.
        replica_values: (name, spec) of what differs between replicas besides the arguments, such
            as the number of the replica.
        variables: (name, resource handle) of every variable.
        outputs: names of the tensors that the function returns, flat.
        replicas: how many run it.
    """

    name: str
    graph_def: Any
    inputs: tuple[tuple[str, tf.TensorSpec], ...]
    replica_values: tuple[tuple[str, tf.TensorSpec], ...]
    variables: tuple[tuple[str, Any], ...]
    outputs: tuple[str, ...]
    replicas: int


def producer(name: str) -> str:
    """The node of a tensor `node:0` or of a control edge `^node`."""
    return name.removeprefix("^").split(":")[0]


def trace_plain(fn: Callable[..., Any], specs: Sequence[Any], name: str = "fn") -> Trace:
    """Traces `fn(*args)` for arguments of these specs (nests of tf.TensorSpec)."""

    def plain(*args: Any) -> Any:
        return fn(*args)

    graph = tf.function(plain, autograph=False).get_concrete_function(*specs).graph
    arguments, handles = _arguments(graph)
    return Trace(
        name=name,
        graph_def=_graph_def(graph, {}, leave_out={*arguments, *handles}),
        inputs=tuple(arguments.items()),
        replica_values=(),
        variables=tuple(handles.items()),
        outputs=tuple(tensor.name for tensor in tf.nest.flatten(graph.outputs)),
        replicas=1,
    )


def trace_replicated(
    strategy: tf.distribute.TPUStrategy,
    fn: Callable[..., Any],
    specs: Sequence[Any],
    name: str = "replica_fn",
) -> Trace:
    """Traces `strategy.run(fn, args)` for arguments of these specs, those of one replica.

    Args:
        strategy: see fake_strategy.make_tpu_strategy.
        fn: what each replica runs; its result is a nest of tensors.
        specs: one nest of tf.TensorSpec for each argument; static shapes.
    """

    def replicated(*args: Any) -> Any:  # a named function: TensorFlow makes a scope of its name
        return strategy.run(fn, args=args)

    graph = tf.function(replicated, autograph=False).get_concrete_function(*specs).graph
    arguments, handles = _arguments(graph)
    variables: dict[str, Any] = {}
    replica_values: dict[str, tf.TensorSpec] = {}
    stands_for: dict[str, str] = {}  # an entry of the cluster -> the argument or variable behind it
    outputs = []
    for op in graph.get_operations():
        if op.type == "TPUReplicatedOutput":
            outputs.append(op.inputs[0].name)
        elif op.type == "TPUReplicatedInput":
            source = op.inputs[0].op.name
            if op.outputs[0].dtype == tf.resource:
                stands_for[op.name] = source
                variables[source] = handles[source]  # the first replica's copy
            elif source in arguments:
                stands_for[op.name] = source
            else:
                replica_values[op.name] = _spec(op.outputs[0])
    leave_out = {*arguments, *handles, *replica_values, *stands_for}
    outputs = [_renamed(output, stands_for) for output in outputs]
    return Trace(
        name=name,
        graph_def=_graph_def(graph, stands_for, leave_out, _cluster(graph, outputs, leave_out)),
        inputs=tuple(arguments.items()),
        replica_values=tuple(replica_values.items()),
        variables=tuple(variables.items()),
        outputs=tuple(outputs),
        replicas=strategy.num_replicas_in_sync,
    )


def _arguments(graph: Any) -> tuple[dict[str, tf.TensorSpec], dict[str, Any]]:
    """Placeholder -> spec of the arguments, and -> handle of what was captured."""
    handles = {placeholder.op.name: handle for handle, placeholder in graph.captures}
    arguments = {
        tensor.op.name: _spec(tensor) for tensor in graph.inputs if tensor.op.name not in handles
    }
    return arguments, handles


def _spec(tensor: Any) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.op.name)


def _cluster(graph: Any, outputs: Iterable[str], leave_out: set[str]) -> set[str]:
    """Names of the cluster's nodes and of all they read, such as constants made outside."""
    operations = {op.name: op for op in graph.get_operations()}
    wanted = [
        name
        for name, op in operations.items()
        if "_tpu_replicate" in op.node_def.attr and op.type not in _FRAME
    ]
    wanted += [producer(output) for output in outputs]
    kept: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in kept and name not in leave_out:
            kept.add(name)
            wanted += [tensor.op.name for tensor in operations[name].inputs]
    return kept


def _graph_def(
    graph: Any, stands_for: dict[str, str], leave_out: set[str], kept: set[str] | None = None
) -> Any:
    """The nodes `kept` (None: all) but `leave_out`, with the graph's functions."""
    whole = graph.as_graph_def()
    graph_def = tf.compat.v1.GraphDef(versions=whole.versions, library=whole.library)
    for node in whole.node:
        if node.name in leave_out or (kept is not None and node.name not in kept):
            continue
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        copy.device = ""
        copy.ClearField("input")
        for name in node.input:
            if not name.startswith("^"):
                copy.input.append(_renamed(name, stands_for))
            elif kept is None or producer(name) in kept:
                copy.input.append(name)
    return graph_def


def _renamed(tensor: str, stands_for: dict[str, str]) -> str:
    node = producer(tensor)
    return tensor.replace(node, stands_for.get(node, node), 1)
