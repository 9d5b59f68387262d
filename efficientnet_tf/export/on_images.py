"""Exports a trained network and proves it on image files, where there is no data set of a run."""

import sys
from collections.abc import Sequence

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
    paths: Sequence[str],
    *,
    options: ExportOptions,
    class_names: Sequence[str] | None = None,
) -> None:
    """Writes the formats asked for; see `formats.write`.

    Args:
        directory: of the SavedModel; other formats lie beside it.
        paths: of image files; those after the first `options.images` calibrate int8.
        class_names: in place of those that the network knows.
    """
    if "saved_model" in options.formats:
        saved_model.check_directory(directory)
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
