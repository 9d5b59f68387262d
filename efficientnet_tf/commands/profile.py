"""Counts a model: parameters, multiply-adds and activations, in all and layer by layer.

python main.py profile --model=efficientnet-b0 --layers
python main.py profile --model=keras:ResNet50 --resolution=320 --csv=resnet50.csv
python main.py profile --saved=my_model.keras

Exit code 0: done (there may be warnings: a layer without a rule). 1: failed. 2: wrong use.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import refuse_arguments
from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.models.networks import find_network

_KERAS = "keras:"


def take_flags(take: FlagGroups) -> None:
    take.text("model", None, "name of a network in main.py models, or keras:NAME")
    take.text("saved", None, "model that Keras saved, in place of --model: FILE.keras")
    take.whole("resolution", None, "side of the image in pixels", low=1)
    take.whole("classes", None, "number of classes of --model", low=1)
    take.text("dtype", "float32", "type of the activations, for their bytes")
    take.switch("layers", False, "print each layer, too")
    take.text("csv", None, "file that each layer is written to")


def _check(given: SimpleNamespace) -> None:
    """What can be said before TensorFlow is there."""
    refuse_arguments(given)
    if (given.model is None) == (given.saved is None):
        raise UsageError("give either --model or --saved.")
    if given.saved is not None and given.classes is not None:
        raise UsageError("--classes is for --model: a saved model has its classes.")
    if given.saved is not None and not Path(given.saved).exists():
        raise UsageError(f'--saved: there is no file "{given.saved}".')
    if given.model is not None and not given.model.startswith(_KERAS):
        find_network(given.model)


def _model(given: SimpleNamespace) -> Any:
    from efficientnet_tf.models.profile.others import keras_model, saved_model
    from efficientnet_tf.zoo import create_model

    if given.saved is not None:
        return saved_model(given.saved)
    make = keras_model if given.model.startswith(_KERAS) else create_model
    name = given.model.removeprefix(_KERAS)
    return make(name, resolution=given.resolution, classes=given.classes)


def run(given: SimpleNamespace) -> None:
    """Builds or loads the model, prints its sums and, if asked for, its layers."""
    _check(given)
    start_tensorflow()
    from efficientnet_tf.models.profile.measure import profile
    from efficientnet_tf.models.profile.table import layers_text, totals_text, write_csv

    model, side = _model(given), given.resolution
    inputs = getattr(model, "inputs", None)
    if side is None and None in (inputs[0].shape[1:] if inputs else [None]):
        raise UsageError(f'model "{model.name}" takes any size: give --resolution, such as 224.')
    shape = tuple(inputs[0].shape[1:]) if inputs else (None, None, 3)
    if side is not None:
        shape = (side, side, shape[-1])
    found = profile(model, None if len(inputs or []) > 1 else shape, given.dtype)
    if given.layers:
        print(layers_text(found) + "\n")
    print(f'model "{model.name}", input {"x".join(map(str, shape))}')
    print(totals_text(found))
    if given.csv:
        write_csv(found, given.csv)
        print(f"layers written to {given.csv}")
