"""Class activation maps of image files by one or several networks, written into a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from efficientnet_tf.data.broken import plain_message
from efficientnet_tf.data.images.decoding import decode
from efficientnet_tf.data.images.names import MAX_BYTES
from efficientnet_tf.errors import RunError
from efficientnet_tf.inference.cam import ActivationMapper, class_number
from efficientnet_tf.inference.cam_figure import fitted, overlay, sheet
from efficientnet_tf.runs.trained_model import TrainedModel
from efficientnet_tf.storage.files import opened, write_json
from efficientnet_tf.terminal.shown import shown


class Wanted(NamedTuple):
    """Which maps: see `cam.class_number` and `cam.ActivationMapper`.

    Attributes:
        class_names: in place of those that a network knows.
    """

    asked: str | None = None
    method: str = "cam"
    layer: str | None = None
    class_names: Sequence[str] | None = None


class _Shown(NamedTuple):
    facts: dict[str, Any]
    picture: np.ndarray
    overlay: np.ndarray
    text: str


def write_maps(
    networks: Sequence[tuple[str, TrainedModel]],
    paths: Sequence[str],
    folder: Path,
    wanted: Wanted,
) -> list[str]:
    """Writes an overlay and a map for each network and image, sheet.png and maps.json.

    Args:
        networks: each with its label, to which a number is added where several have the same.
        folder: is there already.

    Returns:
        a line for each image that cannot be used.

    Raises:
        UsageError: the class, the layer or a network is not such as the maps need.
        RunError: a file cannot be written.
    """
    labels = [label for label, _ in networks]
    unique = [
        label if labels.count(label) == 1 else f"{label}-{place}"
        for place, label in enumerate(labels, start=1)
    ]
    images, bad = _pictures(paths)
    try:
        columns = [
            _draw(label, trained, images, folder, wanted)
            for label, (_, trained) in zip(unique, networks, strict=True)
        ]
        if images:
            rows = [
                [(row[0].picture, Path(path).name), *((each.overlay, each.text) for each in row)]
                for path, *row in zip(images, *columns, strict=True)
            ]
            sheet(["image", *unique], rows).save(folder / "sheet.png")
            print(f"sheet: {folder / 'sheet.png'}")
        facts = [each.facts for column in columns for each in column]
        write_json(str(folder / "maps.json"), facts)
    except OSError as error:
        raise RunError(f"{folder}: {error}") from error
    return bad


def _pictures(paths: Sequence[str]) -> tuple[dict[str, tf.Tensor], list[str]]:
    """Encoded images by path, and a line for each that cannot be used."""
    good, bad = {}, []
    for path in paths:
        try:
            with opened(path, at_most=MAX_BYTES) as file:
                encoded = tf.constant(file.read())
            decode(encoded)
            good[path] = encoded
        except OSError as error:
            bad.append(f"{shown(path)}: {error.strerror}.")
        except tf.errors.OpError as error:
            bad.append(f"{shown(path)}: {plain_message(error)}")
    return good, bad


def _draw(
    label: str,
    trained: TrainedModel,
    images: Mapping[str, tf.Tensor],
    folder: Path,
    wanted: Wanted,
) -> list[_Shown]:
    """Writes the files of one network; what they show, with the overlays for the sheet."""
    names = wanted.class_names or trained.class_names
    number = class_number(wanted.asked, names, trained.model.output_shape[-1])
    mapper = ActivationMapper(trained.model, wanted.method, wanted.layer)
    drawings = []
    for place, (path, encoded) in enumerate(images.items(), start=1):
        result = mapper(trained.preprocessing.for_eval(encoded)[tf.newaxis], number)
        whole = decode(encoded, exif_rotation=trained.preprocessing.exif_rotation)
        box = [int(value) for value in trained.preprocessing.eval_box(tf.shape(whole))]
        small, small_box = fitted(whole.numpy(), box)
        drawn = overlay(small, small_box, result.maps[0])
        stem = folder / f"{place:03d}-{Path(path).stem}-{label}"
        Image.fromarray(drawn).save(f"{stem}.png")
        np.save(f"{stem}.npy", result.maps[0])
        best = int(result.classes[0])
        name = names[best] if names and best < len(names) else str(best)
        probability = float(result.probabilities[0])
        text = f"{name} {100 * probability:.1f} %"
        print(shown(f"{path}, {label}: {text} -> {stem}.png"), flush=True)
        facts = {
            "image": path,
            "model": label,
            "network": trained.name,
            "method": wanted.method,
            "layer": wanted.layer,
            "class": best,
            "name": name,
            "probability": probability,
            "logit": float(result.logits[0, best]),
            "box": box,
            "shape": list(result.maps.shape[1:]),
            "map": f"{stem.name}.npy",
            "overlay": f"{stem.name}.png",
        }
        drawings.append(_Shown(facts, small, drawn, text))
    return drawings
