"""Counts a model: parameters, multiply-adds and activations, in all and layer by layer.

python scripts/profile.py --model=efficientnet-b0 --layers
python scripts/profile.py --model=keras:ResNet50 --resolution=320 --csv=resnet50.csv
python scripts/profile.py --saved=my_model.keras

Exit code 0: done (there may be warnings: a layer without a rule). 1: failed. 2: wrong use.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from absl import app, flags

from efficientnet_tf.errors import RunError, UsageError, nearest
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.models.networks import find_network
from efficientnet_tf.terminal.exit_codes import exit_code

# Python looks for modules in this folder first; `import profile`, as cProfile does it, means the
# standard library's, for this script and for those beside it.
_HERE = str(Path(__file__).resolve().parent)
if _HERE in sys.path:
    sys.path.remove(_HERE)
if __name__ == "profile":
    del sys.modules[__name__]
    import_module(__name__)

_KERAS = "keras:"
FLAGS = flags.FLAGS


def define_flags() -> None:
    """Not when the file is imported: see above."""
    flags.DEFINE_string("model", None, "one of main.py --list_models, or keras:NAME")
    flags.DEFINE_string("saved", None, "a model saved by Keras instead: FILE.keras")
    flags.DEFINE_integer("resolution", None, "side of the image", lower_bound=1)
    flags.DEFINE_integer("classes", None, "of the classifier of --model", lower_bound=1)
    flags.DEFINE_string("dtype", "float32", "of activations, for their bytes")
    flags.DEFINE_boolean("layers", False, "print each layer, too")
    flags.DEFINE_string("csv", None, "write each layer to this file")


def _keras_model(name: str) -> Any:
    """A network of keras.applications with random weights: nothing is downloaded."""
    import keras

    known = [
        each
        for each in dir(keras.applications)
        if each[0].isupper() and callable(getattr(keras.applications, each))
    ]
    if name not in known:
        raise UsageError(f'--model: keras.applications has no "{name}".{nearest(name, known)}')
    side = FLAGS.resolution
    changes = {} if FLAGS.classes is None else {"classes": FLAGS.classes}
    try:
        return getattr(keras.applications, name)(
            weights=None, input_shape=(side, side, 3) if side else None, **changes
        )
    except ValueError as error:  # a resolution under the network's minimum
        raise UsageError(f"--model={_KERAS}{name}: {error}") from error


def _saved_model(path: str) -> Any:
    import keras

    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds for a file that it cannot use
        raise RunError(f'--saved: Keras cannot load "{path}": {error}') from error


def _check() -> None:
    """What can be said before TensorFlow is there."""
    if (FLAGS.model is None) == (FLAGS.saved is None):
        raise UsageError("give either --model or --saved.")
    if FLAGS.saved is not None and FLAGS.classes is not None:
        raise UsageError("--classes is for --model: a saved model has its classes.")
    if FLAGS.saved is not None and not Path(FLAGS.saved).exists():
        raise UsageError(f'--saved: there is no file "{FLAGS.saved}".')
    if FLAGS.model is not None and not FLAGS.model.startswith(_KERAS):
        find_network(FLAGS.model)


def _model() -> Any:
    if FLAGS.saved is not None:
        return _saved_model(FLAGS.saved)
    if FLAGS.model.startswith(_KERAS):
        return _keras_model(FLAGS.model.removeprefix(_KERAS))
    from efficientnet_tf.zoo import create_model

    return create_model(FLAGS.model, resolution=FLAGS.resolution, classes=FLAGS.classes)


def run() -> None:
    """Builds or loads the model, prints its sums and, if asked for, its layers."""
    _check()
    start_tensorflow()
    from efficientnet_tf.models.profile.measure import profile
    from efficientnet_tf.models.profile.table import layers_text, totals_text, write_csv

    model = _model()
    inputs = getattr(model, "inputs", None)
    if FLAGS.resolution is None and None in (inputs[0].shape[1:] if inputs else [None]):
        raise UsageError(f'model "{model.name}" takes any size: give --resolution, such as 224.')
    shape = tuple(inputs[0].shape[1:]) if inputs else (None, None, 3)
    if FLAGS.resolution is not None:
        shape = (FLAGS.resolution, FLAGS.resolution, shape[-1])
    found = profile(model, None if len(inputs or []) > 1 else shape, FLAGS.dtype)
    if FLAGS.layers:
        print(layers_text(found) + "\n")
    print(f'model "{model.name}", input {"x".join(map(str, shape))}')
    print(totals_text(found))
    if FLAGS.csv:
        write_csv(found, FLAGS.csv)
        print(f"layers written to {FLAGS.csv}")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument "{argv[1]}"')
    sys.exit(exit_code(run))


if __name__ == "__main__":
    define_flags()
    app.run(main)
