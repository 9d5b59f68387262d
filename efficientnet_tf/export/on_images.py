"""Exports a trained network and proves it on image files, where there is no data set of a run."""

import sys
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.diagnose import fault
from efficientnet_tf.data.images.names import MAX_BYTES
from efficientnet_tf.errors import UsageError
from efficientnet_tf.export import formats, saved_model
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.machine.startup import stderr_held_back
from efficientnet_tf.runs.trained_model import TrainedModel
from efficientnet_tf.storage.files import opened
from efficientnet_tf.terminal.shown import shown


def default_directory(model_dir: str | None, weights: str | None) -> str:
    """Of the SavedModel, where none is given: in the run, or beside the file of weights."""
    if model_dir:
        return f"{model_dir}/export"
    return f"{str(weights).removesuffix('.safetensors')}.export"


def export_on_images(
    trained: TrainedModel,
    directory: str,
    paths: Sequence[str] | None,
    *,
    options: ExportOptions,
    class_names: Sequence[str] | None = None,
) -> None:
    """Writes the formats asked for; see `formats.write`.

    Args:
        directory: of the SavedModel; other formats lie beside it.
        paths: of image files; those after the first `options.images` calibrate int8. None: there
            are none, and pictures of noise stand for them.
        class_names: in place of those that the network knows.
    """
    if "saved_model" in options.formats:
        saved_model.check_directory(directory)
    if paths is None:
        images = _made_up(options.images, trained.preprocessing.image_size)
    else:
        images = _readable(paths[: options.images + formats.CALIBRATION_IMAGES])
    formats.write(
        trained.model,
        directory,
        trained.preprocessing,
        formats.make_sample(
            trained.model,
            trained.preprocessing,
            images[: options.images],
            calibration=images[options.images :] or None,
        ),
        class_names=class_names or trained.class_names,
        metadata={"model": trained.name, "image_size": trained.preprocessing.image_size},
        options=options,
        say=print,
    )


def _made_up(count: int, size: int) -> list[bytes]:
    """Pictures of noise, on which an export can differ from its network as on any other."""
    chance = np.random.default_rng(0)
    noise = chance.integers(0, 256, (count, size, size, 3), np.uint8)
    return [tf.io.encode_png(picture).numpy() for picture in noise]


def _readable(paths: Sequence[str]) -> list[bytes]:
    """The files that can be decoded; the others are named."""
    good = []
    for path in paths:
        try:
            with opened(path, at_most=MAX_BYTES) as file:
                encoded = file.read()
        except OSError as error:
            print(f"unusable: {shown(path)}: {error.strerror}.", file=sys.stderr)
            continue
        with stderr_held_back():  # libjpeg's own words
            reason = fault(encoded)
        if reason:
            print(f"unusable: {shown(path)}: {reason}", file=sys.stderr)
        else:
            good.append(encoded)
    if not good:
        raise UsageError("none of the images can be used; give some that show what is expected.")
    return good
