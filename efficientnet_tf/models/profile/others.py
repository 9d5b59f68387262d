"""Models that are not ours, to be profiled: of keras.applications, or saved by Keras."""

import zipfile
from typing import Any

import keras

from efficientnet_tf.errors import RunError, UsageError, nearest
from efficientnet_tf.storage.archive import check_inflation


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
    """The model in a .keras file.

    Raises:
        UsageError: it would take far more memory than its size tells.
        RunError: Keras cannot load it, it is another kind of file, or it would run code that lies
            in the file.
    """
    # An .h5 file is no archive: of one Keras would run the code of Lambda layers, safe_mode or not.
    if not zipfile.is_zipfile(path):
        raise RunError(
            f'--saved: Keras cannot load "{path}": it is no .keras file, or damaged.\n'
            "Copy it again, or save the model as .keras, if you trust it: "
            "keras.saving.load_model(OLD).save(NEW.keras)."
        )
    check_inflation("--saved", path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a file that it cannot use
        raise RunError(f'--saved: Keras cannot load "{path}": {error}') from error
