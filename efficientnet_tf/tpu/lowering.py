"""From a trace to StableHLO, on the plain TensorFlow wheel, without a TPU.

`lower` gives what one replica runs to tf2xla as a function of its own, with the same variables.

Differences from what the TPU runtime does with the same graph:
- XLA's lowering for the CPU is used, as the plain wheel has none for TPUs. All its kernels are
  shared but those that draw random bits: the numbers differ, not what is computed from them.
- CrossReplicaSum, which only the TPU wheel has, becomes XlaAllReduce: the same XLA all-reduce.
- An op that moves data between replicas in another way (AllToAll, CollectivePermute) is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context

from efficientnet_tf.errors import RunError, first_line
from efficientnet_tf.tpu.tracing import Trace, producer, trace_replicated

# Ops of the TPU wheel alone for which no equal is known to the plain one.
_UNKNOWN_COLLECTIVES = frozenset({"AllToAll", "CollectivePermute"})
# Attributes that tie a node to its cluster.
_MARKS = ("_tpu_replicate", "_class", "_output_shapes")


@dataclass(frozen=True)
class Program:
    """A compiled function's input: one replica's program.

    The arguments of its main function are `inputs`, then `replica_values`, then the variables;
    the results are those of the function, then the new values of the variables it assigned, each
    aliased with its argument inside the module (`mhlo.input_output_alias`), so that memory for it
    is counted once.

    Attributes:
        name: of the function.
        stablehlo: the module, serialised.
        inputs: argument tensors, flat, then the replica values.
        variables: names of the variables in the order of their arguments.
        handles: their resource handles, same order.
        outputs: how many tensors the function itself returns.
        replicas: how many run it at once.
    """

    name: str
    stablehlo: bytes
    inputs: tuple[tf.TensorSpec, ...]
    variables: tuple[str, ...]
    handles: tuple[Any, ...]
    outputs: int
    replicas: int


def _functions_of(node: Any) -> Iterator[Any]:
    """Every mention of a library function in the node's attributes."""
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func
        yield from value.list.func


def _without_tpu_ops(trace: Trace) -> Any:
    """The graph with CrossReplicaSum as XlaAllReduce, in functions too (loops, branches)."""
    graph_def = tf.compat.v1.GraphDef()
    graph_def.CopyFrom(trace.graph_def)
    library = graph_def.library
    # Under its old name TensorFlow would find the function it traced, with the ops of the TPU.
    renamed = {each.signature.name: f"{each.signature.name}_lowered" for each in library.function}
    for function in library.function:
        function.signature.name = renamed[function.signature.name]
    for gradient in library.gradient:
        gradient.function_name = renamed[gradient.function_name]
        gradient.gradient_func = renamed[gradient.gradient_func]
    for nodes in (graph_def.node, *(function.node_def for function in library.function)):
        for node in nodes:
            node.op = renamed.get(node.op, node.op)
            for function in _functions_of(node):
                function.name = renamed[function.name]
            for mark in _MARKS:
                node.attr.pop(mark, None)
            if node.op in _UNKNOWN_COLLECTIVES:
                raise RunError(
                    f"{trace.name} exchanges data between replicas with {node.op} ({node.name}), "
                    "which the plain TensorFlow wheel cannot lower. Use all_reduce."
                )
            if node.op == "CrossReplicaSum":
                node.op = "XlaAllReduce"
                node.attr["reduce_op"].s = b"Add"
                node.attr["mode"].s = b"CrossReplica"
    return graph_def


def lower(trace: Trace) -> Program:
    """The StableHLO of a trace.

    Raises:
        RunError: an op of it has no XLA lowering, or a shape is not static.
    """
    graph_def = _without_tpu_ops(trace)
    entering = [*trace.inputs, *trace.replica_values]
    for function in graph_def.library.function:  # importing a graph does not make them known
        if not context.context().has_function(function.signature.name):
            context.context().add_function_def(function)

    @tf.function(jit_compile=True, autograph=False)
    def program(*arguments: Any) -> Any:
        graph = tf.compat.v1.get_default_graph()
        handles = [graph.capture(handle) for _, handle in trace.variables]
        names = [name for name, _ in [*entering, *trace.variables]]
        values = dict(zip(names, [*arguments, *handles], strict=True))
        read = {producer(name) for node in graph_def.node for name in node.input}
        results = tf.graph_util.import_graph_def(
            graph_def,
            input_map={name: value for name, value in values.items() if name in read},
            return_elements=list(trace.outputs),
            name="",
        )
        return [tf.identity(result) for result in results]

    specs = [tf.TensorSpec(spec.shape, spec.dtype) for _, spec in entering]
    try:
        emit = program.experimental_get_compiler_ir(*specs)
        stablehlo = emit(stage="stablehlo_serialized", platform_name="CPU")
    except (tf.errors.OpError, ValueError, TypeError) as error:
        reason = first_line(error)
        raise RunError(f"{trace.name} cannot be lowered by XLA: {reason}") from error
    return Program(
        name=trace.name,
        stablehlo=stablehlo,
        inputs=tuple(spec for _, spec in entering),
        variables=tuple(name for name, _ in trace.variables),
        handles=tuple(handle for _, handle in trace.variables),
        outputs=len(trace.outputs),
        replicas=trace.replicas,
    )


def lower_replicated(
    strategy: tf.distribute.TPUStrategy,
    fn: Callable[..., Any],
    specs: Sequence[Any],
    name: str = "replica_fn",
) -> Program:
    """`lower(trace_replicated(...))`."""
    return lower(trace_replicated(strategy, fn, specs, name))
