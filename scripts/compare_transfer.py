"""Does fine-tuning help? B0 from first weights against B0 from none, at equal steps.

python scripts/compare_transfer.py --task=digits --epochs=20 --weights=runs/demo
python scripts/compare_transfer.py --task=china --epochs=10 --weights=runs/demo

--task=digits draws a folder of digits of the test split, rotated and recoloured. --task=china and
--task=flower cut one of scikit-learn's two photographs into tiles, each turned and recoloured; the
class is the region of the photograph, and no pixel is in two tiles. 10 images of each class are
trained on, 10 choose the learning rate, the rest are tested.

Compared are training from scratch; an import of random features (keras.applications' network as it
is drawn, its last batch norm scaled to the digits), of which the classifier alone is trained; and
fine-tuning of a network pretrained on the training split of the digits, the one of `make demo`. All
take the same number of steps with the same settings but the learning rate, which is for each that
of five with which seed 0 does best on the images kept for this choice.

--epochs=N is the length, --seeds=N the number of runs, --output_dir=DIR where they lie.
--weights=FILE_OR_RUN takes these pretrained weights of B0, a run of `make demo` or others; without
it they are trained. Started again it goes on. Exit code 0: done; 1: a run failed; 130: stopped; 2:
wrong use.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.runs import repeats
from efficientnet_tf.runs.repeats import Repeat
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code

_ROOT = Path(__file__).resolve().parent.parent
_CONFIG = f"--config={_ROOT}/configs/digits.py"
_SETTINGS = (
    _CONFIG,
    "--config.train.global_batch_size=16",
    "--config.train.eval_every_epochs=0",
    "--config.train.checkpoint_every_epochs=0",
    "--config.optimizer.schedule=cosine",
    "--config.optimizer.warmup_epochs=1",
    "--config.optimizer.ema_decay=0",
    "--config.transfer.batch_norm_momentum=0.9",
)
_RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
_PER_CLASS = {"train": 10, "val": 10}  # images; the rest is test
_FLAGS = {
    "task": "digits",
    "output_dir": "runs/compare_transfer",
    "epochs": "20",
    "seeds": "3",
    "weights": "",
}
_REGIONS = 3, 4  # rows and columns of a photograph
_TILE = 20  # pixels: 56 tiles in each region
_SIDE = 64  # pixels, of configs/digits.py
_MEASURED_ON = 512  # digits


def _split(number: int) -> str:
    """Of the image with this number in its class."""
    for split, count in _PER_CLASS.items():
        if number < count:
            return split
        number -= count
    return "test"


def draw_digits(folder: Path) -> None:
    """Digits of the test split as SPLIT/CLASS/*.png, 32x32, a function of nothing."""
    import keras
    import numpy as np
    from scipy import ndimage  # scikit-learn, which has the digits, needs it too

    from efficientnet_tf.data.sources.in_memory import digits_source

    chance = np.random.RandomState(0)
    images, labels = (tensor.numpy() for tensor in digits_source().arrays["test"])
    seen = dict.fromkeys(range(10), 0)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        split = _split(seen[int(label)])
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


def draw_tiles(photo: str, folder: Path) -> None:
    """The tiles of "china" or "flower" as SPLIT/REGION/*.png, a function of nothing else.

    Each is turned by quarters and each of its colours scaled by 0.9 to 1.1, by lot.
    """
    import keras
    import numpy as np
    from sklearn.datasets import load_sample_image

    chance = np.random.RandomState(0)
    pixels = load_sample_image(f"{photo}.jpg")  # [427, 640, 3]
    rows, columns = _REGIONS
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
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
            path = folder / _split(number) / f"{region[0]}-{region[1]}" / f"{top}-{left}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(path, np.clip(tile, 0, 255), scale=False)


_TASKS: dict[str, Callable[[Path], None]] = {
    "digits": draw_digits,
    "china": lambda folder: draw_tiles("china", folder),
    "flower": lambda folder: draw_tiles("flower", folder),
}


def _drawn(folder: Path, draw: Callable[[Path], None]) -> Path:
    """The folder, whole or not at all."""
    if not folder.exists():
        draw(Path(f"{folder}.part"))
        os.replace(f"{folder}.part", folder)
    return folder


def random_features(path: Path) -> None:
    """An import of a network of keras.applications that nobody has trained, in our file format.

    Signals fade in a drawn network until its features are of the size of 1e-5. Its last batch norm
    makes their mean 0 and their deviation 1 on digits of the training split.
    """
    import keras
    import numpy as np

    from efficientnet_tf.data.images.preprocessing import Preprocessing
    from efficientnet_tf.data.sources.in_memory import digits_source
    from efficientnet_tf.importers.convert import Import, convert

    keras.utils.set_random_seed(1000)
    shape = (_SIDE, _SIDE, 3)
    model = keras.applications.EfficientNetB0(weights=None, input_shape=shape, classes=10)
    preprocessing = Preprocessing(_SIDE, eval_crop="none")
    digits = digits_source().arrays["train"][0][:_MEASURED_ON]
    images = np.stack([preprocessing.for_eval(image).numpy() for image in digits])
    norm = model.get_layer("top_bn")
    features = keras.Model(model.input, norm.input).predict(images, verbose=0)
    variance = features.var((0, 1, 2), dtype=np.float64)
    norm.moving_mean.assign(features.mean((0, 1, 2)))
    norm.moving_variance.assign(variance)
    norm.gamma.assign(np.sqrt((variance + norm.epsilon) / variance))
    file = f"{path}.weights.h5"
    model.save_weights(file)
    convert(Import(source=file, output=str(path), model="efficientnet-b0"))


def chosen_rate(flags: Sequence[str], folder: Path) -> float:
    """With which a training has the best top-1 (then loss) on minival."""
    found = {}
    for rate in _RATES:
        own = (f"--config.optimizer.base_learning_rate={rate}",)
        trial = Repeat(f"rate-{rate}", own, ("train", "eval"), "minival")
        result = repeats.train(trial, flags, str(folder))
        found[rate] = (result["top1"], -result["loss"])
        print(f"{folder.name:<16} rate {rate:<4} minival {repeats.describe(result)}", flush=True)
    return max(found, key=lambda rate: found[rate])


def _parsed(argv: Sequence[str]) -> dict[str, str]:
    given = dict(_FLAGS)
    for argument in argv[1:]:
        name, equals, value = argument.removeprefix("--").partition("=")
        if name not in _FLAGS or not equals:
            raise UsageError(f"unknown flag {argument}; there are --{', --'.join(_FLAGS)}.")
        given[name] = value
    for name, least in (("seeds", 2), ("epochs", 1)):
        if not given[name].isdigit() or int(given[name]) < least:
            raise UsageError(f'--{name} must be at least {least}, received "{given[name]}".')
    if given["task"] not in _TASKS:
        raise UsageError(
            f'--task must be one of {", ".join(_TASKS)}, received "{given["task"]}".'
            f"{nearest(given['task'], _TASKS)}"
        )
    return given


def run(argv: Sequence[str]) -> None:
    if asks_for_help(argv):
        print(__doc__)
        return
    given = _parsed(argv)
    folder = Path(given["output_dir"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f'--output_dir: "{folder}" cannot be made: {error.strerror}.') from error
    start_tensorflow()
    random = folder / "random.safetensors"
    if not random.exists():
        random_features(random)
    pretrained = given["weights"]
    if not pretrained:
        result = repeats.train(Repeat("pretrained-digits", ()), [_CONFIG], str(folder))
        print(f"pretrained on digits: test {repeats.describe(result)}", flush=True)
        pretrained = str(folder / "pretrained-digits")
    arms = {
        "scratch": [],
        "random features": [
            f"--config.init_from={random}",
            "--config.transfer.new_head=true",
            "--config.transfer.freeze_until=head",
        ],
        "pretrained": [f"--config.init_from={pretrained}", "--config.transfer.new_head=true"],
    }
    images = _drawn(folder / given["task"], _TASKS[given["task"]])
    folder = folder / f"{given['task']}-{given['epochs']}-epochs"
    common = [
        *_SETTINGS,
        f"--config.data.source=folder:{images}",
        f"--config.train.epochs={given['epochs']}",
    ]
    found = {}
    for name, own in arms.items():
        rate = chosen_rate([*common, *own], folder / "rates" / name)
        flags = [*common, f"--config.optimizer.base_learning_rate={rate}", *own]
        runs = repeats.seeds(int(given["seeds"]))
        results = repeats.run_all(runs, flags, str(folder / name), lambda _: None)
        found[name] = [result["top1"] for result in results]
        print(f"{name:<16} rate {rate:<4} test {repeats.spread(results)}", flush=True)
    for name in list(arms)[1:]:
        holds = "is above" if min(found[name]) > max(found["scratch"]) else "is NOT above"
        print(f"{name}: the worst run {holds} the best from scratch")


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv), resumable=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the run saves and ends
    sys.exit(main(sys.argv))
