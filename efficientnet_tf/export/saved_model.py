"""A SavedModel that needs nothing of this package: its weights are constants, its graph is folded.

Signatures:
    serving_default  image_bytes: string [batch], image files; the eval path is inside
    serve            images: float32 [batch, size, size, 3], values 0..255, already cropped
    serve_uint8      the same as uint8
All give probabilities [batch, classes], and the best five (or fewer) classes in top_classes,
top_probabilities and, if class names are known, top_names.

Differences from the official exports: weights are the averaged ones (main.py's raw ones there);
images of `serve` are not normalised by the caller; batch is free unless it is asked to be fixed;
batch norm is part of the convolutions.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.images.serving_input import images_of
from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.models.folding import fold
from efficientnet_tf.storage.files import write_json

TOP = 5
# A graph is stored as one protocol buffer, which holds at most 2 GB. Beyond this, weights stay
# variables beside it.
_CONSTANT_BYTES = 1_500_000_000


def answers(
    network: Callable[[Any], Any], classes: int, class_names: Sequence[str] | None
) -> Callable[[Any], Any]:
    """What the signatures compute of cropped images: probabilities and the best classes.

    Args:
        network: images, float32 [batch, size, size, 3], to probabilities [batch, classes].
    """
    names = None if class_names is None else tf.constant(list(class_names))

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        def answered() -> tf.Tensor:
            return network(tf.cast(images, tf.float32))

        if images.shape[0] is not None:
            probabilities = answered()
        else:  # an empty request has an empty answer; some of TensorFlow's kernels refuse it
            nothing = tf.zeros([0, classes])
            probabilities = tf.cond(tf.size(images) > 0, answered, lambda: nothing)
            probabilities = tf.ensure_shape(probabilities, [None, classes])
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


class Frozen:
    """A network folded and traced, its weights constants of the graph.

    Args:
        model: gives probabilities; its images are of a fixed size.

    Attributes:
        classes: how many there are.
        network: tf.function, float32 [batch, size, size, 3] to float32 [batch, classes].
        probabilities: the same with its answer under this name.
    """

    def __init__(self, model: keras.Model, options: ExportOptions | None = None) -> None:
        options = options or ExportOptions()
        folded = fold(model, options.dtype)
        values = [(weight, weight.value.numpy()) for weight in folded.weights]
        self._variables: list[tf.Variable] = []
        if sum(value.nbytes for _, value in values) > _CONSTANT_BYTES:
            self._variables = [weight.value for weight in folded.weights]
            values = []

        def network(images: tf.Tensor) -> tf.Tensor:
            constants = [(weight, tf.constant(value)) for weight, value in values]
            with keras.StatelessScope(state_mapping=constants):
                return folded(images, training=False)

        def probabilities(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": self.network(images)}

        spec = tf.TensorSpec([options.batch, *model.input_shape[1:]], tf.float32, "images")
        self.classes = model.output_shape[-1]
        self.network = tf.function(
            network, input_signature=[spec], autograph=False, jit_compile=options.xla or None
        )
        self.probabilities = tf.function(probabilities, input_signature=[spec], autograph=False)

    def trackable(self) -> tf.Module:
        """What TensorFlow stores: the network and the variables that are no constants."""
        module = tf.Module()
        module.network, module.variables_beside = self.network, self._variables
        return module


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
    reason = first_line(error)
    return UsageError(f'--export_dir: "{directory}" cannot be written: {reason}')


def save(
    model: keras.Model,
    directory: str,
    preprocessing: Preprocessing,
    *,
    class_names: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
    options: ExportOptions | None = None,
    inspect: Callable[[str], None] = lambda directory: None,
) -> None:
    """Writes the SavedModel; `directory` is replaced only when the new one is complete.

    Args:
        model: gives probabilities, float32 [batch, classes].
        directory: local path or gs://...
        preprocessing: its eval path becomes part of `serving_default`.
        class_names: one per class, or None.
        metadata: written beside the model as metadata.json.
        inspect: called with the folder of the complete new one, before it takes its place; what
            it raises leaves the older one there.

    Raises:
        UsageError: the directory cannot be written, or holds something else.
        RunError: writing failed on the way; an older export is still there.
    """
    directory = directory.rstrip("/")
    check_directory(directory)
    options = options or ExportOptions()
    frozen = Frozen(model, options)
    answer = answers(frozen.network, frozen.classes, class_names)

    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(images_of(image_bytes, preprocessing))

    size = preprocessing.image_size
    shape = [options.batch, size, size, 3]
    endpoints = {
        "serving_default": (from_bytes, tf.TensorSpec([options.batch], tf.string, "image_bytes")),
        "serve": (answer, tf.TensorSpec(shape, tf.float32, "images")),
        "serve_uint8": (answer, tf.TensorSpec(shape, tf.uint8, "images")),
    }
    signatures = {
        name: tf.function(function, input_signature=[spec], autograph=False)
        for name, (function, spec) in endpoints.items()
    }
    partial, old = f"{directory}.partial", f"{directory}.old"
    try:
        tf.io.gfile.makedirs(os.path.dirname(directory) or ".")
        if tf.io.gfile.exists(partial):
            tf.io.gfile.rmtree(partial)
    except (tf.errors.OpError, OSError) as error:
        raise _cannot_write(directory, error) from error
    try:
        tf.saved_model.save(frozen.trackable(), partial, signatures=signatures)
        write_json(os.path.join(partial, "metadata.json"), metadata or {})
        inspect(partial)
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
            f'the SavedModel could not be written to "{directory}": {first_line(error)}'
        ) from error
    except RunError:  # of the inspection
        with contextlib.suppress(tf.errors.OpError, OSError):
            tf.io.gfile.rmtree(partial)
        raise
    if tf.io.gfile.exists(old):
        tf.io.gfile.rmtree(old)
