"""EfficientNet (arXiv 1905.11946) for TensorFlow and Keras.

The names below are loaded when first used: `import efficientnet_tf` imports neither TensorFlow nor
Keras. Where Keras is there, or as soon as it comes, it is told of the classes that saved models may
hold, so that `keras.models.load_model` needs no other import.
"""

import contextlib
from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_FAMILY = [f"EfficientNet{suffix}" for suffix in ["B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7"]]
_FAMILY += ["EfficientNetB8", "EfficientNetL2", *[f"EfficientNetLite{i}" for i in range(5)]]
_FAMILY += [f"EfficientNetEdgeTPU{size}" for size in "SML"]
_PUBLIC = {
    "create_model": "efficientnet_tf.zoo",
    "list_models": "efficientnet_tf.zoo",
    "endpoints": "efficientnet_tf.models.efficientnet",
    "RMSProp": "efficientnet_tf.optim.rmsprop",
    **dict.fromkeys(_FAMILY, "efficientnet_tf.zoo"),
}

# What is found in the files of saved models: layers, initialisers, optimizer, schedule.
_SERIALISABLE = ("models.initializers", "models.layers", "optim.rmsprop", "optim.keras_schedule")


def _register(_keras: Any) -> None:
    """Imports the modules that register their classes with Keras."""
    for name in _SERIALISABLE:
        import_module(f"{__name__}.{name}")


with contextlib.suppress(ImportError):  # nothing is installed yet: the doctor says so
    import_module("wrapt").when_imported("keras")(_register)

__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
