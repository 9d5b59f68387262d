"""Models that are not ours, to be profiled: of keras.applications, or saved by Keras."""

from typing import Any

import keras

from efficientnet_tf.errors import RunError, UsageError, nearest


def keras_model(name: str, resolution: int | None = None, classes: int | None = None) -> Any:
    """A network of keras.applications with random weights: nothing is downloaded.

    Args:
        name: as keras.applications has it, such as "ResNet50".
        resolution, classes: None: the network's own.

    Raises:
        UsageError: there is no such network, or it cannot have this resolution.
    """
    known = [
        each
        for each in dir(keras.applications)
        if each[0].isupper() and callable(getattr(keras.applications, each))
    ]
    if name not in known:
        raise UsageError(f'--model: keras.applications has no "{name}".{nearest(name, known)}')
    shape = None if resolution is None else (resolution, resolution, 3)
    changes = {} if classes is None else {"classes": classes}
    try:
        return getattr(keras.applications, name)(weights=None, input_shape=shape, **changes)
    except ValueError as error:  # a resolution under the network's minimum
        raise UsageError(f"--model=keras:{name}: {error}") from error


def saved_model(path: str) -> Any:
    """The model in a .keras file; raises RunError."""
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds for a file that it cannot use
        raise RunError(f'--saved: Keras cannot load "{path}": {error}') from error
