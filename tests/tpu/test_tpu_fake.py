"""The made-up TPUStrategy: a true one, over any slice, with one copy of every variable."""

import subprocess
import sys

import pytest

PROGRAM = """
from efficientnet_tf.machine.startup import start_tensorflow
start_tensorflow()
import numpy as np, tensorflow as tf
from efficientnet_tf.errors import RunError
from efficientnet_tf.machine.device import Device
from efficientnet_tf.training import tpu_kernels
from efficientnet_tf.training.connect import connect
from efficientnet_tf.training.distribution import kernels_for
from efficientnet_tf.tpu import fake_strategy, lowering, tracing
from efficientnet_tf.tpu.targets import target

fake_strategy.install(target("{name}"))
strategy = connect(Device("local"))
assert isinstance(strategy, tf.distribute.TPUStrategy), strategy
assert strategy.num_replicas_in_sync == {replicas}
assert kernels_for(strategy) is {kernels}
try:
    fake_strategy.install(target("v5litepod-4"))
    raise SystemExit("a second slice was installed")
except RunError as error:
    assert "use another process" in str(error)
with fake_strategy.one_copy(), strategy.scope():
    weight = tf.Variable(tf.ones([64, 64]))
    slot = tf.Variable(np.ones([64, 64], np.float32))
for variable in (weight, slot):
    sizes = [copy.numpy().size for copy in variable.values]
    assert sizes == [64 * 64] + [0] * ({replicas} - 1), sizes

def step(x):
    weight.assign_add(x)
    replica = tf.distribute.get_replica_context()
    total = replica.all_reduce(tf.distribute.ReduceOp.SUM, x)
    return total * tf.cast(replica.replica_id_in_sync_group, tf.float32) + slot

spec = tf.TensorSpec([64, 64])
trace = tracing.trace_replicated(strategy, step, [spec])
assert [spec.shape for _, spec in trace.inputs] == [[64, 64]]
assert len(trace.variables) == 2 and trace.replicas == {replicas}
assert len(trace.replica_values) == 1  # the number of the replica
assert lowering.lower(trace).stablehlo

def exchange(x):
    return tf.raw_ops.AllToAll(
        input=x, group_assignment=[list(range({replicas}))], concat_dimension=0,
        split_dimension=0, split_count={replicas})

for bad, reason in ((exchange, "AllToAll"), (lambda x: tf.raw_ops.AsString(input=x), "AsString")):
    try:
        lowering.lower_replicated(strategy, bad, [spec], "step")
        raise SystemExit("lowered " + reason)
    except RunError as error:
        assert reason in str(error) and "step" in str(error) and "\\n" not in str(error), error
print("good")
"""


@pytest.mark.parametrize(
    ("name", "replicas", "kernels"),
    [("v3-8", 8, "None"), ("v5litepod-4", 4, "tpu_kernels"), ("v4-8", 4, "None")]
    + [("v6e-4", 4, "None")],
)
def test_a_tpu_strategy_without_a_tpu(name: str, replicas: int, kernels: str) -> None:
    if name == "v5litepod-4":
        program = PROGRAM.replace('target("v5litepod-4"))\n    raise', 'target("v3-8"))\n    raise')
    else:
        program = PROGRAM
    done = subprocess.run(
        [sys.executable, "-c", program.format(name=name, replicas=replicas, kernels=kernels)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("good\n"), done.stderr[-3000:]
