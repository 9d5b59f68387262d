"""Reads the files in which Keras stores weights, without Keras: nothing in them is run.

    .h5            Keras 2 weights, or a whole model of Keras 2 or 3 ("legacy"): weights by name
    .weights.h5    Keras 3: weights by number, below a group per layer that knows the layer's name
                   (not in the first releases of Keras 3: then the order tells)
    .keras         Keras 3: a zip of config.json and a .weights.h5

A whole model also tells its layers' settings. Models inside a model are searched, too.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers.keras_names import WEIGHTS_OF
from efficientnet_tf.importers.weights_source import check_file, reading
from efficientnet_tf.storage.archive import check_inflation, refuse_inflated

_ZIP_CONFIG, _ZIP_WEIGHTS = "config.json", "model.weights.h5"
DAMAGED = (OSError, KeyError, TypeError, ValueError, RuntimeError, zipfile.BadZipFile)
_MAX_CONFIG = 2**24  # bytes; B7's has less than a million


@dataclass(frozen=True)
class KerasFile:
    """What is in a file of Keras.

    Attributes:
        path: of it.
        weights: "layer/weight" -> where it is stored.
        layers: names of all layers known to be there, also of those without weights.
        settings: of the layers in their order, if the file holds a whole model: dicts with
            class_name and config.
        ignored: what belongs to an optimizer.
        named: False if layers are called by class and number, such as conv2d_3.
        legacy: whether it is the format of Keras 2.
    """

    path: str
    weights: dict[str, h5py.Dataset]
    layers: tuple[str, ...]
    settings: tuple[dict[str, Any], ...] | None
    ignored: tuple[str, ...]
    named: bool
    legacy: bool

    def array(self, name: str) -> np.ndarray:
        """float32."""
        with reading(self.path, *DAMAGED):
            return np.asarray(self.weights[name][()], dtype=np.float32)


def read_keras_file(path: str) -> KerasFile:
    """Opens any of them.

    Raises:
        UsageError: no such file, a damaged one, or HDF5 of something else.
    """
    check_file(path)
    settings = None
    stream: Any = path
    with reading(path, *DAMAGED):
        check_inflation("--from", path)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo(_ZIP_CONFIG).file_size > _MAX_CONFIG:
                    raise ValueError(f"{_ZIP_CONFIG} is larger than any model's")
                settings = tuple(_layers_of(json.loads(archive.read(_ZIP_CONFIG))))
                stream = io.BytesIO(archive.read(_ZIP_WEIGHTS))
        file = h5py.File(stream, "r")
        if "layers" in file:
            return _keras3(path, file, settings)
        root = file.get("model_weights", file)
        if _text_list(root, "layer_names"):
            return _legacy(path, file, root)
        found = ", ".join(list(file)[:4]) or "nothing"
    raise UsageError(
        f'--from: "{path}" is an HDF5 file, but holds no weights of a Keras model (found {found}).'
    )


def _text_list(group: Any, attribute: str) -> list[str]:
    """A list of names; Keras cuts long ones into attribute0, attribute1, .."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        keys = sorted(
            (key for key in group.attrs if re.fullmatch(rf"{attribute}\d+", key)),
            key=lambda key: int(key.removeprefix(attribute)),
        )
        parts = [group.attrs[key] for key in keys]
    return [
        each.decode() if isinstance(each, bytes) else str(each) for part in parts for each in part
    ]


def _legacy(path: str, file: Any, root: Any) -> KerasFile:
    weights, layers = {}, []
    for layer in _text_list(root, "layer_names"):
        stored = _text_list(root[layer], "weight_names")
        scopes = {name.rpartition("/")[0] for name in stored}
        layers.append(layer)
        for name in stored:
            scope, _, weight = name.rpartition("/")
            # One scope: the layer, perhaps with a suffix of its graph. Several: a model inside.
            owner = layer if len(scopes) == 1 else scope.rpartition("/")[2]
            weight = weight.partition(":")[0].replace("depthwise_kernel", "kernel")
            weights[f"{owner}/{weight}"] = _stored_here(path, file, root[layer][name])
            layers.append(owner)
    settings = None
    if "model_config" in file.attrs:
        config = file.attrs["model_config"]
        settings = tuple(_layers_of(json.loads(config)))
        layers += [one["config"]["name"] for one in settings]
    ignored = tuple(_datasets("optimizer_weights", file))
    names = tuple(dict.fromkeys(layers))
    return KerasFile(path, weights, names, settings, ignored, named=True, legacy=True)


def _keras3(path: str, file: Any, settings: tuple[dict[str, Any], ...] | None) -> KerasFile:
    weights, layers, named = {}, [], False
    for group, content in _layer_groups(file):
        variables = content.get("vars", {})
        name = variables.attrs.get("name") if variables else None
        named = named or name is not None
        layer = str(name or group)
        layers.append(layer)
        kind = re.sub(r"_\d+$", "", group)
        for index in sorted(variables, key=int):
            order = WEIGHTS_OF.get(kind, ())
            weight = order[int(index)] if int(index) < len(order) else index
            weights[f"{layer}/{weight}"] = _stored_here(path, file, variables[index])
    ignored = [
        name for top in file if top not in ("layers", "vars") for name in _datasets(top, file)
    ]
    names = tuple(dict.fromkeys(layers))
    return KerasFile(path, weights, names, settings, tuple(ignored), named, legacy=False)


def _layer_groups(file: Any) -> Iterator[tuple[str, Any]]:
    for name, content in file["layers"].items():
        if "layers" in content:
            yield from _layer_groups(content)
        else:
            yield name, content


def _layers_of(model: Any) -> Iterator[dict[str, Any]]:
    """The layers of a serialised model in their order, models inside included.

    Raises:
        ValueError: it is none.
    """
    config = model.get("config") if isinstance(model, dict) else None
    if not isinstance(config, dict):
        raise ValueError(f"its configuration is no model: {str(model)[:60]}")
    layers = config.get("layers", [])
    if not isinstance(layers, list):
        raise ValueError(f"its configuration has no list of layers: {str(layers)[:60]}")
    for layer in layers:
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
            raise ValueError(f"its configuration has something that is no layer: {str(layer)[:60]}")
        if "layers" in layer["config"]:
            yield from _layers_of(layer)
        elif not all(isinstance(name, str) for name in (layer["class_name"], _name_of(layer))):
            raise ValueError(f"its configuration has a layer without name: {str(layer)[:60]}")
        else:
            yield layer


def _name_of(layer: dict[str, Any]) -> Any:
    return layer["config"].get("name")


def _datasets(top: str, file: Any) -> list[str]:
    found: list[str] = []
    if top in file:
        if isinstance(file[top], h5py.Dataset):
            return [top]
        file[top].visititems(
            lambda name, item: found.append(f"{top}/{name}") if _is_data(item) else None
        )
    return found


def _is_data(item: Any) -> bool:
    return isinstance(item, h5py.Dataset)


def _stored_here(path: str, file: Any, item: Any) -> h5py.Dataset:
    """HDF5 can point to other files of the machine; weights never do."""
    inside = _is_data(item) and item.file.filename == file.filename
    if not inside or item.external or item.is_virtual:
        raise ValueError(f"{getattr(item, 'name', item)} is not stored in the file itself.")
    refuse_inflated("--from", path, item.nbytes, file.id.get_filesize())
    return item
