"""Runs a lowered program on the CPU: the very StableHLO that the TPU compiler gets.

With the results of the step that TensorFlow itself runs beside it, it shows that the compiled
program is the right program. Replicas are as many devices that JAX makes of the CPU, so sums over
replicas are tried, too.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.errors import RunError
from efficientnet_tf.tpu import requirements
from efficientnet_tf.tpu.compiler import parse_module
from efficientnet_tf.tpu.lowering import Program


def make_devices(count: int) -> None:
    """Asks JAX for that many CPU devices; before JAX is used in this process."""
    flag = f"--xla_force_host_platform_device_count={count}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()


def variable_values(program: Program) -> list[np.ndarray]:
    """The variables' present values, in the order of `program.variables`."""
    return [
        tf.raw_ops.ReadVariableOp(resource=handle, dtype=_dtype(handle)).numpy()
        for handle in program.handles
    ]


def _dtype(handle: Any) -> tf.DType:
    return tf.dtypes.as_dtype(handle._handle_data.shape_and_type[0].dtype)


def replay(
    program: Program, inputs: Sequence[Sequence[Any]], variables: Sequence[np.ndarray]
) -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Runs the program once on every replica.

    Args:
        inputs: for each replica one array for each of `program.inputs`.
        variables: one array for each of `program.variables`, the same on every replica.

    Returns:
        For each replica: the function's results, and the variables afterwards.

    Raises:
        RunError: there are fewer CPU devices than replicas, see `make_devices`.
    """
    requirements.prepare()
    import jax
    from jax._src import compiler
    from jax._src.lib import xla_client

    jax.config.update("jax_enable_x64", True)  # the step and the seeds are int64
    replicas = len(inputs)
    devices = jax.devices("cpu")[:replicas]
    if len(devices) < replicas:
        raise RunError(f"JAX has {len(devices)} CPU devices, fewer than {replicas} replicas.")
    options = compiler.get_compile_options(
        num_replicas=replicas,
        num_partitions=1,
        device_assignment=np.array([device.id for device in devices]).reshape(replicas, 1),
    )
    options.executable_build_options.use_spmd_partitioning = False
    module = parse_module(program.stablehlo)
    with module.context:
        replaced = _replaced(module)
        executable = devices[0].client.compile_and_load(
            module,
            executable_devices=xla_client.DeviceList(tuple(devices)),
            compile_options=options,
        )
    mesh = jax.sharding.Mesh(np.array(devices), ("replica",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def one_a_replica(values: Sequence[Any]) -> Any:
        # Declared as one array that all devices have, as executables take it; here they differ.
        copies = [
            jax.device_put(np.array(value), device)
            for value, device in zip(values, devices, strict=True)
        ]
        return jax.make_array_from_single_device_arrays(copies[0].shape, everywhere, copies)

    arguments = [one_a_replica(values) for values in zip(*inputs, strict=True)]
    arguments += [one_a_replica([value] * replicas) for value in variables]
    shards = executable.execute_sharded(arguments).disassemble_into_single_device_arrays()
    first = len(program.inputs)
    answers = []
    for replica in range(replicas):
        results = [np.asarray(shard[replica]) for shard in shards]
        after = list(variables)
        for result, argument in replaced.items():
            after[argument - first] = results[result]
        answers.append((results[: program.outputs], after))
    return answers


def _replaced(module: Any) -> dict[int, int]:
    """Number of a result -> number of the argument that it is the new value of."""
    aliases = module.operation.attributes["mhlo.input_output_alias"]
    found = {}
    for entry in aliases:
        (result,) = list(entry["output_index"])
        found[result] = int(entry["alias"]["parameter_number"])
    return found
