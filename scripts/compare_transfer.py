"""Does fine-tuning help? Pretrained and random first weights against none, at equal steps.

python scripts/compare_transfer.py --output_dir=runs/compare_transfer

Pretrains a small network on the training split of the digits, draws a folder of other digits, those
of the test split, rotated and recoloured, and trains on 10 of each class: from scratch, from the
pretrained weights, from an import of random weights, and the classifier alone on both. All runs
have the same settings and steps; the test images are the rest. Started again it goes on.
--weights=FILE_OR_RUN takes other pretrained weights of the network, --seeds=N another number of
runs. Exit code 0: done; 1: a run failed or was stopped; 2: wrong use.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from efficientnet_tf import repeats
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.repeats import Run
from efficientnet_tf.startup import start_tensorflow

_ROOT = Path(__file__).resolve().parent.parent
_CONFIG = f"--config={_ROOT}/configs/search_digits.py"
_PRETRAIN = Run("pretrained", ("--config.train.epochs=15",))
_TRAIN_PER_CLASS = 10
_FLAGS = {"output_dir": "runs/compare_transfer", "weights": "", "seeds": "3"}


def draw(folder: Path) -> None:
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


def run(argv: Sequence[str]) -> None:
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
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
    folder = Path(given["output_dir"])
    start_tensorflow()
    if not (folder / "drawn").exists():
        draw(folder / "drawn.part")
        os.replace(folder / "drawn.part", folder / "drawn")
    random_weights(folder / "random.safetensors")
    weights = given["weights"]
    if not weights:
        weights = str(folder / _PRETRAIN.name)
        pretrained = repeats.train(_PRETRAIN, [_CONFIG], str(folder))
        print(f"pretrained on digits: test {repeats.describe(pretrained)}", flush=True)
    common = [
        _CONFIG,
        f"--config.data.source=folder:{folder / 'drawn'}",
        "--config.data.train_on_minival=true",
        "--config.train.epochs=60",
        "--config.train.checkpoint_every_epochs=0",
        # A third of the rate of pretraining: with more, scratch does not even fit 100 images.
        "--config.optimizer.base_learning_rate=0.027",
        "--config.transfer.batch_norm_momentum=0.9",
        "--config.transfer.new_head=true",
    ]
    from_random = f"--config.init_from={folder / 'random.safetensors'}"
    from_pretrained = f"--config.init_from={weights}"
    probe = "--config.transfer.freeze_until=head"
    found = {}
    for name, flags in {
        "scratch": [],
        "random": [from_random],
        "pretrained": [from_pretrained],
        "probe_random": [from_random, probe],
        "probe_pretrained": [from_pretrained, probe],
    }.items():
        runs = repeats.seeds(int(given["seeds"]))
        results = repeats.run_all(runs, [*common, *flags], str(folder / name), lambda _: None)
        found[name] = results
        print(f"{name:<17} test {repeats.spread(results)}", flush=True)
    best = max(result["top1"] for result in found["scratch"])
    worst = min(result["top1"] for result in found["pretrained"])
    holds = "is above" if worst > best else "is NOT above"
    print(f"the worst pretrained run {holds} the best from scratch")


def main(argv: Sequence[str]) -> int:
    try:
        run(argv)
    except (UsageError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
