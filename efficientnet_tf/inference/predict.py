"""Class names and probabilities for image files, from an export, a run or a file of weights.

Images are decoded and answered in batches. A file that is no image is found by halving its batch,
so it costs a few small batches and takes no other image with it.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import plain_message
from efficientnet_tf.data.diagnose import fault
from efficientnet_tf.data.images.names import MAX_BYTES
from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.inference.graph_check import check_graph
from efficientnet_tf.inference.prediction_table import FilePrediction, Prediction, Unusable
from efficientnet_tf.runs.trained_model import TrainedModel
from efficientnet_tf.storage.files import exists, is_folder, opened
from efficientnet_tf.storage.json_files import read_object
from efficientnet_tf.storage.paths import is_remote
from efficientnet_tf.terminal.shown import shown

BATCH_SIZE = 32
TOP = 5
_SIGNATURE, _INPUT = "serving_default", "image_bytes"
_READERS = 8  # files read at once
# Of a SavedModel: they are looked at before TensorFlow reads them.
_FILES = (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
)
_MOST_BYTES = 2**31

__all__ = ["Classifier", "Prediction", "Predictor", "Unusable"]

# Encoded images [n] to "probabilities" [n, classes] and, if the model knows the names of its best
# classes, "top_classes" and "top_names" [n, k].
Serve = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


class Classifier:
    """Answers for encoded images, whatever the model came from.

    Attributes:
        classes: how many there are.
        class_names: one per class, or None if unknown.
    """

    def __init__(self, answer: Serve, classes: int, class_names: Sequence[str] | None) -> None:
        self._answer = answer
        self.classes = classes
        self.class_names = None if class_names is None else tuple(class_names)
        if self.class_names is not None and len(self.class_names) != classes:
            raise UsageError(
                f"class_names must be one per class ({classes}), received {len(self.class_names)}."
            )

    @classmethod
    def of_saved_model(
        cls, directory: str, class_names: Sequence[str] | None = None
    ) -> "Classifier":
        """Of an export of main.py; `class_names` replace those stored in it.

        Raises:
            UsageError: there is no such SavedModel, it cannot be read, or it takes no image files.
        """
        loaded = _load(directory)
        signature = loaded.signatures.get(_SIGNATURE)
        takes = signature.structured_input_signature[1] if signature is not None else {}
        if list(takes) != [_INPUT] or "probabilities" not in signature.structured_outputs:
            raise UsageError(
                f'the SavedModel in "{directory}" has no signature "{_SIGNATURE}" from '
                f'"{_INPUT}" to "probabilities". Give an export of main.py.'
            )

        def answer(encoded: tf.Tensor) -> Mapping[str, tf.Tensor]:
            return loaded.signatures[_SIGNATURE](image_bytes=encoded)

        classes = signature.structured_outputs["probabilities"].shape[-1]
        names = class_names or _stored_names(directory)
        return cls(_any_number(answer, takes), classes, names)

    @classmethod
    def of_trained(
        cls, trained: TrainedModel, class_names: Sequence[str] | None = None
    ) -> "Classifier":
        """Of a model in memory; `class_names` replace its own."""
        size = trained.preprocessing.image_size

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def answer(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
            images = tf.map_fn(
                lambda one: tf.cast(trained.preprocessing.for_eval(one), tf.float32),
                encoded,
                fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32),
            )
            return {"probabilities": trained.model(images, training=False)}

        return cls(answer, trained.model.output_shape[-1], class_names or trained.class_names)

    def predict(
        self, paths: Sequence[str], *, batch_size: int = BATCH_SIZE, top: int = TOP
    ) -> Iterator[FilePrediction]:
        """One outcome for each file, in their order, as they come.

        Args:
            paths: of image files; of any format that `data.decoding` reads.
            batch_size: images at once.
            top: classes of a prediction; all of them if there are fewer.

        Raises:
            RunError: out of memory.
        """
        if not paths:
            return
        batches = [paths[i : i + batch_size] for i in range(0, len(paths), batch_size)]
        with ThreadPoolExecutor(_READERS) as pool:
            # The next batch is read while this one is computed.
            following = [pool.submit(_read, path) for path in batches[0]]
            for place, batch in enumerate(batches):
                read = [future.result() for future in following]
                if place + 1 < len(batches):
                    following = [pool.submit(_read, path) for path in batches[place + 1]]
                yield from self._of_batch(batch, read, top)

    def _of_batch(
        self, paths: Sequence[str], read: Sequence[bytes | Unusable], top: int
    ) -> list[FilePrediction]:
        outcomes: list[FilePrediction | None] = [
            each if isinstance(each, Unusable) else None for each in read
        ]
        there = [place for place, outcome in enumerate(outcomes) if outcome is None]
        answered = self._outcomes(
            [paths[place] for place in there], [read[place] for place in there], top
        )
        for place, outcome in zip(there, answered, strict=True):
            outcomes[place] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _outcomes(
        self, paths: Sequence[str], encoded: Sequence[Any], top: int
    ) -> list[FilePrediction]:
        if not paths:
            return []
        try:
            answers = self._answer(tf.constant(list(encoded), tf.string))
        except tf.errors.ResourceExhaustedError as error:
            raise RunError(
                f"out of memory with {len(paths)} images at once. Lower the batch size."
            ) from error
        except (tf.errors.InvalidArgumentError, tf.errors.UnknownError) as error:
            if len(paths) == 1:
                return [Unusable(paths[0], fault(encoded[0]) or plain_message(error))]
            half = len(paths) // 2
            return [
                *self._outcomes(paths[:half], encoded[:half], top),
                *self._outcomes(paths[half:], encoded[half:], top),
            ]
        rows = {name: values.numpy() for name, values in answers.items()}
        return [
            self._prediction(path, {name: values[place] for name, values in rows.items()}, top)
            for place, path in enumerate(paths)
        ]

    def _prediction(self, path: str, row: Mapping[str, np.ndarray], top: int) -> Prediction:
        probabilities = row["probabilities"]
        best = np.argsort(-probabilities, kind="stable")[:top]
        names: Any = self.class_names
        if names is None:
            said = zip(row.get("top_classes", ()), row.get("top_names", ()), strict=False)
            known = {int(number): name.decode("utf-8", "backslashreplace") for number, name in said}
            names = {int(number): known.get(int(number), str(number)) for number in best}
        return Prediction(
            path,
            tuple(int(number) for number in best),
            tuple(names[int(number)] for number in best),
            tuple(float(probabilities[number]) for number in best),
        )


class Predictor:
    """Predicts with a SavedModel of `export.saved_model`, and accepts no bad file.

    Raises:
        UsageError: there is no such SavedModel, or it cannot be read.
    """

    def __init__(self, directory: str) -> None:
        self._classifier = Classifier.of_saved_model(directory)

    def __call__(self, paths: Sequence[str]) -> list[Prediction]:
        """Predicts image files in the order given.

        Raises:
            UsageError: a file does not exist.
            RunError: a file is no readable image; the message names it.
        """
        for path in paths:
            if not exists(path) or is_folder(path):
                raise UsageError(f'no image file "{shown(path)}".')
        predictions = []
        for outcome in self._classifier.predict(paths):
            if isinstance(outcome, Unusable):
                raise RunError(
                    f'"{shown(outcome.path)}" is not a readable JPEG or PNG image: {outcome.reason}'
                )
            predictions.append(outcome)
        return predictions


def _load(directory: str) -> Any:
    if not tf.io.gfile.exists(os.path.join(directory, "saved_model.pb")):
        raise UsageError(
            f'no SavedModel in "{directory}" (expected a file saved_model.pb). '
            "Train or run main.py --mode=export first."
        )
    try:
        for file in _FILES:
            _check_file(os.path.join(directory, file))
        check_graph(directory)
        return tf.saved_model.load(directory)
    except UsageError:
        raise
    except Exception as error:  # a damaged graph raises whatever its first wrong word leads to
        reason = first_line(error).rstrip(".")
        raise UsageError(
            f'the SavedModel in "{directory}" cannot be read: {reason}.\nExport it again.'
        ) from error


def _check_file(path: str) -> None:
    """Raises an OSError for what TensorFlow would wait for or read without end."""
    if is_remote(path) or not os.path.exists(path):
        return
    if not os.path.isfile(path) or os.path.getsize(path) > _MOST_BYTES:
        raise OSError(f"{os.path.basename(path)} is no regular file, or larger than 2 GB")


def _stored_names(directory: str) -> list[str] | None:
    """Of the metadata beside the model, which other exports may lack."""
    path = os.path.join(directory, "metadata.json")
    try:
        return read_object(path, "").get("class_names") if exists(path) else None
    except UsageError:
        return None


def _any_number(answer: Serve, takes: Mapping[str, Any]) -> Serve:
    """`answer` for any number of images, also if its model was exported for one batch size."""
    size = takes[_INPUT].shape[0]
    if size is None:
        return answer

    def padded(encoded: tf.Tensor) -> Mapping[str, tf.Tensor]:
        parts = []
        for start in range(0, len(encoded), size):
            part = encoded[start : start + size]
            filled = tf.concat([part, tf.repeat(part[:1], size - len(part))], axis=0)
            answers = answer(filled)
            parts.append({name: values[: len(part)] for name, values in answers.items()})
        return {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}

    return padded


def _read(path: str) -> bytes | Unusable:
    try:
        with opened(path, at_most=MAX_BYTES) as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        reason = getattr(error, "strerror", None) or str(error)
        return Unusable(path, f"The file cannot be read: {reason}.")
