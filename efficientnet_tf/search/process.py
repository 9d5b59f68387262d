"""The process that trains one candidate: started by the search, and what runs in it.

In it runs `python -m efficientnet_tf.search.process JOB RESULT MODEL`. JOB is a JSON file: config
(dotted names), device (fields of `Device`) and model_dir. RESULT is written when the candidate was
trained: fields of `results.Result`. MODEL is the network's name once more, for a network of the
user's own is run from no name that lies in a file.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.machine.device import Device
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.models.networks import configured, trust
from efficientnet_tf.models.operations import count
from efficientnet_tf.runs import jobs
from efficientnet_tf.terminal.exit_codes import exit_code


def train_in_process(job: dict[str, Any], run: Path) -> dict[str, Any]:
    """Trains a candidate in a process of its own; its result, or "error" with the reason.

    Args:
        job: config and device, the fields of `Device`.
        run: its folder; gets job.json, log.txt, result.json and the files of the training.

    Raises:
        Stopped: a signal ended the training.
    """
    run.mkdir(parents=True, exist_ok=True)
    job_file, result = run / "job.json", run / "result.json"
    result.unlink(missing_ok=True)
    job_file.write_text(json.dumps({**job, "model_dir": str(run)}, indent=2), encoding="utf-8")
    try:
        with open(run / "log.txt", "ab") as log:
            name = f'the training of "{run.name}"'
            arguments = [str(job_file), str(result), job["config"]["model.name"]]
            jobs.run(name, "efficientnet_tf.search.process", arguments, log)
    except (UsageError, RunError) as error:
        return {"error": str(error)}
    return json.loads(result.read_text(encoding="utf-8"))


def _train(job_file: str, result: str, model: str) -> None:
    """Trains the candidate of a job with the common loop and writes its result."""
    trust(model)
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    config = config_lib.from_dict(job["config"])
    # Refuses a wrong network before the seconds that TensorFlow takes to load.
    configured(**dataclasses.asdict(config.model))
    start_tensorflow()
    from efficientnet_tf.experiment import modes
    from efficientnet_tf.experiment.assembly import Experiment
    from efficientnet_tf.storage.files import write_json

    where = modes.Where(job["model_dir"], device=Device(**job["device"]))
    metrics = modes.train_and_score(config, where)
    built = Experiment(config, where.model_dir, where.device)
    counts = count(built.model.network.operations(built.data.source.num_classes))
    found = {
        "top1": metrics.top1,
        "loss": metrics.loss,
        "examples": metrics.examples,
        "params": counts.trainable_params,
        "multiply_adds": counts.multiply_adds,
        "steps": built.updates.total_steps,
        "data": "-".join(built.data.source.fingerprint(split) for split in ("train", "minival")),
    }
    write_json(result, found)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: _train(*sys.argv[1:])))
