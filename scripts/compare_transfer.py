"""Does fine-tuning help? Pretrained and random first weights against none, at equal steps.

python scripts/compare_transfer.py --output_dir=runs/compare_transfer
python scripts/compare_transfer.py --output_dir=runs/compare_transfer --task=china

--task=digits draws a folder of digits of the test split, rotated and recoloured, 10 of each class
to train on, the rest to test. It compares training from scratch, from a network pretrained on the
training split of the digits, from an import of random weights, and the classifier alone on both.
--task=china cuts one of scikit-learn's two photographs into tiles, each turned and recoloured; the
class is the region of the photograph, and no pixel is in two tiles. 10 of each class are trained
on, 10 choose the learning rate, the rest are tested. Pretrained are a network on the tiles of the
other photograph and one on the digits. --task=flower is the same the other way round.

All runs of a task have the same settings and steps. The learning rate for a photograph is that of
three with which training from scratch does best on the tiles kept for this choice, or, with
--rate=own, that with which these first weights do best there, in one run each. Started again
it goes on. --weights=FILE_OR_RUN takes other pretrained weights of the network, --seeds=N another
number of runs. Exit code 0: done; 1: a run failed or was stopped; 2: wrong use.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from efficientnet_tf import repeats
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.exit_codes import asks_for_help, exit_code
from efficientnet_tf.repeats import Run
from efficientnet_tf.startup import start_tensorflow

_ROOT = Path(__file__).resolve().parent.parent
_CONFIG = f"--config={_ROOT}/configs/search_digits.py"
_TRAIN_PER_CLASS = 10
_FLAGS = {
    "output_dir": "runs/compare_transfer",
    "task": "digits",
    "rate": "same",
    "weights": "",
    "seeds": "3",
}
_REGIONS = 3, 4  # rows and columns of a photograph
_TILE = 20  # pixels: 56 tiles in each region


@dataclass(frozen=True)
class Task:
    """A set that networks are fine-tuned on.

    Attributes:
        draw: makes its folder.
        pretrain: sets that networks are pretrained on, the digits or a photograph.
        learning_rates: to choose from.
        probes: whether the classifier alone is trained, too.
        flags: of main.py.
    """

    draw: Callable[[Path], None]
    pretrain: tuple[str, ...]
    learning_rates: tuple[float, ...]
    probes: bool
    flags: tuple[str, ...] = ()


def draw_digits(folder: Path) -> None:
    """Digits of the test split as train/CLASS and test/CLASS, 32x32, a function of nothing."""
    import keras
    import numpy as np
    from scipy import ndimage  # scikit-learn, which has the digits, needs it too

    from efficientnet_tf.data.in_memory import digits_source

    chance = np.random.RandomState(0)
    images, labels = (tensor.numpy() for tensor in digits_source().arrays["test"])
    seen = dict.fromkeys(range(10), 0)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        split = "train" if seen[int(label)] < _TRAIN_PER_CLASS else "test"
        seen[int(label)] += 1
        large = np.kron(image[..., 0] / 255.0, np.ones((4, 4)))  # [32, 32]
        turned = ndimage.rotate(large, chance.uniform(-30, 30), reshape=False, order=1)
        turned = np.clip(turned, 0, 1)[..., np.newaxis]
        ink, paper = chance.uniform(0, 255, (2, 3))
        while abs(ink.mean() - paper.mean()) < 60:
            ink, paper = chance.uniform(0, 255, (2, 3))
        path = folder / split / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(path, turned * ink + (1 - turned) * paper, scale=False)


def draw_tiles(photo: str, folder: Path, splits: dict[str, int]) -> None:
    """The tiles of a photograph as SPLIT/REGION/*.png, or REGION/*.png without splits.

    Each is turned by quarters and each of its colours scaled by 0.9 to 1.1, by lot. A function of
    the arguments alone.

    Args:
        photo: "china" or "flower".
        splits: how many tiles of each region go to which split; the rest is test.
    """
    import keras
    import numpy as np
    from sklearn.datasets import load_sample_image

    chance = np.random.RandomState(0)
    pixels = load_sample_image(f"{photo}.jpg")  # [427, 640, 3]
    rows, columns = _REGIONS
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    names = [name for name, count in splits.items() for _ in range(count)]
    for region in np.ndindex(rows, columns):
        corner = np.multiply(region, (height, width))
        places = [
            corner + np.multiply(place, _TILE)
            for place in np.ndindex(height // _TILE, width // _TILE)
        ]
        for number, which in enumerate(chance.permutation(len(places))):
            top, left = places[which]
            tile = pixels[top : top + _TILE, left : left + _TILE]
            tile = np.rot90(tile, chance.randint(4)) * chance.uniform(0.9, 1.1, 3)
            split = "" if not splits else names[number] if number < len(names) else "test"
            path = folder / split / f"{region[0]}-{region[1]}" / f"{top}-{left}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(path, np.clip(tile, 0, 255), scale=False)


def _draw_task(photo: str) -> Callable[[Path], None]:
    splits = {"train": _TRAIN_PER_CLASS, "val": _TRAIN_PER_CLASS}
    return lambda folder: draw_tiles(photo, folder, splits)


# The rate of the digits is a third of pretraining's: with more, scratch does not even fit 100
# images.
_RATES = (0.009, 0.027, 0.08)
_TASKS = {
    "digits": Task(
        draw_digits, ("digits",), (0.027,), True, ("--config.data.train_on_minival=true",)
    ),
    "china": Task(_draw_task("china"), ("flower", "digits"), _RATES, False),
    "flower": Task(_draw_task("flower"), ("china", "digits"), _RATES, False),
}


def _drawn(folder: Path, draw: Callable[[Path], None]) -> Path:
    """The folder, whole or not at all."""
    if not folder.exists():
        draw(Path(f"{folder}.part"))
        os.replace(f"{folder}.part", folder)
    return folder


def random_weights(path: Path) -> None:
    """An import of weights that nobody has trained, in our file format."""
    import runpy

    import keras

    from efficientnet_tf import create_model
    from efficientnet_tf.importers import weights_file
    from efficientnet_tf.importers.input_contract import own_contract

    model_config = runpy.run_path(str(_ROOT / "configs/search_digits.py"))["get_config"]().model
    keras.utils.set_random_seed(1000)
    model = create_model(**vars(model_config), classes=10)
    layer = model.get_layer("normalization")
    info = weights_file.WeightsInfo(
        model=model_config.name,
        classes=10,
        resolution=model_config.resolution,
        contract=own_contract(layer.mean, layer.std, model_config.resolution),
        source="random",
        source_format="drawn",
        source_sha256="0" * 64,
    )
    weights_file.save(str(path), {w.path: w.numpy() for w in model.weights}, info)


def pretrained(name: str, folder: Path) -> str:
    """The model_dir of a network trained on the digits or on all tiles of a photograph."""
    flags = ["--config.train.epochs=15"]
    if name != "digits":
        tiles = _drawn(folder / f"tiles-{name}", lambda to: draw_tiles(name, to, {}))
        flags = [
            f"--config.data.source=folder:{tiles}",
            "--config.train.epochs=35",
        ]  # as many steps
    result = repeats.train(Run(f"pretrained-{name}", tuple(flags)), [_CONFIG], str(folder))
    print(f"pretrained on {name}: test {repeats.describe(result)}", flush=True)
    return str(folder / f"pretrained-{name}")


def chosen_rate(rates: Sequence[float], common: Sequence[str], folder: Path) -> float:
    """With which a training has the best top-1 (then loss) on minival."""
    if len(rates) == 1:
        return rates[0]
    found = {}
    for rate in rates:
        flags = (f"--config.optimizer.base_learning_rate={rate}",)
        trial = Run(f"rate-{rate}", flags, ("train", "eval"), "minival")
        result = repeats.train(trial, common, str(folder))
        found[rate] = (result["top1"], -result["loss"])
        print(f"{folder.name:<18} rate {rate:<5} minival {repeats.describe(result)}", flush=True)
    return max(found, key=lambda rate: found[rate])


def run(argv: Sequence[str]) -> None:
    if asks_for_help(argv):
        print(__doc__)
        return
    given = dict(_FLAGS)
    for argument in argv[1:]:
        name, equals, value = argument.removeprefix("--").partition("=")
        if name not in _FLAGS or not equals:
            raise UsageError(f"unknown flag {argument}; there are --{', --'.join(_FLAGS)}.")
        given[name] = value
    if not given["seeds"].isdigit() or int(given["seeds"]) < 2:
        raise UsageError(f'--seeds must be at least 2, received "{given["seeds"]}".')
    for name, known in {"task": tuple(_TASKS), "rate": ("same", "own")}.items():
        if given[name] not in known:
            raise UsageError(
                f'--{name} must be one of {", ".join(known)}, received "{given[name]}".'
                f"{nearest(given[name], known)}"
            )
    task, folder = _TASKS[given["task"]], Path(given["output_dir"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f'--output_dir: "{folder}" cannot be made: {error.strerror}.') from error
    start_tensorflow()
    random_weights(folder / "random.safetensors")
    first = {"random": str(folder / "random.safetensors")}
    if given["weights"]:
        first["pretrained"] = given["weights"]
    else:
        first |= {f"pretrained-{name}": pretrained(name, folder) for name in task.pretrain}
    folder /= given["task"]
    common = [
        _CONFIG,
        f"--config.data.source=folder:{_drawn(folder / 'drawn', task.draw)}",
        "--config.train.epochs=60",
        "--config.train.checkpoint_every_epochs=0",
        "--config.transfer.batch_norm_momentum=0.9",
        *task.flags,
    ]
    arms: dict[str, list[str]] = {"scratch": []}
    new_head = "--config.transfer.new_head=true"
    for name, weights in first.items():
        arms[name] = [f"--config.init_from={weights}", new_head]
    if task.probes:
        probe = "--config.transfer.freeze_until=head"
        arms |= {f"probe-{name}": [*arms[name], probe] for name in first}
    found, rate = {}, 0.0
    for name, flags in arms.items():
        if given["rate"] == "own" or name == "scratch":
            trials = folder / "rates" / name
            rate = chosen_rate(task.learning_rates, [*common, *flags], trials)
        runs = repeats.seeds(int(given["seeds"]))
        flags = [*common, f"--config.optimizer.base_learning_rate={rate}", *flags]
        results = repeats.run_all(runs, flags, str(folder / f"{name}-{rate}"), lambda _: None)
        found[name] = [result["top1"] for result in results]
        print(f"{name:<18} rate {rate:<5} test {repeats.spread(results)}", flush=True)
    for name in first:
        holds = "is above" if min(found[name]) > max(found["scratch"]) else "is NOT above"
        print(f"{name}: the worst run {holds} the best from scratch")


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv), resumable=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the run saves and ends
    sys.exit(main(sys.argv))
