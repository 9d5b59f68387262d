"""A SavedModel that needs nothing of this package, and the proof that it equals the model.

Signatures:
    serving_default  image_bytes: string [batch], JPEG or PNG; the eval path is inside
    serve            images: float32 [batch, size, size, 3], values 0..255, already cropped
    serve_uint8      the same as uint8
All give probabilities [batch, classes], and the best five (or fewer) classes in top_classes,
top_probabilities and, if class names are known, top_names.

Differences from the official exports: weights are the averaged ones (main.py's raw ones there);
images of `serve` are not normalised by the caller; batch is free.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.checkpoint import write_json
from efficientnet_tf.data.preprocessing import Preprocessing
from efficientnet_tf.errors import RunError, UsageError

TOP = 5


def answers(model: keras.Model, class_names: Sequence[str] | None) -> Callable[[Any], Any]:
    """What the signatures compute of cropped images: probabilities and the best classes."""
    classes = model.output_shape[-1]
    names = None if class_names is None else tf.constant(list(class_names))

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = model(tf.cast(images, tf.float32), training=False)
        top_probabilities, top_classes = tf.math.top_k(probabilities, min(TOP, classes))
        found = {
            "probabilities": probabilities,
            "top_classes": top_classes,
            "top_probabilities": top_probabilities,
        }
        if names is not None:
            found["top_names"] = tf.gather(names, top_classes)
        return found

    return answer


def check_directory(directory: str) -> None:
    """Raises a UsageError if an export must not be written to, or in place of, `directory`.

    Nothing there, an empty folder and an older export are fine. Anything else is not ours to
    delete.
    """
    try:
        if not tf.io.gfile.exists(directory):
            return
        is_folder = tf.io.gfile.isdir(directory)
        found = tf.io.gfile.listdir(directory) if is_folder else ["a file"]
    except (tf.errors.OpError, OSError) as error:
        raise _cannot_write(directory, error) from error
    if found and "saved_model.pb" not in found:
        raise UsageError(
            f'--export_dir: "{directory}" is not an older export, so it is not replaced (found '
            f"{sorted(found)[0]}). Give a folder that is new or empty."
        )


def _cannot_write(directory: str, error: Exception) -> UsageError:
    reason = str(error).splitlines()[0]
    return UsageError(f'--export_dir: "{directory}" cannot be written: {reason}')


def save(
    model: keras.Model,
    directory: str,
    preprocessing: Preprocessing,
    *,
    class_names: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Writes the SavedModel; `directory` is replaced only when the new one is complete.

    Args:
        model: gives probabilities, float32 [batch, classes].
        directory: local path or gs://...
        preprocessing: its eval path becomes part of `serving_default`.
        class_names: one per class, or None.
        metadata: written beside the model as metadata.json.

    Raises:
        UsageError: the directory cannot be written, or holds something else.
        RunError: writing failed on the way; an older export is still there.
    """
    directory = directory.rstrip("/")
    check_directory(directory)
    size = preprocessing.image_size
    answer = answers(model, class_names)

    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            lambda encoded: tf.cast(preprocessing.for_eval(encoded), tf.float32),
            image_bytes,
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32),
        )
        return answer(images)

    archive = keras.export.ExportArchive()
    archive.track(model)
    bytes_spec = tf.TensorSpec([None], tf.string, name="image_bytes")
    shape = [None, size, size, 3]
    archive.add_endpoint("serving_default", from_bytes, [bytes_spec])
    archive.add_endpoint("serve", answer, [tf.TensorSpec(shape, tf.float32, name="images")])
    archive.add_endpoint("serve_uint8", answer, [tf.TensorSpec(shape, tf.uint8, name="images")])
    partial, old = f"{directory}.partial", f"{directory}.old"
    try:
        tf.io.gfile.makedirs(os.path.dirname(directory) or ".")
        if tf.io.gfile.exists(partial):
            tf.io.gfile.rmtree(partial)
    except (tf.errors.OpError, OSError) as error:
        raise _cannot_write(directory, error) from error
    try:
        archive.write_out(partial, verbose=False)
        write_json(os.path.join(partial, "metadata.json"), metadata or {})
        if tf.io.gfile.exists(directory):
            if tf.io.gfile.exists(old):
                tf.io.gfile.rmtree(old)
            tf.io.gfile.rename(directory, old)
        tf.io.gfile.rename(partial, directory)
    except (tf.errors.OpError, OSError) as error:
        with contextlib.suppress(tf.errors.OpError, OSError):
            if tf.io.gfile.exists(old) and not tf.io.gfile.exists(directory):
                tf.io.gfile.rename(old, directory)
            tf.io.gfile.rmtree(partial)
        raise RunError(
            f'the SavedModel could not be written to "{directory}": {str(error).splitlines()[0]}'
        ) from error
    if tf.io.gfile.exists(old):
        tf.io.gfile.rmtree(old)


def check(
    directory: str,
    images: Sequence[Any],
    expected: np.ndarray,
    preprocessing: Preprocessing,
    tolerance: float,
) -> float:
    """Loads a SavedModel and compares its answers with those of the model in memory.

    Args:
        images: encoded images (bytes) or uint8 arrays [height, width, 3], as the source has them.
        expected: probabilities of the model in memory, [images, classes].
        tolerance: the largest difference of a probability that passes.

    Returns:
        The largest difference over all images, classes and signatures.

    Raises:
        RunError: it is larger than `tolerance`.
    """
    loaded = tf.saved_model.load(directory)
    encoded = [
        image if isinstance(image, bytes) else tf.io.encode_png(image).numpy() for image in images
    ]
    batch = np.stack([preprocessing.for_eval(tf.constant(image)).numpy() for image in encoded])
    answers = {
        "serving_default": {"image_bytes": tf.constant(encoded)},
        "serve": {"images": tf.constant(batch, tf.float32)},
    }
    differences = [
        loaded.signatures[signature](**arguments)["probabilities"].numpy() - expected
        for signature, arguments in answers.items()
    ]
    worst = float(np.abs(differences).max())  # NaN if any is: Python's max would lose it
    if not worst <= tolerance:
        raise RunError(
            f'the SavedModel in "{directory}" differs from the model in memory by {worst:.2g} in a '
            f"probability, more than {tolerance:.2g}; do not use it."
        )
    return worst
