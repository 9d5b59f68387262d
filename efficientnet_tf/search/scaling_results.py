"""results.jsonl of the scaling searches: a row for each training, as the word reproduce reads them.

The proxy has a results.jsonl of its own, in the folder `PROXY` below: that one is what trainings
are resumed from, this one is written anew from it.
"""

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import RunError
from efficientnet_tf.models.compound import Scaled
from efficientnet_tf.search.results import RESULTS, Result, mean_and_spread
from efficientnet_tf.storage.files import write_text

PROXY = "proxy"


def task_of(config: ExperimentConfig) -> str:
    """Data set and budget in words: only rows that agree in them may be compared."""
    source = config.data.source
    if source in ("folder", "csv", "tfrecord") and config.data.data_dir:
        source += f" {Path(config.data.data_dir).name}"
    return f"{source}, {config.train.epochs:g} epochs"


def fields(model: str, what: str, scaled: Scaled, row: Result, **more: Any) -> dict[str, Any]:
    """A row: depth and width as factors of the baseline, resolution in pixels, top1 in [0, 1].

    Args:
        model: name of the baseline.
        what: of `task_of`.
        more: fields of one of the searches.
    """
    return {
        "model": model,
        "what": what,
        "depth": scaled.factors.depth,
        "width": scaled.factors.width,
        "resolution": scaled.network.resolution,
        "multiply_adds": row.multiply_adds,
        "params": row.params,
        "seed": row.seed,
        "top1": row.top1,
        **more,
    }


def write(folder: str, rows: Iterable[dict[str, Any]]) -> str:
    """Writes results.jsonl by rename; its path.

    Raises:
        RunError: the folder cannot be written.
    """
    path = os.path.join(folder, RESULTS)
    try:
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    except OSError as error:
        raise RunError(
            f"{path} could not be written: {error.strerror}. Make room or check the folder, then "
            "start the same command again: nothing is trained twice."
        ) from error
    return path


def difference(ours: Sequence[Result], theirs: Sequence[Result]) -> str:
    """Mean top-1 of ours minus theirs in words, and whether the seeds alone could explain it.

    Welch's interval: spreads may differ, and few seeds make it wide. It knows of seeds only: other
    data, another budget or learning rate may decide otherwise.
    """
    (mean, spread), (other_mean, other_spread) = (
        mean_and_spread([row.top1 for row in rows]) for rows in (ours, theirs)
    )
    points = 100 * (mean - other_mean)
    if spread is None or other_spread is None:
        return f"{points:+.2f} points; one seed says nothing about chance"
    half = 100 * _half_interval(spread, len(ours), other_spread, len(theirs))
    judged = "beyond" if abs(points) > half else "within"
    return f"{points:+.2f} points, 95 % interval +-{half:.2f}: {judged} what seeds alone make"


def _half_interval(spread: float, count: int, other_spread: float, other_count: int) -> float:
    """Half of Welch's 95 % interval of a difference of means, from standard deviations."""
    from scipy.special import stdtrit  # quantiles of Student's t; scipy comes with scikit-learn

    one, other = spread**2 / count, other_spread**2 / other_count
    if one + other == 0:
        return 0.0
    freedom = (one + other) ** 2 / (one**2 / (count - 1) + other**2 / (other_count - 1))
    return float(stdtrit(freedom, 0.975)) * math.sqrt(one + other)
