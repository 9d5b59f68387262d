"""What augmentation makes of one photo, as sheets of pictures for a person to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from efficientnet_tf.data.augment.autoaugment import (
    LEVELS,
    OPS,
    POLICY_V0,
    RANDAUGMENT_LEVELS,
    autoaugment,
)
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.errors import UsageError

Cell = tuple[Any, str]  # uint8 [side, side, 3], text of at most two lines
_ACROSS = 5  # sub-policies in a row


def photo(path: str | None, side: int) -> np.ndarray:
    """An image file, or scikit-learn's photo, cropped and resized: uint8 [side, side, 3].

    Raises:
        UsageError: it is no image file.
    """
    from sklearn.datasets import load_sample_image

    image: Any = load_sample_image("china.jpg")
    if path:
        try:
            image = np.asarray(Image.open(path).convert("RGB"))
        except OSError as error:
            raise UsageError(f"--image must be an image file, received {path}: {error}") from None
    return Preprocessing(image_size=side, image_dtype="uint8").for_eval(image).numpy()


def operations(image: np.ndarray) -> list[list[Cell]]:
    """A row for each operation: the image, then the operation at rising levels."""
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


def policy(image: np.ndarray, bugs: str) -> list[list[Cell]]:
    """Each sub-policy of AutoAugment with both its operations; `bugs` as `autoaugment` takes it."""
    cells: list[Cell] = []
    for number, steps in enumerate(POLICY_V0, start=1):
        always = [[(name, 1.0, level) for name, _, level in steps]]
        lines = [f"{name} {level}, p {probability}" for name, probability, level in steps]
        text = f"{number}. " + "\n    ".join(lines)
        cells.append((autoaugment(image, number, policy=always, bugs=bugs), text))
    return [cells[i : i + _ACROSS] for i in range(0, len(cells), _ACROSS)]


def sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """All cells in one picture, their text below each; all images have the size of the first."""
    side = rows[0][0][0].shape[0]
    step_x, step_y = side + 6, side + 34
    picture = Image.new("RGB", (step_x * max(map(len, rows)), step_y * len(rows)), "white")
    draw = ImageDraw.Draw(picture)
    for y, row in enumerate(rows):
        for x, (image, text) in enumerate(row):
            picture.paste(Image.fromarray(np.asarray(image)), (x * step_x, y * step_y))
            draw.multiline_text((x * step_x + 2, (y + 1) * step_y - 32), text, fill="black")
    return picture
