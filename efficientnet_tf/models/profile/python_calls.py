"""The calls of layers while Python code runs, as Python itself reports them.

`sys.setprofile` is Python's hook for profilers. What is recognised is `keras.Operation.__call__`,
through which every call of a layer goes. Only the thread that asks is watched, and no object is
changed; a profiler that was at work before goes on afterwards.
"""

import contextlib
import cProfile
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

_CALL = inspect.unwrap(keras.Operation.__call__).__code__


@contextlib.contextmanager
def watching(report: Callable[[int, Mapping[str, Any], Any], None]) -> Iterator[None]:
    """Inside, `report(depth, call, outputs)` is called at the end of each call of a layer.

    Depth 0 is a call in no other layer's. `call` has `self`, `args` and `kwargs`; outputs are None
    of a call that raised.
    """
    depth = 0

    def hook(frame: Any, event: str, outputs: Any) -> None:
        nonlocal depth
        if frame.f_code is not _CALL or not isinstance(frame.f_locals["self"], keras.Layer):
            return
        if event == "call":
            depth += 1
        elif event == "return":
            depth -= 1
            report(depth, frame.f_locals, outputs)

    before = sys.getprofile()
    sys.setprofile(hook)
    try:
        yield
    finally:
        sys.setprofile(None)
        if isinstance(before, cProfile.Profile):  # it is no function, which setprofile wants
            before.enable()
        else:
            sys.setprofile(before)
