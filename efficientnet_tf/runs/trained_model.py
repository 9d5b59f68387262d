"""A trained network ready to be used: its model, its preprocessing, its class names.

From a run of main.py, with the configuration that lies in its model_dir, or from a file of weights.
"""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf.config import DataConfig, ModelConfig, check_value
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.sources.by_name import load_source
from efficientnet_tf.errors import RunError, UsageError, first_line
from efficientnet_tf.importers import weights_file
from efficientnet_tf.models.networks import configured, find_network
from efficientnet_tf.models.operations import count
from efficientnet_tf.runs.checkpoint import restore_variables
from efficientnet_tf.runs.checkpoint_files import UnreadableCheckpoint, first_readable, for_use
from efficientnet_tf.runs.data_record import read_classes
from efficientnet_tf.runs.init_record import read_record
from efficientnet_tf.runs.stored_config import names_files, read_config
from efficientnet_tf.storage.files import exists
from efficientnet_tf.storage.json_files import read_object
from efficientnet_tf.zoo import create_model

# Of the classifier's bias, as TensorFlow writes it: its length is the number of classes, so the
# data set need not be there.
_HEAD = "variables/weights.Spredictions.Sbias/.ATTRIBUTES/VARIABLE_VALUE"
_AVERAGE = "variables/average."


@dataclass(frozen=True)
class TrainedModel:
    """What is needed to use a network.

    Attributes:
        name: of the network.
        model: images [batch, size, size, 3], values 0..255, to probabilities [batch, classes].
        preprocessing: its eval path is the one the network was, or is to be, evaluated with.
        class_names: one per class, or None if unknown.
    """

    name: str
    model: keras.Model
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None


def from_run(model_dir: str, *, resolution: int | None = None) -> TrainedModel:
    """The best checkpoint of a run, averaged weights; the newest if the run kept no best.

    Args:
        model_dir: of main.py.
        resolution: side in pixels in place of the run's own; the weights do not depend on it.

    Raises:
        UsageError: there is no run, no checkpoint, or it cannot be read.
    """
    stored = read_config(model_dir)
    asked = _section(ModelConfig(), "model", stored, model_dir)
    if resolution is not None:
        asked.resolution = resolution
    fields = asdict(asked)
    network = configured(**fields)

    def restored(path: str) -> tuple[keras.Model, int]:
        shapes = _shapes(path)
        classes = _head_classes(path, shapes)
        table = "average/" if any(name.startswith(_AVERAGE) for name in shapes) else "weights/"
        start = f"variables/{table[:-1]}."
        numbers = sum(math.prod(shapes[name]) for name in shapes if name.startswith(start))
        if count(network.operations(classes)).total_params > numbers:
            raise UsageError(
                f'--model_dir: the configuration of "{model_dir}" is that of a larger network than '
                f'the checkpoint "{path}" holds.\n'
                "One of them is not of this run: copy the folder again."
            )
        model = create_model(**fields, classes=classes, dtype="float32")
        # Not the whole state: its optimizer, and which stages it trained, are of no concern here.
        restore_variables(path, {table + weight.path: weight for weight in model.weights}, table)
        return model, classes

    model, classes = first_readable(for_use(model_dir), restored, _warn)
    began = read_record(model_dir)
    if began is not None:
        began.apply(model)
    data = _section(DataConfig(), "data", stored, model_dir)
    preprocessing = Preprocessing.of(network.resolution, data)
    return TrainedModel(network.name, model, preprocessing, _class_names(model_dir, data, classes))


def from_weights(
    weights: str,
    name: str | None = None,
    *,
    classes: int | None = None,
    resolution: int | None = None,
) -> TrainedModel:
    """A network with stored weights: whatever create_model(weights=...) takes.

    Args:
        weights: a .safetensors file of ours, which says itself of which network it is and how its
            images are prepared, or another one; then images are prepared as for the paper.
        name: of the network; needed where the file does not say it.
        classes: default: the file's, or the network's own.
        resolution: side in pixels; default: the file's, or the network's own.

    Raises:
        UsageError: no such file, or it is of another network.
    """
    if weights.endswith(".safetensors"):
        return _from_safetensors(weights, name, classes, resolution)
    if name is None:
        raise UsageError(f'--weights: "{weights}" does not say of which network; give --model.')
    network = find_network(name)
    if os.sep in weights and not tf.io.gfile.exists(weights):
        raise UsageError(f'--weights: there is no file "{weights}".')
    model = create_model(name, weights=weights, classes=classes, resolution=resolution)
    size = resolution or network.resolution
    return TrainedModel(network.name, model, Preprocessing(size), None)


def _from_safetensors(
    path: str, name: str | None, classes: int | None, resolution: int | None
) -> TrainedModel:
    info = weights_file.read_info(path)
    size = resolution or info.resolution
    fields: dict[str, Any] = {**info.coefficients, "resolution": size}
    network = configured(info.model, **fields)
    expected = count(network.operations(info.classes)).total_params
    if expected > weights_file.numbers(path):
        raise UsageError(
            f'--weights: the metadata of "{path}" are those of a larger network than its arrays.\n'
            "The file is damaged: copy it again."
        )
    model = create_model(name or info.model, classes=classes or info.classes, **fields)
    weights_file.load_into(model, path, name=name)
    preprocessing = Preprocessing.of(size, info.contract)
    return TrainedModel(info.model, model, preprocessing, info.class_names)


def _section(section: Any, prefix: str, stored: Mapping[str, Any], model_dir: str) -> Any:
    """The section with the stored values; fields that have gone since are left out."""
    for name in asdict(section):
        value = stored.get(f"{prefix}.{name}", getattr(section, name))
        value = tuple(value) if isinstance(value, list) else value
        check_value(f"{prefix}.{name}", type(section).__dataclass_fields__[name], value)
        setattr(section, name, value)
    known = [f"{prefix}.{name}" for name in asdict(section)]
    unknown = [name for name in stored if name.startswith("model.") and prefix == "model"]
    strange = sorted(set(unknown) - set(known))
    if strange:  # it would be another network
        raise UsageError(
            f'--model_dir: the run in "{model_dir}" sets {strange[0]}, which this version does not '
            "know. Use the version that trained it."
        )
    return section


def stored_data_config(stored: Mapping[str, Any]) -> DataConfig:
    """What the config.json of a run says of its data, with today's defaults for newer fields."""
    return _section(DataConfig(), "data", stored, "")


def _warn(text: str) -> None:
    print(text, file=sys.stderr)


def _shapes(path: str) -> dict[str, list[int]]:
    try:
        return tf.train.load_checkpoint(path).get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise UnreadableCheckpoint(
            f'the checkpoint "{path}" cannot be read: {first_line(error)}.'
        ) from error


def _head_classes(path: str, shapes: Mapping[str, Sequence[int]]) -> int:
    if _HEAD not in shapes:
        raise UsageError(f'--model_dir: the checkpoint "{path}" holds no layer "predictions".')
    return shapes[_HEAD][0]


def run_classes(model_dir: str, data: DataConfig) -> tuple[int, tuple[str, ...] | None]:
    """Number and names of the classes that the network of a run tells apart; names may be unknown.

    Raises:
        UsageError: there is no run.
    """
    stored = read_classes(model_dir)
    if stored is not None:
        return stored
    classes = first_readable(
        for_use(model_dir), lambda path: _head_classes(path, _shapes(path)), _warn
    )
    return classes, _class_names(model_dir, data, classes)


def _class_names(model_dir: str, data: DataConfig, classes: int) -> tuple[str, ...] | None:
    """As classes.json says, or the run's export; else as its data says, if that is built in."""
    stored = read_classes(model_dir)
    if stored is not None and stored[0] == classes and stored[1]:
        return stored[1]
    path = os.path.join(model_dir, "export", "metadata.json")
    names: Any = None
    try:
        if exists(path):
            names = read_object(path, "").get("class_names")
        is_download = data.source.startswith("tfds")
        if not names and not is_download and not names_files(data.source, data.data_dir):
            names = load_source(data.source, num_classes=data.num_classes).class_names
    except (UsageError, RunError, tf.errors.OpError, OSError, ValueError, AttributeError):
        names = None  # numbers then stand for names
    return tuple(names) if names and len(names) == classes else None
