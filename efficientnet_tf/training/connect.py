"""From the --tpu flag to the strategy to train under, and what it runs on.

A TPU is looked up, asked whether it is well, reached, set up once in a process and only then
made a strategy; nothing else of TensorFlow may run before. `local` is the TPU of this machine and
is neither looked up nor reached: it has no address, and its Cloud TPU API need not be allowed.
On a pod the resolver gives all hosts; each gets its own input pipeline, since the data comes
through `distribute_datasets_from_function`.

TensorFlow waits without end for an address that does not answer (tried), so every address is
tried out before, and lookups have a time limit.
"""

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine import chips
from efficientnet_tf.machine import tpu as machine_tpu
from efficientnet_tf.machine.device import Device
from efficientnet_tf.training import multi_worker

LOCAL = "local"
_SCHEME = "grpc://"
# Where TensorFlow, too, looks for a name when none is given.
_NAME_VARIABLES = ("KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_NAME")
_LOOKUP_SECONDS = 10.0
_ANSWER_SECONDS = 20.0
# Lines of TensorFlow's errors that tell the user nothing.
_NOISE = ("Graph execution error", "Detected at node", "<stack traces", "[[{{node")

# What TensorFlow says of a machine without TPU: plain TensorFlow, tensorflow-tpu, no DNS name.
_MEANINGS = {
    "No OpKernel was registered to support Op 'ConfigureDistributedTPU'": (
        "this TensorFlow has no TPU kernels"
    ),
    "tpu_node_interfaces.cc": "libtpu finds no TPU",
    "Name or service not known": "the metadata server of Google Cloud does not answer",
}

_connected: dict[str, tf.distribute.Strategy] = {}  # by address
_chips: dict[tf.distribute.Strategy, str] = {}  # what TensorFlow does not tell of a TPUStrategy


def connect(device: Device) -> tf.distribute.Strategy:
    """Connects to the accelerator and returns the strategy to train under.

    A TPU that this process is connected to already is returned as it is, whatever zone and
    project: setting it up anew would lose its variables.

    Raises:
        UsageError: no TPU answers there; the message says what was found and what to do.
    """
    if device.tpu is None:
        if device.tpu_zone or device.tpu_project:
            raise UsageError("--tpu_zone and --tpu_project belong to a TPU: give --tpu=NAME, too.")
        workers = multi_worker.strategy_from_environment()
        if workers is not None:
            return workers
        gpus = tf.config.list_logical_devices("GPU")
        if len(gpus) > 1:
            return tf.distribute.MirroredStrategy()
        return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
    address = _address(device.tpu)
    if address not in _connected:
        _connected[address] = _connect_tpu(address, device.tpu_zone, device.tpu_project)
    return _connected[address]


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.TPUStrategy)


def chip_of(strategy: tf.distribute.Strategy) -> str:
    """The generation of a TPUStrategy's chips, such as "v5e"; "" if nothing said it."""
    return _chips.get(strategy, "")


def note_chip(strategy: tf.distribute.Strategy, chip: str) -> None:
    """Says what `chip_of` answers, unless it was said before."""
    _chips.setdefault(strategy, chip)


def describe(strategy: tf.distribute.Strategy) -> str:
    """`8 TPU cores`, `32 TPU cores on 4 hosts`, `4 GPUs of 2 workers` or `CPU (2 cores)`."""
    replicas = strategy.num_replicas_in_sync
    if is_tpu(strategy):
        hosts = strategy.extended.num_hosts
        where = f" on {hosts} hosts" if hosts > 1 else ""
        return f"{replicas} TPU core{'s' if replicas > 1 else ''}{where}"
    workers = multi_worker.Workers(strategy).count
    whose = f" of {workers} workers" if workers > 1 else ""
    kind = strategy.extended.worker_devices[0].upper()
    if "GPU" in kind:
        return f"{replicas} GPU{'s' if replicas > 1 else ''}{whose}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpus = f"CPU ({cores} core{'s' if cores != 1 else ''})"
    return cpus if replicas == 1 else f"{replicas} replicas{whose} on {cpus}"


def _address(tpu: str) -> str:
    """What is asked for: "local", a name or grpc://...; "" is looked up in the environment."""
    if not tpu:
        tpu = next((os.environ[name] for name in _NAME_VARIABLES if os.environ.get(name)), "")
        if not tpu:
            raise UsageError(
                "--tpu is empty, and so are the environment variables "
                f"{' and '.join(_NAME_VARIABLES)}. Use --tpu=local for the TPU of this machine, or "
                "give a name or grpc://HOST:8470."
            )
    if ":" in tpu and not tpu.startswith(_SCHEME):
        raise UsageError(
            f"--tpu={tpu} looks like an address: write {_SCHEME}HOST:PORT, a name without a "
            'colon, or "local".'
        )
    return tpu


def _connect_tpu(tpu: str, zone: str | None, project: str | None) -> tf.distribute.Strategy:
    has_name = tpu != LOCAL and not tpu.startswith(_SCHEME)
    package = _cloud_tpu_client(tpu) if has_name else None
    chip = chips.kind() if tpu == LOCAL else ""  # no address tells
    try:
        with _silent_tensorflow(), _limited_lookups():
            if package is not None:
                client = package.Client(tpu=tpu, zone=zone, project=project)
                _check_cloud_tpu(client)
                chip = chips.generation(client.accelerator_type() or "")
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
                tpu=tpu, zone=zone, project=project
            )
            if tpu != LOCAL:
                for worker in resolver.cluster_spec().job_tasks("worker"):
                    _check_answers(worker)
                tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
            strategy = tf.distribute.TPUStrategy(resolver)
            note_chip(strategy, chip)
            return strategy
    except Exception as error:  # TF raises many kinds here, down to KeyError and socket errors
        raise UsageError(machine_tpu.no_tpu(tpu, _reason(error))) from error


def _cloud_tpu_client(tpu: str) -> Any:
    """The package that knows TPUs by name; no part of a plain installation."""
    try:
        import cloud_tpu_client
    except ImportError:
        raise UsageError(
            f"--tpu={tpu} is a TPU given by its name, about which the package cloud-tpu-client "
            "asks Google Cloud, and it is not installed.\n"
            "pip install cloud-tpu-client, in an environment that is not a notebook's own: it "
            "brings google-auth below 2. --tpu=local and --tpu=grpc://HOST:8470 do without it."
        ) from None
    return cloud_tpu_client


def _check_cloud_tpu(client: Any) -> None:
    """Asks the Cloud TPU API whether the TPU is ready, healthy and runs our TensorFlow.

    Raises:
        RuntimeError: it is not. And whatever the client raises.
    """
    state, health = client.state(), client.health()
    if state not in (None, "READY"):
        raise RuntimeError(
            f"its state is {state}, not READY. {'Create it anew' if _is_lost(state) else 'Wait'}"
        )
    if health not in (None, "HEALTHY", "HEALTH_UNSPECIFIED"):
        raise RuntimeError(f"its health is {health}. Wait, restart it or create it anew")
    theirs, ours = _minor_version(client.runtime_version()), _minor_version(tf.__version__)
    if theirs not in (None, ours):
        raise RuntimeError(
            f"it runs TensorFlow {theirs}, here is {tf.__version__}. Create it with the version "
            f"tpu-vm-tf-{tf.__version__}, or install tensorflow-tpu {theirs} here"
        )


def _is_lost(state: str) -> bool:
    return state in ("TERMINATED", "PREEMPTED", "DELETING")


def _minor_version(text: Any) -> str | None:
    """ "2.19" of "2.19.1" or "tpu-vm-tf-2.19.1-pod-pjrt"; None of names that tell no version."""
    match = re.match(r"(?:tpu-vm-tf-)?(\d+\.\d+)(?![\w])", str(text))
    return match.group(1) if match else None


def _check_answers(worker: str) -> None:
    """Refuses a host:port where no gRPC server answers, for which TensorFlow would wait forever."""
    import grpc

    with grpc.insecure_channel(worker) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_ANSWER_SECONDS)
        except grpc.FutureTimeoutError:
            raise RuntimeError(
                f"nothing answers at {worker} within {_ANSWER_SECONDS:.0f} s"
            ) from None


def _reason(error: Exception) -> str:
    """What an error says in one line, without TensorFlow's graph nodes."""
    for sign, meaning in _MEANINGS.items():
        if sign in str(error):
            return meaning
    for line in str(error).splitlines():
        line = line.split(" used by {{")[0].strip()
        if line and not line.startswith(_NOISE):
            return line[:200].rstrip(".")
    return type(error).__name__


@contextlib.contextmanager
def _silent_tensorflow() -> Iterator[None]:
    """Its log repeats the errors, longer."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.FATAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _limited_lookups() -> Iterator[None]:
    """A time limit for the requests to metadata server and API, which set none themselves."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_LOOKUP_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
