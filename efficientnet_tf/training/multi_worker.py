"""Several processes that train as one, on one or more machines: who they are, what they agree on.

TensorFlow's environment variable TF_CONFIG names them; each runs the same command with its own
index. They share model_dir: the first of them, the chief, writes it, all read it. If one ends, the
others end too, and the same commands go on from the last checkpoint.

On a TPU pod there is one process only, and TensorFlow drives the other hosts.
"""

import contextlib
import json
import os
from collections.abc import Iterator

import tensorflow as tf

from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.training.loop import StopRequest

_JOBS = ("chief", "worker")
# What TensorFlow raises when another process is gone.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)


def strategy_from_environment() -> tf.distribute.Strategy | None:
    """The strategy over the workers of TF_CONFIG; None if it names fewer than two.

    Before TensorFlow runs anything. Waits until all workers are there.

    Raises:
        UsageError: TF_CONFIG cannot be understood or used.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text or "{}")
        addresses = [address for job in _JOBS for address in config.get("cluster", {}).get(job, [])]
        if len(addresses) < 2:
            return None
        own = config["cluster"][config["task"]["type"]][int(config["task"]["index"])]
        if own not in addresses:
            raise ValueError(f"the task is no {' or '.join(_JOBS)}")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the environment variable TF_CONFIG cannot be used ({type(error).__name__}: {error}): "
            f"{text[:200]}. Unset it to train in one process, or give each worker "
            '{"cluster": {"worker": ["host1:port", "host2:port"]}, '
            '"task": {"type": "worker", "index": 0}} with its own index.'
        ) from error
    print(f"{own}: waiting for all {len(addresses)} workers of TF_CONFIG", flush=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise UsageError(
            f"the workers of TF_CONFIG ({', '.join(addresses)}) did not come together: "
            f"{first_line(error)}. Start the same command on each of them, each with its "
            "own index; every address must be free there and reachable from the others."
        ) from error


class Workers:
    """The processes of a run, as one of them sees them; most runs have one.

    Attributes:
        count: how many.
        is_chief: whether this one writes and speaks.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.count, self.is_chief = 1, True
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            cluster = resolver.cluster_spec().as_dict()
            self.count = sum(len(cluster.get(job, ())) for job in _JOBS)
            first = next(job for job in _JOBS if job in cluster)
            self.is_chief = resolver.task_type == first and resolver.task_id == 0
        self._total = tf.function(self._sum, autograph=False)

    def say(self, text: str) -> None:
        """A line for people, if this is the one that speaks."""
        if self.is_chief:
            print(text, flush=True)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process. Every process must ask, at the same point."""
        if self.count == 1:
            return flag
        return bool(self._total(tf.constant(float(flag))) > 0)

    def _sum(self, flag: tf.Tensor) -> tf.Tensor:
        flags = self._strategy.run(lambda: flag)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None)

    def wait(self) -> None:
        """Returns when every process has come here."""
        self.any(False)

    def lost(self, error: BaseException) -> bool:
        """Whether the error says that another process is gone."""
        return self.count > 1 and isinstance(error, _LOST)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Turns the end of another process into a RunError."""
        try:
            yield
        except _LOST as error:
            if not self.lost(error):
                raise
            raise RunError(
                f"another of the {self.count} workers has ended; what it printed says why. "
                "Checkpoints are kept: start the same command on every worker to go on from there."
            ) from error


class SharedStop(StopRequest):
    """A request to stop that counts for all workers, whichever the signal reached."""

    def __init__(self, workers: Workers, own: StopRequest) -> None:
        super().__init__()
        self._workers = workers
        self._own = own

    def __bool__(self) -> bool:
        """Every worker must look, at the same point."""
        if self._workers.any(bool(self._own)):
            self.reason = self._own.reason or "a signal to another worker"
        return bool(self.reason)
