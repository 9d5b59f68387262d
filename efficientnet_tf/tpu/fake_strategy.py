"""A real tf.distribute.TPUStrategy over TPUs that are not there.

`install` answers in the TPU runtime's place: which devices there are and how they are laid out.
From then on TensorFlow builds a true TPUStrategy, whose `run` can be *traced*: the graph has the
replicated cluster that a TPU would get. It cannot be executed. Variables lie on the CPU.

TensorFlow is patched for the rest of the process, so this belongs in a process of its own. The
patches name TensorFlow's internals; they hold for 2.19 to 2.21 (tests/tpu/test_tpu_fake.py).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import config as tf_config
from tensorflow.python.ops import resource_variable_ops
from tensorflow.python.tpu import topology, tpu_strategy_util, tpu_system_metadata

from efficientnet_tf.errors import RunError
from efficientnet_tf.tpu.targets import TpuSlice
from efficientnet_tf.training.connect import note_chip

_HOST = "/job:localhost/replica:0/task:0/device:"
_installed: list[TpuSlice] = []


@dataclass(frozen=True)
class _Device:
    name: str
    device_type: str


def _topology(target: TpuSlice) -> topology.Topology:
    """Coordinates x, y, z, core of every device, the cores of a chip beside each other."""
    x, y, z = target.shape
    cores = target.chip.devices
    coordinates = [
        [column, row, layer, core]
        for layer in range(z)
        for row in range(y)
        for column in range(x)
        for core in range(cores)
    ]
    return topology.Topology(
        mesh_shape=[x, y, z, cores], device_coordinates=np.array([coordinates], np.int32)
    )


def _resolver_class(target: TpuSlice) -> type:
    devices = [_Device(f"{_HOST}TPU:{index}", "TPU") for index in range(target.devices)]
    metadata = tpu_system_metadata.TPUSystemMetadata(
        num_cores=target.devices,
        num_hosts=1,
        num_of_cores_per_host=target.devices,
        topology=_topology(target),
        devices=[*devices, _Device(f"{_HOST}CPU:0", "CPU")],
    )

    class FakeResolver(tf.distribute.cluster_resolver.TPUClusterResolver):
        """Knows the slice without asking a TPU; takes the arguments of the class it replaces."""

        environment = ""
        tpu_hardware_feature = None
        task_type = None
        task_id = None

        def __init__(self, tpu: str | None = "local", **_: Any) -> None:
            self._tpu = tpu

        def get_tpu_system_metadata(self) -> tpu_system_metadata.TPUSystemMetadata:
            return metadata

        def cluster_spec(self) -> tf.train.ClusterSpec:
            return tf.train.ClusterSpec({})

        def master(self, *_: Any, **__: Any) -> str:
            return "local"

        def get_master(self) -> str:
            return "local"

        def num_accelerators(self, *_: Any, **__: Any) -> dict[str, int]:
            return {"TPU": target.devices}

    return FakeResolver


def install(target: TpuSlice) -> None:
    """Lets TensorFlow believe in the slice: afterwards `distribution.connect("local")` works.

    Raises:
        RunError: another slice was installed in this process before.
    """
    if _installed:
        if _installed[0] == target:
            return
        raise RunError(
            f"this process already has a made-up {_installed[0].name}; use another process for "
            f"{target.name}."
        )
    tf.config.set_soft_device_placement(True)  # what is placed on a TPU lands on the CPU
    layout = _topology(target)
    for name in ("", "local"):
        tpu_strategy_util._INITIALIZED_TPU_SYSTEMS[name] = layout
    tpus = [
        tf.config.LogicalDevice(f"{_HOST}TPU:{index}", "TPU") for index in range(target.devices)
    ]
    real = tf_config.list_logical_devices

    def list_logical_devices(device_type: str | None = None) -> list[Any]:
        return tpus if device_type == "TPU" else real(device_type)

    tf_config.list_logical_devices = list_logical_devices
    tf.config.list_logical_devices = list_logical_devices
    tf.distribute.cluster_resolver.TPUClusterResolver = _resolver_class(target)
    tf.tpu.experimental.initialize_tpu_system = lambda resolver=None: layout
    # One handle for all copies of a variable would hide which variable it is from lowering.py.
    real_init = tf.distribute.TPUStrategy.__init__

    def unpacked(self: tf.distribute.TPUStrategy, *args: Any, **kwargs: Any) -> None:
        real_init(self, *args, **kwargs)
        self._enable_packed_variable_in_eager_mode = False
        note_chip(self, target.chip.name)

    tf.distribute.TPUStrategy.__init__ = unpacked
    _installed.append(target)


def make_tpu_strategy(target: TpuSlice) -> tf.distribute.TPUStrategy:
    """A TPUStrategy over every device of the slice; patches TensorFlow, see `install`."""
    install(target)
    return tf.distribute.TPUStrategy(tf.distribute.cluster_resolver.TPUClusterResolver())


@contextlib.contextmanager
def one_copy() -> Iterator[None]:
    """Inside, only the first replica's copy of a variable takes memory. Enter it before the scope.

    The other copies have a shape and a type, which is all that tracing asks of them: B7 and its
    optimizer fill a gigabyte for each replica.
    """

    def create(next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        name, value = kwargs.get("name") or "", kwargs.get("initial_value")
        if "/replica_" not in name or not isinstance(value, tf.Tensor | np.ndarray):
            return next_creator(**kwargs)
        return resource_variable_ops.UninitializedVariable(
            shape=value.shape, dtype=value.dtype, trainable=kwargs.get("trainable"), name=name
        )

    with tf.variable_creator_scope(create):
        yield
