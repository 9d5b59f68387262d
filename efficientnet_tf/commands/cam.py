"""Shows where networks see the evidence for a class: class activation maps, as in Figure 7.

python main.py cam --model_dir=runs/flowers photos/rose.jpg
python main.py cam --model_dir=runs/b0,runs/b0-deeper,runs/b0-wider --class=rose photos/
python main.py cam --weights=b0.safetensors --method=grad-cam --layer=block_10 cat.jpg

The word writes into --output_dir, for each image and model, an overlay (.png) and the map itself,
float32 [height, width], as it is (.npy); sheet.png with all images in rows and all models in
columns; and maps.json, which says what each file shows and which box of the picture (top, left,
height, width; upright) its map covers. A larger --resolution gives finer maps: the weights do not
depend on it.

Images are given as for the word predict: files, folders, patterns, - for a list on standard input.
Exit code 0: fine. 1: some images could not be read, they are listed at the end. 2: wrong use.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from efficientnet_tf.commands import shared_flags
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError
from efficientnet_tf.inference.image_list import image_paths
from efficientnet_tf.storage.files import check_writable

NEEDS = ("matplotlib", "PIL")


def take_flags(take: FlagGroups) -> None:
    take.heading("Which networks")
    shared_flags.take_network(take, several=True)
    take.heading("Which maps, and where")
    take.text("class", None, "name or number of the class; default: the predicted one")
    take.choice(
        "method", "cam", ("cam", "grad-cam"), "by the classifier's weights, or by gradients"
    )
    take.text("layer", None, "with grad-cam: endpoint or layer; default: the last map")
    take.text("output_dir", "runs/cam", "folder that the files are written to")


def run(given: SimpleNamespace) -> int:
    if not (given.model_dir or given.weights):
        raise UsageError("expected --model_dir or --weights (or both), received none.")
    if given.layer and given.method == "cam":
        raise UsageError("--layer goes with --method=grad-cam: cam is of the last map.")
    paths = image_paths(given.arguments, sys.stdin)
    folder = Path(given.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f'--output_dir: "{folder}" cannot be made: {error.strerror}.') from error
    check_writable("--output_dir", str(folder / "cam.png"))
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.inference.cam_files import Wanted, write_maps

    networks = [
        (Path(each).resolve().name, shared_flags.trained_network(given, model_dir=each))
        for each in given.model_dir
    ] + [
        (Path(each).name.split(".")[0], shared_flags.trained_network(given, weights=each))
        for each in given.weights
    ]
    asked = getattr(given, "class")
    wanted = Wanted(asked, given.method, given.layer, shared_flags.class_names(given))
    bad = write_maps(networks, paths, folder, wanted)
    for line in bad:
        print(f"unusable: {line}", file=sys.stderr)
    return 1 if bad else 0
