"""Looks through the operations of a SavedModel for those that do more than compute.

A SavedModel is a program: it could write files of this machine when it is loaded or asked.
"""

import os
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.files import read_bytes

_REFUSED = frozenset(
    ["WriteFile", "ReadFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc"]
    + ["Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints", "SaveDataset", "SaveDatasetV2"]
    + ["DatasetToTFRecord", "WriteSummary", "CreateSummaryFileWriter", "WholeFileReaderV2"]
)
# TensorFlow writes one such function into every SavedModel, to save it again, and calls it never.
_SAVER = "__inference__traced_save"


def check_graph(directory: str) -> None:
    """Refuses a SavedModel that reads or writes files or calls Python.

    Raises:
        UsageError: it does, or it cannot be read.
    """
    path = os.path.join(directory, "saved_model.pb")
    try:
        stored = saved_model_pb2.SavedModel.FromString(read_bytes(path))
    except DecodeError as error:
        raise UsageError(
            f'the SavedModel in "{directory}" cannot be read: it is damaged.\nExport it again.'
        ) from error
    for graph in stored.meta_graphs:
        found = sorted(set(_harmful(graph)))
        if found:
            raise UsageError(
                f'the SavedModel in "{directory}" does more than compute ({", ".join(found)}), so '
                "it was not loaded.\nExport the network again, from weights that you trust."
            )


def _harmful(graph: Any) -> Iterator[str]:
    """Operations that are refused, and calls of the function that saves."""
    for name in graph.object_graph_def.concrete_functions:
        if name.startswith(_SAVER):
            yield name
    for function in graph.graph_def.library.function:
        if function.signature.name.startswith(_SAVER):
            continue
        for node in function.node_def:
            called = [node.op]
            for value in node.attr.values():
                called += [value.func.name, *(each.name for each in value.list.func)]
            yield from (name for name in called if name in _REFUSED or name.startswith(_SAVER))
