"""Whether the TPU compiler can be called here, and the environment it is called in."""

import importlib.util
import os
import platform
import sys

from efficientnet_tf.errors import UsageError

_PACKAGES = ("jax", "jaxlib", "libtpu")
INSTALL = "pip install 'efficientnet_tf[tpu-check]'"

_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # else the second process on a machine is refused
    "TPU_SKIP_MDS_QUERY": "1",  # nobody is asked over the network
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # only keeps libtpu quiet
    "TPU_LOG_DIR": "disabled",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "JAX_PLATFORMS": "cpu",
}


def missing() -> str | None:
    """Why nothing can be compiled here, in one line; None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        machine = f"{platform.system()} {platform.machine()}"
        return f"libtpu exists for Linux x86-64 only, this is {machine}"
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        are = "is" if len(absent) == 1 else "are"
        return f"{' and '.join(absent)} {are} not installed: {INSTALL}"
    return None


def prepare() -> None:
    """Before JAX is imported: keeps libtpu off the network, the log folder and the lock.

    Raises:
        UsageError: something is missing.
    """
    reason = missing()
    if reason is not None:
        raise UsageError(f"the TPU compiler is not here: {reason}.")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
