"""The export of a run: its averaged weights in the formats asked for, each held against them."""

import platform
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import __version__
from efficientnet_tf import config as config_lib
from efficientnet_tf.experiment.run_data import RunData
from efficientnet_tf.experiment.run_model import RunModel
from efficientnet_tf.export import formats
from efficientnet_tf.export.options import ExportOptions

# Largest difference of a probability between the export (always float32) and the model in memory.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}


def write_export(
    config: config_lib.ExperimentConfig,
    data: RunData,
    model: RunModel,
    directory: str,
    options: ExportOptions,
    say: Callable[[str], None],
) -> None:
    """Writes the weights in place, averaged if there is an average; each format is reloaded."""
    exported = model.create("softmax", "float32")
    model.state.copy_average_to(exported)
    source = data.source
    metadata = {
        "model": model.network.name,
        "step": model.step,
        "image_size": model.network.resolution,
        "classes": source.num_classes,
        "class_names": source.class_names,
        "weights": model.weights_name,
        "input": "values 0..255, normalised inside",
        "config": config_lib.to_dict(config),
        **versions(),
    }
    split = "test" if source.num_examples["test"] else "train"

    def sample() -> formats.Sample:
        images, labels = zip(*data.some_examples(split, options.images), strict=True)
        calibration = data.some_examples("train", formats.CALIBRATION_IMAGES)
        return formats.make_sample(
            exported,
            data.preprocessing,
            images,
            expected=_probabilities(data, model, images),
            labels=labels,
            calibration=[image for image, _ in calibration],
            tolerance=_TOLERANCE[model.precision],
        )

    formats.write(
        exported,
        directory,
        data.preprocessing,
        data.reading(split, sample),
        class_names=source.class_names,
        metadata=metadata,
        options=options,
        say=say,
    )


def _probabilities(data: RunData, model: RunModel, images: Sequence[Any]) -> np.ndarray:
    """Answers of the model in memory, the one that was trained, for undecoded images."""
    batch = np.stack([data.preprocessing.for_eval(tf.constant(image)).numpy() for image in images])
    with keras.StatelessScope(state_mapping=model.state.evaluation_weights(averaged=True)):
        logits = model.state.model(batch, training=False)
    return tf.nn.softmax(tf.cast(logits, tf.float32)).numpy()


def versions() -> dict[str, str]:
    """Of all that could change a number."""
    return {
        "efficientnet_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
