"""One import from end to end: open, recognise, build, merge, set the input, write, look at it.

The word import-weights is this with flags.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.importers import weights_file
from efficientnet_tf.importers.detect import open_weights
from efficientnet_tf.importers.fingerprint import recognise
from efficientnet_tf.importers.input_contract import (
    InputContract,
    apply_contract,
    at_resolution,
    family_contract,
)
from efficientnet_tf.importers.merge import Receipt
from efficientnet_tf.importers.weights_file import WeightsInfo
from efficientnet_tf.importers.weights_source import WeightsSource, checksum, merge_source
from efficientnet_tf.models.networks import configured
from efficientnet_tf.models.variants import VARIANTS, Variant, find_variant
from efficientnet_tf.storage.files import check_writable, exists, is_folder, read_bytes

TOP = 5


@dataclass(frozen=True)
class Import:
    """What to import, and as what.

    Attributes:
        source: path of a file, a folder, or the prefix of a TF1 checkpoint.
        output: file to write, `.safetensors`.
        model: name for `create_model`; None to recognise it by its shapes.
        format: "auto" or a key of `detect.FORMATS`.
        contract: "auto" (what the source says) or a key of `input_contract.FAMILIES`.
        use_ema: where averaged and plain weights are stored, take the averages.
        new_head: import all but the classifier, which is drawn anew with `classes` outputs.
        classes: of the new head; otherwise those of the source, given or not.
        image: path of an image to show the answers for.
        seed: of the new head.
        coefficients: arguments of `create_model` where they differ from the variant's.
    """

    source: str
    output: str
    model: str | None = None
    format: str = "auto"
    contract: str = "auto"
    use_ema: bool = True
    new_head: bool = False
    classes: int | None = None
    image: str | None = None
    seed: int = 0
    coefficients: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """What came of it; `model` gives logits, `answers` are (class, name, probability)."""

    model: Any
    receipt: Receipt
    info: WeightsInfo
    notes: tuple[str, ...]
    answers: tuple[tuple[int, str, float], ...]


def convert(wanted: Import) -> Imported:
    """Imports weights into a file of ours.

    Raises:
        UsageError: a wrong option, an unreadable source, one that does not fit the model, or an
            output that cannot be written; nothing is written then.
        RunError: `image` is no readable image.
    """
    import keras

    check_writable("--output", wanted.output)
    if not wanted.output.endswith(".safetensors"):
        raise UsageError(f'--output must end in .safetensors, received "{wanted.output}".')
    if wanted.new_head and wanted.classes is None:
        raise UsageError("--new_head needs --classes: the number of outputs of the new classifier.")
    source = open_weights(wanted.source, wanted.format, wanted.use_ema)
    variant = _variant(wanted, source)
    classes = _classes(wanted, source)
    keras.utils.set_random_seed(wanted.seed)
    network = configured(variant.name, **wanted.coefficients)
    model = network.build(classes=classes, classifier_activation=None)
    receipt = merge_source(model, source, wanted.new_head)
    contract = _contract(wanted, source, variant)
    apply_contract(model, contract)
    info = WeightsInfo(
        model=variant.name,
        classes=classes,
        resolution=contract.resolution,
        contract=contract,
        source=source.path,
        source_format=source.format,
        source_sha256=checksum(source.files),
        coefficients=wanted.coefficients,
        class_names=None if wanted.new_head else source.class_names,
    )
    answers = () if wanted.image is None else top_answers(model, info, wanted.image)
    arrays = {variable.path: np.asarray(variable.numpy()) for variable in model.weights}
    weights_file.save(wanted.output, arrays, info)
    return Imported(model, receipt, info, source.notes, answers)


def _variant(wanted: Import, source: WeightsSource) -> Variant:
    recognised = recognise(source.shapes)
    reshaped = set(wanted.coefficients) - {"resolution"}
    if wanted.model is None:
        if recognised is None or reshaped:
            raise UsageError(
                f'--model is needed: the shapes in "{source.path}" are those of no published '
                "network. Give --model, and its coefficients if they are your own."
            )
        return VARIANTS[recognised]
    variant = find_variant(wanted.model)
    if recognised not in (None, variant.name) and not reshaped:
        raise UsageError(
            f'--model={variant.name}: "{source.path}" holds {recognised}, by the shapes of its '
            f"kernels. Give --model={recognised}, or leave it out."
        )
    return variant


def _classes(wanted: Import, source: WeightsSource) -> int:
    if wanted.new_head and wanted.classes is not None:
        if wanted.classes < 2:
            raise UsageError("--classes must be at least 2, received 1: one class has no softmax.")
        return wanted.classes
    if source.classes is None:
        raise UsageError(
            f'"{source.path}" has no classifier of one dense layer. Import the rest with '
            "--new_head --classes=N."
        )
    if source.classes == 1:
        raise UsageError(
            f'--from: the classifier in "{source.path}" has one output, and ours are a softmax '
            "over the classes: of a single number it is always 1.\n"
            "Import the rest with --new_head --classes=2, and train it."
        )
    if wanted.classes not in (None, source.classes):
        raise UsageError(
            f'--classes={wanted.classes}: the classifier in "{source.path}" has {source.classes}. '
            "Leave --classes out, or add --new_head for a new classifier."
        )
    return source.classes


def _contract(wanted: Import, source: WeightsSource, variant: Variant) -> InputContract:
    contract = source.contract(variant)
    if "resolution" in wanted.coefficients:
        contract = at_resolution(contract, wanted.coefficients["resolution"])
    if wanted.contract != "auto":
        contract = family_contract(wanted.contract, contract.resolution)
    return contract


def top_answers(model: Any, info: WeightsInfo, image: str) -> tuple[tuple[int, str, float], ...]:
    """(class, its name or number, probability) of the best classes of an image file, best first.

    Args:
        model: with the weights; gives logits.
        info: says how the image is cropped and resized.
        image: path of a JPEG, PNG or other image.

    Raises:
        UsageError: there is no such file.
        RunError: it is no readable image.
    """
    import tensorflow as tf

    from efficientnet_tf.data.images.names import MAX_BYTES
    from efficientnet_tf.data.images.preprocessing import Preprocessing

    preprocessing = Preprocessing.of(info.contract.resolution, info.contract)
    if not exists(image) or is_folder(image):
        raise UsageError(f'--image: there is no file "{image}".')
    encoded = read_bytes(image, MAX_BYTES)
    try:
        pixels = preprocessing.for_eval(encoded)
    except tf.errors.InvalidArgumentError as error:
        raise RunError(f'--image: "{image}" is no readable image.') from error
    probabilities = tf.nn.softmax(model(pixels[tf.newaxis], training=False))[0].numpy()
    best = np.argsort(-probabilities)[:TOP]
    names = info.class_names or [str(index) for index in range(info.classes)]
    return tuple((int(index), names[index], float(probabilities[index])) for index in best)


def text(imported: Imported, output: str, every: bool = False) -> str:
    """What the user reads of an import; `every` adds a line for each weight."""
    info, receipt = imported.info, imported.receipt
    lines = [
        f"{info.source}: {info.source_format}",
        f"sha256 of the source: {info.source_sha256}",
        f"model: {info.model}, {info.classes} classes"
        + "".join(f", {key}={value}" for key, value in info.coefficients.items()),
        receipt.table(every),
        f"input: {info.contract}",
        *(f"note: {note}." for note in imported.notes),
    ]
    for index, name, probability in imported.answers:
        shown = f"class {index}" if name == str(index) else f"class {index} ({name})"
        lines.append(f"  {probability:7.2%}  {shown}")
    arguments = dict(info.coefficients)
    if info.classes != VARIANTS[info.model].classes:
        arguments["classes"] = info.classes
    changed = "".join(f", {key}={value!r}" for key, value in arguments.items())
    lines.append(f'written to {output}: create_model("{info.model}", weights="{output}"{changed})')
    return "\n".join(lines)
