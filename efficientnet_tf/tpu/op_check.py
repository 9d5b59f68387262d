"""The static check: has every op of a traced function a TPU kernel, and is it fit for a TPU?

The table `tpu_ops_2.20.json` lists the ops with a kernel for TPUs and the types it takes, read from
the TPU wheel of TensorFlow 2.20. Neither that wheel nor libtpu is needed here.

Some things a TPU would take, or drop in silence, and still are failures: float64 (emulated, many
times slower), shapes that depend on data (padded to a bound, recompiled), calls back to the host.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import function_def_to_graph
from tensorflow.python.ops import handle_data_util

from efficientnet_tf.tpu.lowering import Trace

_TABLE = "tpu_ops_2.20.json"
# What holds a graph together and what its functions begin and end with; nothing is computed.
_STRUCTURE = frozenset({"Placeholder", "NoOp", "_Arg", "_Retval"})
_HOST = frozenset(
    {
        "Assert",
        "EagerPyFunc",
        "InfeedDequeue",
        "InfeedDequeueTuple",
        "OutfeedEnqueue",
        "OutfeedEnqueueTuple",
        "Print",
        "PrintV2",
        "PyFunc",
        "PyFuncStateless",
        "XlaHostCompute",
        "XlaRecvFromHost",
        "XlaSendToHost",
    }
)
_SLOW = {tf.float64, tf.complex128}
# Ops that call a function on all of their inputs but the first ones.
_NOT_PASSED = {"If": 1, "StatelessIf": 1, "Case": 1, "StatelessCase": 1}


@dataclass(frozen=True)
class Problem:
    """One op that must not be in a TPU's function."""

    op: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op} ({self.name}): {self.reason}"


@cache
def table() -> dict[str, dict[str, frozenset[str]]]:
    """Op -> attribute -> names of the types that its TPU kernel takes."""
    text = resources.files("efficientnet_tf.tpu").joinpath(_TABLE).read_text(encoding="utf-8")
    stored = json.loads(text)
    dtypes = [frozenset(names) for names in stored["dtypes"]]
    return {
        op: {attribute: dtypes[index] for attribute, index in attributes.items()}
        for op, attributes in stored["ops"].items()
    }


def problems(trace: Trace) -> list[Problem]:
    """All that is wrong with a traced function, in the order of its ops; empty if it is fit."""
    with tf.Graph().as_default() as graph:
        sources: dict[str, tf.Tensor] = {}
        for name, spec in [*trace.inputs, *trace.replica_values]:
            sources[name] = tf.compat.v1.placeholder(spec.dtype, spec.shape, name)
        for name, handle in trace.variables:
            sources[name] = _placeholder_like(handle)
        _import(trace.graph_def, sources)
        return [problem for op in _operations(graph) for problem in _problems_of(op)]


def _placeholder_like(tensor: Any) -> tf.Tensor:
    """With the same type and shape; one of a variable knows the variable's, too."""
    placeholder = tf.compat.v1.placeholder(tensor.dtype, tensor.shape)
    if tensor.dtype == tf.resource:
        handle_data_util.copy_handle_data(tensor, placeholder)
    return placeholder


def _import(graph_def: Any, sources: dict[str, tf.Tensor]) -> None:
    """Into the default graph, which infers every shape; `sources` take the place of nodes."""
    read = {name.removeprefix("^").split(":")[0] for node in graph_def.node for name in node.input}
    others = tf.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    others.node.extend(node for node in graph_def.node if node.name not in sources)
    input_map = {name: tensor for name, tensor in sources.items() if name in read}
    tf.graph_util.import_graph_def(others, input_map=input_map, name="")


def _operations(graph: Any) -> Iterator[Any]:
    """Ops of the graph and of the functions they call, with the shapes they are called with."""
    functions = graph.as_graph_def().library
    definitions = {function.signature.name: function for function in functions.function}
    for op in graph.get_operations():
        yield op
        for name in _called(op):
            passed = list(op.inputs)[_NOT_PASSED.get(op.type, 0) :]
            graph_def, _ = function_def_to_graph.function_def_to_graph_def(definitions[name])
            graph_def.library.CopyFrom(functions)
            names = [argument.name for argument in definitions[name].signature.input_arg]
            with tf.Graph().as_default() as body:
                tensors = [_placeholder_like(tensor) for tensor in passed]
                _import(graph_def, dict(zip(names, tensors, strict=True)))
            yield from _operations(body)


def _called(op: Any) -> list[str]:
    names = []
    for value in op.node_def.attr.values():
        if value.HasField("func"):
            names.append(value.func.name)
        names += [each.name for each in value.list.func]
    return names


def _problems_of(op: Any) -> Iterator[Problem]:
    if op.type in _STRUCTURE:
        pass
    elif op.type in _HOST:
        yield Problem(op.type, op.name, "runs on the host")
    elif op.type not in table():
        yield Problem(op.type, op.name, "has no TPU kernel")
    for attribute, dtype in _dtypes(op):
        if dtype in _SLOW:
            yield Problem(op.type, op.name, f"{attribute} is {dtype.name}")
        elif dtype.name not in table().get(op.type, {}).get(attribute, {dtype.name}):
            yield Problem(op.type, op.name, f"has no TPU kernel for {attribute}={dtype.name}")
    for tensor in op.outputs:
        if tensor.dtype not in (tf.resource, tf.variant) and not tensor.shape.is_fully_defined():
            yield Problem(op.type, op.name, f"gives a shape that is not static, {tensor.shape}")


def _dtypes(op: Any) -> Iterator[tuple[str, tf.DType]]:
    for attribute, value in op.node_def.attr.items():
        for number in [value.type, *value.list.type]:
            if number:
                yield attribute, tf.dtypes.as_dtype(number)
