"""What a layer may ask of the machine it trains on: one small interface, no framework.

Batch normalisation across replicas and random masks need to know the replica and the step. The
training step hands an `Engine` in with `use_engine`; layers ask `current_engine()`. Outside a
training step of ours (a user's own `model.fit`) there is none and layers do what Keras layers do.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol


class Engine(Protocol):
    """Implemented by `training/distribution.py` for TensorFlow."""

    def uniform(self, shape: Sequence[Any], layer_id: int) -> Any:
        """Float32 numbers in [0, 1), a function of (seed, step, replica, layer) alone."""
        ...

    def average_moments(self, mean: Any, mean_of_squares: Any) -> tuple[Any, Any]:
        """Both moments, float32 [channels], averaged over the replica's batch-norm group."""
        ...

    @property
    def averages_moments(self) -> bool:
        """False if every replica keeps its own moments, so that layers may take a short cut."""
        ...

    @property
    def kernels(self) -> "Kernels | None":
        """Faster training kernels for this device; None for the plain layers."""
        ...


class Kernels(Protocol):
    """The training kernels of a device; `training/cpu_kernels.py` says what each does.

    `DTYPES` are those it computes in; `AVERAGES_MOMENTS` says whether its batch norm asks the
    engine to average moments over replicas.
    """

    @property
    def DTYPES(self) -> tuple[str, ...]: ...

    @property
    def AVERAGES_MOMENTS(self) -> bool: ...

    batch_norm: Callable[..., Any]
    squeeze_excitation: Callable[..., Any]
    depthwise_conv: Callable[..., Any]
    pointwise_conv: Callable[..., Any]


class _Current(threading.local):
    engine: Engine | None = None


# Per thread, because tf.distribute traces each replica in a thread of its own.
_current = _Current()


@contextmanager
def use_engine(engine: Engine | None) -> Iterator[None]:
    """Makes `engine` the current one for layer calls inside the block; None for no engine."""
    previous = _current.engine
    _current.engine = engine
    try:
        yield
    finally:
        _current.engine = previous


def current_engine() -> Engine | None:
    """The engine of the training step being traced in this thread, or None."""
    return _current.engine


def training_kernels(dtype: str) -> Kernels | None:
    """The current engine's kernels if there are any and they compute in `dtype`."""
    engine = current_engine()
    kernels = engine.kernels if engine is not None else None
    return kernels if kernels is not None and dtype in kernels.DTYPES else None
