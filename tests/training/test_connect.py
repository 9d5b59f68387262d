"""From --tpu to a strategy: order, health, addresses that do not answer, and what is said then.

There is no TPU here: the resolver, the Cloud TPU client and TensorFlow's TPU calls are stand-ins;
the gRPC servers and the silent port are real, on this machine.
"""

import logging
import socket
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import tensorflow as tf

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine import tpu as machine_tpu
from efficientnet_tf.machine.device import Device
from efficientnet_tf.training import connect as module
from efficientnet_tf.training.connect import chip_of, connect, describe, is_tpu


@pytest.fixture(autouse=True)
def nothing_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_connected", {})
    monkeypatch.setattr(module, "_chips", {})
    for name in module._NAME_VARIABLES:
        monkeypatch.delenv(name, raising=False)


class World:
    """Stands in for TensorFlow's TPU functions and the Cloud TPU; notes the calls in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.workers = ["10.0.0.2:8470"]
        self.state: str | None = "READY"
        self.health: str | None = "HEALTHY"
        self.accelerator: str | None = "v5litepod-8"
        self.version: str | None = f"tpu-vm-tf-{tf.__version__}"

    def note(self, *call: Any) -> None:
        self.calls.append(call)

    def resolver(self, **asked: Any) -> Any:
        self.note("resolve", asked["tpu"], asked["zone"], asked["project"])
        return SimpleNamespace(
            cluster_spec=lambda: tf.train.ClusterSpec({"worker": self.workers}), name="resolver"
        )

    def client(self, **asked: Any) -> Any:
        self.note("ask", asked["tpu"], asked["zone"], asked["project"])
        return SimpleNamespace(
            state=lambda: self.state,
            health=lambda: self.health,
            runtime_version=lambda: self.version,
            accelerator_type=lambda: self.accelerator,
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", world.resolver)
    monkeypatch.setitem(sys.modules, "cloud_tpu_client", SimpleNamespace(Client=world.client))
    monkeypatch.setattr(module, "_check_answers", lambda worker: world.note("try", worker))
    monkeypatch.setattr(
        tf.config, "experimental_connect_to_cluster", lambda r: world.note("connect", r.name)
    )
    monkeypatch.setattr(
        tf.tpu.experimental, "initialize_tpu_system", lambda r: world.note("set up", r.name)
    )
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda r: ("strategy", r.name))
    return world


def refusal(*arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        connect(Device(*arguments))
    return str(caught.value)


# Without a TPU


def test_without_a_tpu_it_runs_on_the_cpu() -> None:
    strategy = connect(Device())
    assert strategy.num_replicas_in_sync == 1
    assert not is_tpu(strategy)
    assert describe(strategy).startswith("CPU (")


def test_describe_counts_replicas(replicas: Any) -> None:
    assert describe(replicas(4)).startswith("4 replicas on CPU (")


@pytest.mark.parametrize(
    ("cores", "hosts", "text"),
    [(1, 1, "1 TPU core"), (8, 1, "8 TPU cores"), (32, 4, "32 TPU cores on 4 hosts")],
)
def test_describe_counts_cores_and_hosts(
    monkeypatch: pytest.MonkeyPatch, cores: int, hosts: int, text: str
) -> None:
    monkeypatch.setattr(module, "is_tpu", lambda _: True)
    extended = SimpleNamespace(num_hosts=hosts)
    assert describe(SimpleNamespace(num_replicas_in_sync=cores, extended=extended)) == text


def test_a_zone_needs_a_tpu() -> None:
    assert "give --tpu=NAME" in refusal(None, "us-central1-a")
    assert "give --tpu=NAME" in refusal(None, None, "project")


# Order


def test_local_is_neither_looked_up_nor_reached(world: World) -> None:
    assert connect(Device("local")) == ("strategy", "resolver")
    assert world.calls == [("resolve", "local", None, None), ("set up", "resolver")]


def test_a_name_is_asked_resolved_tried_reached_and_set_up(world: World) -> None:
    assert connect(Device("node-7", "us-central1-a", "ours")) == ("strategy", "resolver")
    assert world.calls == [
        ("ask", "node-7", "us-central1-a", "ours"),
        ("resolve", "node-7", "us-central1-a", "ours"),
        ("try", "10.0.0.2:8470"),
        ("connect", "resolver"),
        ("set up", "resolver"),
    ]


def test_an_address_is_not_asked_about(world: World) -> None:
    connect(Device("grpc://10.0.0.2:8470"))
    assert [call[0] for call in world.calls] == ["resolve", "try", "connect", "set up"]


def test_every_host_of_a_pod_is_tried(world: World) -> None:
    world.workers = [f"10.0.0.{host}:8470" for host in range(4)]
    connect(Device("pod"))
    tried = [call[1] for call in world.calls if call[0] == "try"]
    assert tried == world.workers
    assert [call for call in world.calls if call[0] == "set up"] == [("set up", "resolver")]


def test_a_tpu_is_set_up_once_in_a_process(world: World) -> None:
    first = connect(Device("node-7", "us-central1-a", "ours"))
    assert connect(Device("node-7")) is first
    assert len([call for call in world.calls if call[0] == "set up"]) == 1


def test_a_failed_connection_is_tried_again(world: World) -> None:
    world.state = "CREATING"
    refusal("node-7")
    world.state = "READY"
    assert connect(Device("node-7")) == ("strategy", "resolver")


@pytest.mark.parametrize(
    ("variable", "value", "asks"),
    [
        ("TPU_NAME", "node-7", True),
        ("TPU_NAME", "local", False),
        ("KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "grpc://10.0.0.2:8470", False),
    ],
)
def test_an_empty_name_is_that_of_the_environment(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, asks: bool
) -> None:
    monkeypatch.setenv(variable, value)
    connect(Device(""))
    assert ("resolve", value, None, None) in world.calls
    assert (world.calls[0][0] == "ask") is asks


def test_an_empty_name_without_one_in_the_environment_is_refused(world: World) -> None:
    message = refusal("")
    assert "TPU_NAME" in message
    assert "--tpu=local" in message
    assert world.calls == []


def test_an_address_without_its_scheme_is_refused(world: World) -> None:
    assert "write grpc://HOST:PORT" in refusal("10.0.0.2:8470")
    assert world.calls == []


# Health and version of a Cloud TPU


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("state", "CREATING", "state is CREATING, not READY. Wait"),
        ("state", "PREEMPTED", "state is PREEMPTED, not READY. Create it anew"),
        ("health", "UNHEALTHY_MAINTENANCE", "health is UNHEALTHY_MAINTENANCE"),
        ("version", "tpu-vm-tf-2.11.0", "it runs TensorFlow 2.11, here is"),
        ("version", "2.11", "it runs TensorFlow 2.11, here is"),
    ],
)
def test_a_tpu_that_is_not_well_is_refused_before_it_is_reached(
    world: World, field: str, value: str, said: str
) -> None:
    setattr(world, field, value)
    message = refusal("node-7")
    assert message.startswith("no TPU found for --tpu=node-7: its ") or "it runs" in message
    assert said in message
    assert world.calls == [("ask", "node-7", None, None)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("health", None),
        ("health", "HEALTH_UNSPECIFIED"),
        ("version", None),
        ("version", "v2-alpha-tpuv5-lite"),  # a base image: TensorFlow is ours alone
        ("version", "tpu-vm-base"),
        ("version", "nightly"),
        ("version", f"tpu-vm-tf-{tf.__version__}-pod-pjrt"),
        ("version", tf.__version__.rpartition(".")[0]),
    ],
)
def test_what_the_client_does_not_know_is_no_reason_to_refuse(
    world: World, field: str, value: str | None
) -> None:
    setattr(world, field, value)
    assert connect(Device("node-7")) == ("strategy", "resolver")


# Which chip


@pytest.mark.parametrize(
    ("tpu", "accelerator", "chip"),
    [
        ("local", "v3-8", "v6e"),
        ("node-7", "v5litepod-8", "v5e"),
        ("node-7", "v3-32", "v3"),
        ("node-7", None, ""),
        ("grpc://10.0.0.2:8470", "v5litepod-8", ""),
    ],
)
def test_the_machine_or_the_cloud_tells_the_chip(
    world: World, monkeypatch: pytest.MonkeyPatch, tpu: str, accelerator: str | None, chip: str
) -> None:
    monkeypatch.setattr(module.chips, "kind", lambda: "v6e")
    world.accelerator = accelerator
    assert chip_of(connect(Device(tpu))) == chip


# Nothing waits without end


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def test_a_server_that_answers_passes() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        module._check_answers(f"127.0.0.1:{port}")
    finally:
        server.stop(0).wait()


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_that_does_not_answer_is_refused_in_time(
    monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    # The real resolver; TensorFlow's own connection waited more than 90 s, both times.
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        port = silent.getsockname()[1] if listens else free_port()
        started = time.monotonic()
        message = refusal(f"grpc://127.0.0.1:{port}")
    assert time.monotonic() - started < 10
    assert f"nothing answers at 127.0.0.1:{port}" in message


def test_lookups_have_a_time_limit_and_leave_none_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []
    monkeypatch.setattr(
        world, "client", lambda **_: limits.append(socket.getdefaulttimeout()) or 1 / 0
    )
    monkeypatch.setitem(sys.modules, "cloud_tpu_client", SimpleNamespace(Client=world.client))
    refusal("node-7")
    assert limits == [10.0]
    assert socket.getdefaulttimeout() is None


def test_a_name_needs_the_package_that_knows_names(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cloud_tpu_client", None)  # as where it is not installed
    first, second = refusal("node-7").splitlines()
    assert first.startswith("--tpu=node-7 is a TPU given by its name")
    assert second.startswith("pip install cloud-tpu-client")
    assert world.calls == []
    for tpu in ("local", "grpc://10.0.0.2:8470"):
        assert connect(Device(tpu)) == ("strategy", "resolver")


# The message


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def make(error: Exception) -> None:
        def fail(**_: Any) -> None:
            raise error

        monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", fail)

    level = logging.getLogger("tensorflow").level
    yield make
    assert logging.getLogger("tensorflow").level == level, "the log level is put back"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("Could not find the TPU\nlong explanation"), "Could not find the TPU"),
        (KeyError(), "KeyError"),
        (OSError("x" * 1000), "x" * 200),
        (
            tf.errors.NotFoundError(
                None,
                None,
                "No OpKernel was registered to support Op 'ConfigureDistributedTPU' used by {{x}}",
            ),
            "this TensorFlow has no TPU kernels",
        ),
        (
            tf.errors.InternalError(
                None, None, "Graph execution error:\n\nRET_CHECK (tpu_node_interfaces.cc:432)"
            ),
            "libtpu finds no TPU",
        ),
        (
            ValueError("Graph execution error:\n\nDetected at node x\nThe TPU is in use\n"),
            "The TPU is in use",
        ),
    ],
)
def test_a_missing_tpu_is_the_doctors_text(failing: Any, error: Exception, reason: str) -> None:
    failing(error)
    message = refusal("local")
    assert message == machine_tpu.no_tpu("local", reason)
    assert message.startswith(f"no TPU found for --tpu=local: {reason}\n")
    for remedy in (
        "tensorflow-tpu",
        "/dev/accel*",
        "What to do:",
        "Without --tpu",
        "main.py doctor",
    ):
        assert remedy in message


def test_here_and_now_there_is_no_tpu() -> None:
    # Nothing stands in: TensorFlow itself says so.
    assert refusal("local").startswith("no TPU found for --tpu=local: ")
