"""Draws what augmentation does to a photo, for a person to look at: two PNG files.

`operations.png` has a row for each of the 16 operations and a column for each level: AutoAugment's
up to 10, RandAugment's 17 and 28; signs positive, Cutout in the middle. `policy.png` has
AutoAugment's 25 sub-policies, all their operations applied, signs drawn.

    python scripts/show_augmentation.py --out=/tmp/augmentation --image=photo.jpg --bugs=fixed
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.startup import start_tensorflow

_IMAGE = flags.DEFINE_string("image", None, "an image file; default: a photo of scikit-learn")
_OUT = flags.DEFINE_string("out", ".", "directory of the PNG files")
_SIZE = flags.DEFINE_integer("size", 224, "side of the images in pixels", lower_bound=32)
_BUGS = flags.DEFINE_enum("bugs", "official", ["official", "fixed"], "of the policy")

Cell = tuple[Any, str]  # uint8 [H, W, 3], text of at most two lines


def photo() -> np.ndarray:
    """The image of --image, or scikit-learn's, cropped and resized."""
    from sklearn.datasets import load_sample_image

    from efficientnet_tf.data.images.preprocessing import Preprocessing

    image: Any = load_sample_image("china.jpg")
    if _IMAGE.value:
        try:
            image = np.asarray(Image.open(_IMAGE.value).convert("RGB"))
        except OSError as error:
            raise UsageError(
                f"--image must be an image file, got {_IMAGE.value}: {error}"
            ) from None
    return Preprocessing(image_size=_SIZE.value, image_dtype="uint8").for_eval(image).numpy()


def operations(image: np.ndarray) -> list[list[Cell]]:
    from efficientnet_tf.data.augment.autoaugment import LEVELS, OPS, RANDAUGMENT_LEVELS

    columns = [(LEVELS, level) for level in (0, 1, 3, 5, 7, 9, 10)]
    columns += [(RANDAUGMENT_LEVELS, level) for level in (17, 28)]
    rows: list[list[Cell]] = []
    for name, operation in OPS.items():
        rows.append([(image, "as it is")])
        for levels, level in columns:
            argument = levels[name](level)
            if argument is None:
                rows[-1].append((operation(image), name))
                break
            rows[-1].append((operation(image, argument), f"{name} level {level}\n{argument:.4g}"))
    return rows


def sub_policies(image: np.ndarray) -> list[list[Cell]]:
    from efficientnet_tf.data.augment.autoaugment import POLICY_V0, autoaugment

    cells: list[Cell] = []
    for number, steps in enumerate(POLICY_V0, start=1):
        always = [[(name, 1.0, level) for name, _, level in steps]]
        lines = [f"{name} {level}, p {probability}" for name, probability, level in steps]
        text = f"{number}. " + "\n    ".join(lines)
        cells.append((autoaugment(image, number, policy=always, bugs=_BUGS.value), text))
    return [cells[i : i + 5] for i in range(0, 25, 5)]


def sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """All cells in one picture, their text below each."""
    step_x, step_y = _SIZE.value + 6, _SIZE.value + 34
    picture = Image.new("RGB", (step_x * max(map(len, rows)), step_y * len(rows)), "white")
    draw = ImageDraw.Draw(picture)
    for y, row in enumerate(rows):
        for x, (image, text) in enumerate(row):
            picture.paste(Image.fromarray(np.asarray(image)), (x * step_x, y * step_y))
            draw.multiline_text((x * step_x + 2, (y + 1) * step_y - 32), text, fill="black")
    return picture


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument "{argv[1]}"')
    try:
        start_tensorflow()
        image, out = photo(), Path(_OUT.value)
        out.mkdir(parents=True, exist_ok=True)
        for name, rows in (("operations", operations(image)), ("policy", sub_policies(image))):
            sheet(rows).save(out / f"{name}.png")
            print(f"Wrote {out / name}.png")
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    app.run(main)
