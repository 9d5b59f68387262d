"""Writes a network in the formats asked for, each proved before it takes its place.

`saved_model` is the folder that is named; the others lie beside it: `export.float32.tflite`,
`export.onnx`, ... Each has its proof as JSON: in the SavedModel `proof.json`, else beside the file
(`export.int8.json`).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.export import onnx_file, tflite
from efficientnet_tf.export import saved_model as export
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.export.proof import BOUNDS, Bound, Proof, difference_from_files, prove
from efficientnet_tf.models.layers import SqueezeExcitation
from efficientnet_tf.storage.files import replacing, write_json
from efficientnet_tf.terminal.shown import shown

CALIBRATION_IMAGES = 128


@dataclass(frozen=True)
class Sample:
    """Images on which an export is compared with the model in memory.

    Attributes:
        files: encoded images (bytes), as a client would send them.
        images: the same as the model reads them, float32 [images, size, size, 3].
        expected: probabilities of the model in memory, [images, classes].
        labels: int [images], or None if unknown.
        calibration: images for int8, as `images`, others than these where there are any.
        tolerance: the largest difference of a probability that a float32 export may have.
    """

    files: Sequence[bytes]
    images: np.ndarray
    expected: np.ndarray
    labels: np.ndarray | None
    calibration: np.ndarray
    tolerance: float = BOUNDS["float32"].difference


def make_sample(
    model: keras.Model,
    preprocessing: Preprocessing,
    images: Sequence[Any],
    *,
    expected: np.ndarray | None = None,
    labels: Sequence[int] | None = None,
    calibration: Sequence[Any] | None = None,
    tolerance: float = BOUNDS["float32"].difference,
) -> Sample:
    """A sample of undecoded images: bytes, or uint8 arrays [height, width, 3].

    Args:
        model: gives the expected probabilities unless `expected` does.
        calibration: undecoded images for int8; default: `images`.
    """

    def prepared(undecoded: Sequence[Any]) -> np.ndarray:
        ready = [preprocessing.for_eval(tf.constant(image)).numpy() for image in undecoded]
        return np.stack(ready).astype(np.float32)

    ready = prepared(images)
    return Sample(
        files=[
            image if isinstance(image, bytes) else tf.io.encode_png(image).numpy()
            for image in images
        ],
        images=ready,
        expected=model.predict_on_batch(ready) if expected is None else expected,
        labels=None if labels is None else np.asarray(labels),
        calibration=ready if calibration is None else prepared(calibration),
        tolerance=tolerance,
    )


def write(
    model: keras.Model,
    directory: str,
    preprocessing: Preprocessing,
    sample: Sample,
    *,
    class_names: Sequence[str] | None,
    metadata: dict[str, Any],
    options: ExportOptions,
    say: Callable[[str], None],
) -> list[Proof]:
    """Writes all formats of the options, says one line about each, and returns the proofs.

    Args:
        model: gives probabilities, float32.
        directory: of the SavedModel.
        metadata: stored with each.

    Raises:
        UsageError: the place cannot be written.
        RunError: a weight is not finite, or one differs too much, or cannot be made; what was
            there before is kept.
    """
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise RunError(
                f"the weights are not finite ({weight.path}), so nothing was exported.\nThe "
                "network has diverged: train again with a lower learning rate "
                "(--config.optimizer.base_learning_rate) and another --model_dir."
            )
    if directory.startswith("gs://") and set(options.formats) != {"saved_model"}:
        raise UsageError(
            f"--export_dir: TFLite and ONNX files are written to a local folder, received "
            f'"{directory}".'
        )
    # Names are kept as UTF-8, one on a line: no name may lose a network that is trained.
    names = None if class_names is None else [shown(name) for name in class_names]
    writer = _Writer(model, directory.rstrip("/"), preprocessing, sample, names, options)
    proofs = []
    for name in options.formats:
        if name == "saved_model":
            proof = writer.saved_model(metadata)
        else:
            proof = writer.file(name, metadata)
        say(str(proof))
        if not proof.holds:
            say(f"warning: {_loss(proof)} {_why_int8(model)}")
        proofs.append(proof)
    return proofs


@dataclass(frozen=True)
class _Writer:
    model: keras.Model
    directory: str
    preprocessing: Preprocessing
    sample: Sample
    class_names: Sequence[str] | None
    options: ExportOptions

    def saved_model(self, metadata: dict[str, Any]) -> Proof:
        dtype, sample = self.options.dtype, self.sample
        bound = Bound(sample.tolerance) if dtype == "float32" else BOUNDS[dtype]
        found: list[Proof] = []

        def inspect(directory: str) -> None:
            found.append(self._prove(directory, bound, self.directory))
            worst = difference_from_files(
                directory, sample.files, sample.expected, self.options.batch
            )
            if not worst <= bound.difference:
                raise RunError(
                    f'signature serving_default of "{self.directory}" differs from the model in '
                    f"memory by {worst:.2g} in a probability, more than {bound.difference:.2g}."
                )
            write_json(os.path.join(directory, "proof.json"), found[0].to_json())

        export.save(
            self.model,
            self.directory,
            self.preprocessing,
            class_names=self.class_names,
            metadata={**metadata, "batch": self.options.batch, "dtype": dtype},
            options=self.options,
            inspect=inspect,
        )
        return found[0]

    def file(self, name: str, metadata: dict[str, Any]) -> Proof:
        kind = name.removeprefix("tflite-")
        ending = "onnx" if name == "onnx" else f"{kind}.tflite"
        path = f"{self.directory}.{ending}"
        bound = Bound(self.sample.tolerance) if name == "onnx" else self._bound(kind)
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with replacing(path) as unproved:
                self._save(name, kind, unproved, metadata)
                proof = self._prove(unproved, bound, path)
        except OSError as error:
            raise RunError(f'"{path}" cannot be written: {error.strerror or error}') from error
        write_json(f"{self.directory}.{kind}.json", proof.to_json())
        return proof

    def _save(self, name: str, kind: str, path: str, metadata: dict[str, Any]) -> None:
        save = (
            partial(onnx_file.save, batch=self.options.batch)
            if name == "onnx"
            else partial(
                tflite.save,
                kind=kind,
                batch=self.options.batch or 1,
                calibration=self.sample.calibration,
            )
        )
        save(self.model, path, class_names=self.class_names, metadata=metadata)

    def _bound(self, kind: str) -> Bound:
        return Bound(self.sample.tolerance) if kind == "float32" else BOUNDS[kind]

    def _prove(self, path: str, bound: Bound, called: str) -> Proof:
        sample = self.sample
        proof = prove(
            path, sample.images, sample.expected, bound, labels=sample.labels, called=called
        )
        if not proof.holds and not (path.endswith(".int8.tflite") and _why_int8(self.model)):
            raise RunError(f"{_loss(proof)} It was not kept.")
        return proof


def _loss(proof: Proof) -> str:
    return (
        f'"{proof.artefact}" differs from the model in memory by {proof.largest_difference:.2g} in '
        f"a probability (bound: {proof.bound.difference:.2g}) and agrees in "
        f"{100 * proof.agreement:.1f} % of the best classes (bound: "
        f"{100 * proof.bound.agreement:.1f} %)."
    )


def _why_int8(model: keras.Model) -> str:
    """Why 8 bits are not enough for a network, or "" if they should be."""
    swish = any(getattr(layer, "activation", None) == "swish" for layer in model.layers)
    squeezes = any(isinstance(layer, SqueezeExcitation) for layer in model.layers)
    if not swish and not squeezes:
        return ""
    return (
        "Swish and squeeze-and-excitation do not suit 8 bits; efficientnet-lite0 to "
        "efficientnet-lite4 are the networks for it."
    )
