"""The largest batches of many models on many slices: a process for each, and the table of them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import RunError
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.tpu import batch_table
from efficientnet_tf.tpu.targets import TpuSlice

_ROOT = Path(__file__).resolve().parents[2]


def find_all(
    config: ExperimentConfig,
    models: Sequence[str],
    targets: Sequence[TpuSlice],
    level: str,
    path: str,
    flags: Sequence[str],
) -> str:
    """Finds every largest batch that the CSV file does not have yet; the table, as Markdown.

    A process for each model and number of devices: TensorFlow can be patched only once.

    Args:
        config: of all models, but for its model's name.
        level: "fast" or "full", of the compiler.
        path: of the CSV file.
        flags: of the command line, which made `config`.

    Raises:
        UsageError: there is no such model.
        RunError: a process failed.
    """
    for model in models:
        find_network(model)
    groups: dict[int, list[str]] = {}
    for each in targets:
        groups.setdefault(each.devices, []).append(each.name)
    paths = filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])  # may not be installed
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    for index, model in enumerate(models):
        print(f"[{index + 1}/{len(models)}] {model}", flush=True)
        for names in groups.values():
            command = [sys.executable, "-m", "efficientnet_tf", "preflight", *flags]
            command += [f"--model={model}", "--find_max_batch", f"--csv={path}"]
            command += [f"--tpu_type={','.join(names)}", *(["--full"] if level == "full" else [])]
            if subprocess.run(command, check=False, env=environment).returncode:
                raise RunError(f"{model} failed; the same command goes on from there.")
    rows, like = batch_table.read(path), (batch_table.digest(config), level)
    return batch_table.markdown(rows, like, models, [each.name for each in targets])
