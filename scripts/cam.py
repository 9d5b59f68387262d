"""Shows where networks see the evidence for a class: class activation maps, as in Figure 7.

python scripts/cam.py --model_dir=runs/flowers photos/rose.jpg
python scripts/cam.py --model_dir=runs/b0,runs/b0-deeper,runs/b0-wider --class=rose photos/
python scripts/cam.py --weights=b0.safetensors --method=grad-cam --layer=block_10 cat.jpg

Writes into --output_dir for each image and model an overlay (.png) and the map itself, float32
[height, width], as it is (.npy); sheet.png with all images in rows and all models in columns; and
maps.json, which says what each file shows and which box of the picture (top, left, height, width;
upright) its map covers. A larger --resolution gives finer maps: the weights do not depend on it.

Images as for scripts/predict.py: files, folders, patterns, - for a list on standard input.
Exit code 0: fine. 1: some images could not be read, they are listed at the end. 2: wrong use.
"""

import sys
from pathlib import Path
from typing import Any

from absl import flags

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.inference.image_list import image_paths
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code

_MODEL_DIR = flags.DEFINE_list("model_dir", [], "runs of main.py, separated by commas")
_WEIGHTS = flags.DEFINE_list("weights", [], "files of weights, separated by commas")
_MODEL = flags.DEFINE_string("model", None, "with --weights: the network, if the file is silent")
_NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "with --weights", lower_bound=1)
_RESOLUTION = flags.DEFINE_integer("resolution", None, "side in pixels; default: the model's own")
_CLASS = flags.DEFINE_string("class", None, "name or number; default: the predicted one")
_CLASS_NAMES = flags.DEFINE_string("class_names", None, "a text file with one name on each line")
_METHOD = flags.DEFINE_string("method", "cam", "cam or grad-cam")
_LAYER = flags.DEFINE_string("layer", None, "of grad-cam: an endpoint or layer; default: last map")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "runs/cam", "where the files are written")


def models() -> list[tuple[str, Any]]:
    """(label, TrainedModel) of the flags; labels are unique."""
    from efficientnet_tf.runs.trained_model import from_run, from_weights

    found: list[tuple[str, Any]] = []
    for model_dir in _MODEL_DIR.value:
        trained = from_run(model_dir, resolution=_RESOLUTION.value)
        found.append((Path(model_dir).resolve().name, trained))
    for weights in _WEIGHTS.value:
        trained = from_weights(
            weights, _MODEL.value, classes=_NUM_CLASSES.value, resolution=_RESOLUTION.value
        )
        found.append((Path(weights).name.split(".")[0], trained))
    labels = [label for label, _ in found]
    return [
        (label if labels.count(label) == 1 else f"{label}-{place + 1}", trained)
        for place, (label, trained) in enumerate(found)
    ]


def pictures(paths: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Encoded images by path, and a line for each that cannot be used."""
    import tensorflow as tf

    from efficientnet_tf.data.broken import plain_message
    from efficientnet_tf.data.images.decoding import decode

    good, bad = {}, []
    for path in paths:
        try:
            encoded = tf.constant(Path(path).read_bytes())
            decode(encoded)
            good[path] = encoded
        except OSError as error:
            bad.append(f"{path}: {error.strerror}.")
        except tf.errors.OpError as error:
            bad.append(f"{path}: {plain_message(error)}")
    return good, bad


def draw(label: str, trained: Any, images: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Writes the files of one model; what they show, with the overlays for the sheet."""
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    from efficientnet_tf.data.images.decoding import decode
    from efficientnet_tf.data.prepare.inventory import read_class_names
    from efficientnet_tf.inference.cam import ActivationMapper, class_number
    from efficientnet_tf.inference.cam_figure import fitted, overlay

    names = read_class_names(_CLASS_NAMES.value) if _CLASS_NAMES.value else trained.class_names
    number = class_number(_CLASS.value, names, trained.model.output_shape[-1])
    mapper = ActivationMapper(trained.model, _METHOD.value, _LAYER.value)
    shown = []
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
        print(f"{path}, {label}: {text} -> {stem}.png", flush=True)
        facts = {
            "image": path,
            "model": label,
            "network": trained.name,
            "method": _METHOD.value,
            "layer": _LAYER.value,
            "class": best,
            "name": name,
            "probability": probability,
            "logit": float(result.logits[0, best]),
            "box": box,
            "shape": list(result.maps.shape[1:]),
            "map": f"{stem.name}.npy",
            "overlay": f"{stem.name}.png",
        }
        shown.append({"facts": facts, "picture": small, "overlay": drawn, "text": text})
    return shown


def run(arguments: list[str]) -> int:
    """Everything; the exit code."""
    if not (_MODEL_DIR.value or _WEIGHTS.value):
        raise UsageError("expected --model_dir or --weights (or both), received none.")
    if _LAYER.value and _METHOD.value == "cam":
        raise UsageError("--layer goes with --method=grad-cam: cam is of the last map.")
    paths = image_paths(arguments, sys.stdin)
    folder = Path(_OUTPUT_DIR.value)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f'--output_dir: "{folder}" cannot be made: {error.strerror}.') from error
    start_tensorflow()
    from efficientnet_tf.inference.cam_figure import sheet
    from efficientnet_tf.storage.files import write_json

    images, bad = pictures(paths)
    found = models()
    columns = [draw(label, trained, images, folder) for label, trained in found]
    if images:
        rows = [
            [
                (row[0]["picture"], Path(path).name),
                *((each["overlay"], each["text"]) for each in row),
            ]
            for path, *row in zip(images, *columns, strict=True)
        ]
        sheet(["image", *(label for label, _ in found)], rows).save(folder / "sheet.png")
        print(f"sheet: {folder / 'sheet.png'}")
    write_json(str(folder / "maps.json"), [each["facts"] for column in columns for each in column])
    for line in bad:
        print(f"unusable: {line}", file=sys.stderr)
    return 1 if bad else 0


def main(argv: list[str]) -> int:
    if asks_for_help(argv):
        print(__doc__, flags.FLAGS.main_module_help(), sep="\n")
        return 0
    try:
        return run(flags.FLAGS(argv)[1:])
    except OSError as error:
        raise RunError(f"{_OUTPUT_DIR.value}: {error}") from error


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv)))
