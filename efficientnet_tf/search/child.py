"""The process in which one candidate is trained: `python -m efficientnet_tf.search.child JOB`.

JOB is a JSON file: config (dotted names), model_dir, result (the path to write), and tpu,
tpu_zone, tpu_project as the flags of main.py. The result appears by rename:
    fields of `results.Result`  it was trained
    {"error": "..."}            it cannot be: a wrong configuration, a loss that is not finite, ...
    {"stopped": true}           a signal ended it; its checkpoint is there
Standard input is a pipe from the search: when that ends, however it does, so does this process.
"""

import dataclasses
import json
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.machine.device import Device
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.models.networks import configured
from efficientnet_tf.models.operations import count


def _end_with_the_search() -> None:
    """Ends this process when standard input closes. os.read: no lock is held at the exit."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)  # files appear by rename, so the last checkpoint stays whole

    threading.Thread(target=watch, daemon=True).start()


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Trains the candidate of a job with the common loop; what is in its result file."""
    config = config_lib.from_dict(job["config"])
    # Refuses a wrong network before the seconds that TensorFlow takes to load.
    configured(**dataclasses.asdict(config.model))
    start_tensorflow()
    from efficientnet_tf.experiment import modes
    from efficientnet_tf.experiment.assembly import Experiment

    device = Device(job["tpu"], job["tpu_zone"], job["tpu_project"])
    where = modes.Where(job["model_dir"], device=device)
    metrics = modes.train_and_score(config, where)
    if metrics is None:
        return {"stopped": True}
    built = Experiment(config, job["model_dir"], device)
    counts = count(built.model.network.operations(built.data.source.num_classes))
    return {
        "top1": metrics.top1,
        "loss": metrics.loss,
        "examples": metrics.examples,
        "params": counts.trainable_params,
        "multiply_adds": counts.multiply_adds,
        "steps": built.updates.total_steps,
    }


def main(argv: Sequence[str]) -> int:
    _end_with_the_search()
    with open(argv[1], encoding="utf-8") as file:
        job = json.load(file)
    try:
        result = train(job)
    except (UsageError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        result = {"error": str(error)}
    temporary = f"{job['result']}.tmp{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(temporary, job["result"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
