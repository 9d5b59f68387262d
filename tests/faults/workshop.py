"""Makes one whole specimen of everything that the program reads or writes, all tiny."""

import contextlib
import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from faults.apart import ROOT, Ended, call, set_patience
from PIL import Image
from two_blocks import TWO_BLOCKS_FLAG

CLASSES = ("cat", "dog", "owl")
IMAGES = 12  # of each class
GOLDEN = ROOT / "tests" / "golden"
# The size of the network in tests/golden/ckpt_tiny and timm_tiny_b0.safetensors.
NARROW = ("--width_coefficient=0.1", "--depth_coefficient=0.3", "--resolution=64")
TINY = (
    TWO_BLOCKS_FLAG,
    "--config.model.width_coefficient=0.1",
    "--config.model.resolution=16",
    "--config.train.global_batch_size=8",
    "--config.train.steps_per_loop=1",
    "--config.train.checkpoint_every_epochs=0.5",
    "--config.train.eval_every_epochs=0.5",
    "--config.data.augment=none",
    "--config.optimizer.warmup_epochs=0",
    "--config.optimizer.base_learning_rate=0.001",
)

FLAGS = (
    "--model=efficientnet-b0",
    "--config.data.source=folder:photos",
    "--config.model.blocks_args=('r1_k3_s22_e1_i32_o16_se0.25', 'r1_k3_s11_e6_i16_o16_se0.25')",
    "--config.train.epochs=0.25",
    "--config.train.global_batch_size=32",
    "--config.data.augment=randaugment(magnitude=10)+cutout",
    "--config.transfer.class_weights=1,2,0.5",
    "--config.data.expected_sizes=(10, 2)",
    "--export_formats=saved_model,tflite-float32",
    "--tpu_zone=us-central1-b",
)


class Place(NamedTuple):
    """Where a fault is tried.

    Attributes:
        specimens: what `make` made, which nothing may change.
        own: an empty folder of this fault.
    """

    specimens: Path
    own: Path

    def copy(self, name: str) -> Path:
        """A copy of a specimen that may be damaged."""
        target = self.own / name
        if (self.specimens / name).is_dir():
            shutil.copytree(self.specimens / name, target, symlinks=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.specimens / name, target)
        return target


@contextlib.contextmanager
def place(specimens: Path) -> Iterator[Place]:
    """A Place, whose own folder is removed at the end."""
    own = Path(tempfile.mkdtemp(dir=specimens.parent))
    try:
        yield Place(specimens, own)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def training(
    data: Path, run: Path, *more: str, mode: str = "train", epochs: float = 1.0
) -> list[str]:
    """The command line of a training of two seconds."""
    where = ["--config.data.source=folder", f"--data_dir={data}", f"--model_dir={run}"]
    return [f"--mode={mode}", *where, *TINY, f"--config.train.epochs={epochs}", *more]


def commands(
    where: Place, run: Path, out: Path, photos: Path | None = None
) -> dict[str, list[str]]:
    """The command line of every word that reads or writes files.

    Args:
        run: that is used.
        out: the folder for everything that is written.
        photos: the folder of images; None: that of the specimens.
    """
    made, image = where.specimens, f"{where.specimens}/image.png"
    photos = photos or made / "photos"
    served = f"--saved_model={made}/run/export"
    return {
        "train": training(photos, out / "new"),
        "train, skip": training(photos, out / "new", "--config.data.on_error=skip"),
        "resume": training(photos, run, epochs=2.0),
        "evaluate": ["evaluate", f"--model_dir={run}", "--split=test"],
        "export": ["export", f"--model_dir={run}"],
        "prepare": ["prepare", f"--source=folder:{photos}", f"--output_dir={out}/records"],
        "check-data": ["check-data", f"--source=folder:{photos}"],
        "predict": ["predict", f"--model_dir={run}", f"--output={out}/answers.csv", image],
        "predict, printed": ["predict", f"--model_dir={run}", image],
        "predict, served": ["predict", f"--saved_model={run}/export", image],
        "predict, folder": ["predict", served, f"--output={out}/answers.csv", str(photos)],
        "predict, folder, printed": ["predict", served, str(photos)],
        "cam": ["cam", f"--model_dir={run}", f"--output_dir={out}/maps", image],
        "report": ["report", f"--model_dir={run}"],
        "compare": ["compare", str(run), f"{made}/trained", f"--output={out}/compare.html"],
        "import-weights": [
            *("import-weights", f"--from={made}/tf1", f"--output={out}/w.safetensors"),
            *("--model=efficientnet-b0", *NARROW),
        ],
    }


def picture(seed: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    """Noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(kind: str, seed: int = 0) -> bytes:
    """An image file of a format of Pillow."""
    stream = io.BytesIO()
    picture(seed).save(stream, kind)
    return stream.getvalue()


def make_files(made: Path) -> None:
    """The specimens that are there at once, without a command of ours."""
    photos = made / "photos"
    for number, name in enumerate(CLASSES):
        (photos / name).mkdir(parents=True)
        for image in range(IMAGES):
            picture(IMAGES * number + image).save(photos / name / f"{image}.png")
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        (made / f"image.{kind.lower()}").write_bytes(encoded(kind))
    with open(made / "table.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for name in CLASSES:
            for image in range(IMAGES):
                split = ("train", "val", "test")[min(max(image - 7, 0) // 2, 2)]
                writer.writerow([photos / name / f"{image}.png", name, split])
    (made / "names.txt").write_text("\n".join(CLASSES) + "\n")
    shutil.copyfile(GOLDEN / "importers/timm_tiny_b0.safetensors", made / "timm.safetensors")
    shutil.copytree(GOLDEN / "ckpt_tiny", made / "tf1")
    _results(made)
    _texts(made)


def make(made: Path) -> None:
    """All specimens.

    Raises:
        RuntimeError: a command failed, so that nothing can be tried.
    """
    make_files(made)
    photos, run, records = made / "photos", made / "run", made / "records"
    _must(call(*training(photos, made / "trained")))
    set_patience(_must(call(*training(photos, run, mode="train_and_eval"))).seconds)
    _must(call("evaluate", f"--model_dir={run}", "--split=minival"))
    _must(call("prepare", f"--source=folder:{photos}", f"--output_dir={records}"))
    shutil.copytree(records, made / "bare")
    os.remove(made / "bare" / "manifest.json")
    weights = ["--model=efficientnet-b0", f"--output={made}/ours.safetensors", *NARROW]
    _must(call("import-weights", f"--from={GOLDEN}/ckpt_tiny", *weights))
    _must(call(run=lambda: _keras_files(made)))


def _must(ended: Ended) -> Ended:
    if ended.code != 0:
        raise RuntimeError(f"a specimen cannot be made: {ended.out[-2000:]}{ended.err[-2000:]}")
    return ended


def _keras_files(made: Path) -> None:
    """A few layers as Keras itself saves them, with a normalization before the stem."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Normalization(mean=[0.5] * 3, variance=[0.1] * 3)(x)
    x = layers.Conv2D(8, 3, name="stem_conv", use_bias=False)(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.DepthwiseConv2D(3, name="block1a_dwconv", use_bias=False)(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(3, name="predictions")(x))
    for name in ("model.keras", "model.h5", "model.weights.h5"):
        (model.save_weights if "weights" in name else model.save)(made / name)


def _results(made: Path) -> None:
    """What searches, comparisons, runs with first weights and `prepare` write."""
    row = {"base": "0" * 8, "key": "a", "changes": {"train.seed": 0}, "seed": 0, "top1": 0.5}
    _lines(made / "search" / "results.jsonl", [row, {**row, "key": "b", "loss": 1.0}])
    numbers = {"depth": 1.0, "width": 1.0, "resolution": 32, "multiply_adds": 9, "params": 9}
    result = {"model": "efficientnet-b0", "what": "digits", "top1": 0.5, "seed": 0, **numbers}
    _lines(made / "results.jsonl", [result, {**result, "seed": 1}])
    began = {"source": "x", "checksum": "0" * 64, "new_head": False}
    began |= {"mean": [127.5] * 3, "std": [127.5] * 3}
    _lines(made / "record" / "init_from.json", [began])
    entry = {"name": "train-00000-of-00001", "examples": 1, "bytes": 1, "sha256": "0" * 64}
    _lines(made / "journal" / "manifest.partial.jsonl", [{"seed": 0}, entry])


def _texts(made: Path) -> None:
    """Inputs that are text, or that the command line brings: those are given as files here."""
    (made / "block.txt").write_text("r1_k3_s22_e1_i32_o16_se0.25")
    (made / "flags.txt").write_text("\n".join(FLAGS))
    (made / "list.txt").write_text("a.png\nb.png\n")
    (made / "real.json").write_text(json.dumps([[1], [2, 3], []]))


def _lines(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
