"""Lowered steps replayed on the CPU beside TensorFlow's own: largest differences as JSON.

Run as `child_replay.py TPU_TYPE`, in a process of its own by children.py.
"""

import json
import sys
import tempfile
from typing import Any

import numpy as np
import replay
import tensorflow as tf
from tiny_experiment import tiny_config

from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.tpu import lowering, programs
from efficientnet_tf.tpu.targets import target
from efficientnet_tf.training import steps

IMAGES = 4  # of a replica


def batch_of(experiment: Any, images: int) -> dict[str, np.ndarray]:
    random = np.random.RandomState(0)
    dtype = experiment.updates.dataset(tf.distribute.InputContext(1, 0, 1)).element_spec["image"]
    pixels = random.randint(0, 256, (images, 32, 32, 3))
    return {
        "image": tf.cast(pixels, dtype.dtype).numpy(),
        "label": (np.arange(images) % 10).astype(np.int32),
    }


def difference(before: Any, expected: Any, got: Any) -> dict[str, float]:
    """Of the updates of each table (weights, slots, ...), relative to the table's largest one."""
    found: dict[str, float] = {}
    for table in {name.split("/")[0] for name in expected}:
        names = [name for name in expected if name.split("/")[0] == table]
        moved = max(np.abs(expected[name] - before[name]).max() for name in names)
        off = max(np.abs(expected[name] - got[name]).max() for name in names)
        found[table] = float(off / moved) if moved else float(off)
    return found


def replayed(experiment: Any, program: Any, batch: Any, replicas: int) -> Any:
    """(loss of all replicas, variables of the first, largest difference between the replicas)."""
    names = {
        id(variable.values[0].handle): name
        for name, variable in experiment.model.state.named_variables().items()
    }
    values = replay.variable_values(program)
    inputs = []
    for replica in range(replicas):
        own = slice(replica * IMAGES, (replica + 1) * IMAGES)
        inputs.append([batch["image"][own], batch["label"][own], np.int32(replica)])
    answers = replay.replay(program, inputs, values)
    keys = [names[id(handle)] for handle in program.handles]
    first, *others = [dict(zip(keys, after, strict=True)) for _, after in answers]
    apart = max((np.abs(first[k] - other[k]).max() for other in others for k in keys), default=0.0)
    loss = sum(float(results[0]) for results, _ in answers)
    return loss, dict(zip(keys, values, strict=True)), first, float(apart)


def own_step(config: Any, before: Any, batch: Any) -> Any:
    """(loss, loss of the same step under a later number, which draws other masks, variables).

    Of the step as TensorFlow runs it on one replica, from the same values.
    """
    with tempfile.TemporaryDirectory() as directory:
        experiment = Experiment(config, directory)
    variables = experiment.model.state.named_variables()
    step = experiment.updates.train_step()
    tensors = {name: tf.constant(value) for name, value in batch.items()}
    losses = []
    for number in (before["step"] + 1, before["step"]):
        for name, value in before.items():
            variables[name].assign(value)
        experiment.model.state.step.assign(number)
        losses.append(float(experiment.strategy.run(step.update, args=(tensors,))))
    return losses[1], losses[0], {name: variables[name].numpy() for name in before}


def compare(tpu_type: str, *, masks: bool, parts: int = 1) -> dict[str, Any]:
    replicas = target(tpu_type).devices
    config = tiny_config(IMAGES * replicas, precision="float32", masks=masks, parts=parts)
    experiment = programs.build(config, target(tpu_type))
    program = lowering.lower(programs.train_trace(experiment))
    batch = batch_of(experiment, IMAGES * replicas)
    loss, before, after, apart = replayed(experiment, program, batch, replicas)
    expected_loss, later_loss, expected = own_step(config, before, batch)
    return {
        "loss": expected_loss,
        "later_loss": later_loss,
        "loss_off": abs(loss - expected_loss),
        "updates_off": difference(before, expected, after),
        "apart": apart,
    }


def main(tpu_type: str) -> None:
    replicas = target(tpu_type).devices
    replay.make_devices(replicas)
    # All replicas share moments, so that they are one replica with all images.
    steps.batch_norm_group_size = lambda number, *_: number
    # Each replica has masks of its own.
    case = {"masks": True, "parts": 2} if replicas == 1 else {"masks": False}
    print(json.dumps(compare(tpu_type, **case)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
