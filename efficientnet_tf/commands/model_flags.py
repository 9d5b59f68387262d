"""The flags of scripts that say which trained network is meant: a run or a file of weights.

Importing this defines them.
"""

from typing import Any

from absl import flags

from efficientnet_tf.errors import UsageError

MODEL_DIR = flags.DEFINE_string("model_dir", None, "a run of main.py: its best checkpoint")
WEIGHTS = flags.DEFINE_string("weights", None, "a file of weights, or imagenet")
MODEL = flags.DEFINE_string("model", None, "with --weights: the network, if the file is silent")
NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "with --weights", lower_bound=1)
RESOLUTION = flags.DEFINE_integer("resolution", None, "side in pixels; default: the model's own")
CLASS_NAMES = flags.DEFINE_string("class_names", None, "a text file with one name on each line")


def check(*others: Any) -> None:
    """Raises a UsageError unless exactly one model is named; needs no TensorFlow.

    Args:
        others: flags of the script that name one, too.
    """
    choices = (MODEL_DIR, *others, WEIGHTS)
    given = [f"--{flag.name}" for flag in choices if flag.value]
    if len(given) != 1:
        *first, last = (f"--{flag.name}" for flag in choices)
        raise UsageError(
            f"expected one of {', '.join(first)} and {last}, received "
            f"{' and '.join(given) or 'none'}."
        )
    for flag in (MODEL, NUM_CLASSES):
        if flag.value is not None and not WEIGHTS.value:
            raise UsageError(f"--{flag.name} goes with --weights; the others know it themselves.")


def trained() -> Any:
    """The TrainedModel of the flags; loads TensorFlow."""
    from efficientnet_tf.runs.trained_model import from_run, from_weights

    if MODEL_DIR.value:
        return from_run(MODEL_DIR.value, resolution=RESOLUTION.value)
    return from_weights(
        WEIGHTS.value, MODEL.value, classes=NUM_CLASSES.value, resolution=RESOLUTION.value
    )


def class_names() -> list[str] | None:
    """The names in the file of --class_names, or None; loads TensorFlow."""
    from efficientnet_tf.data.prepare.inventory import read_class_names

    return list(read_class_names(CLASS_NAMES.value)) if CLASS_NAMES.value else None


def help_text() -> str:
    """The flags of the script, then these."""
    return "\n".join((flags.FLAGS.main_module_help(), flags.FLAGS.module_help(__name__)))
