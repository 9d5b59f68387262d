"""Class activation maps as pictures: the colours, the overlay on the photo, the sheet of Figure 7.

A map covers what evaluation crops out of the picture, so it is drawn there and nowhere else:
sheets of models with different crops show the same picture and can be compared.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 320  # pixels, the longer side of a picture in a sheet
_GAP, _TEXT = 8, 15
Cell = tuple[np.ndarray, str]  # uint8 [height, width, 3], a line of text below


def scaled(values: np.ndarray) -> np.ndarray:
    """A map with its smallest value at 0 and its largest at 1; an even one is 0 everywhere."""
    low, high = float(values.min()), float(values.max())
    return np.zeros_like(values) if high <= low else (values - low) / (high - low)


def coloured(values: np.ndarray) -> np.ndarray:
    """Values 0..1, [height, width], from blue to red: uint8 [height, width, 3]."""
    return np.rint(255 * matplotlib.colormaps["jet"](values)[..., :3]).astype(np.uint8)


def fitted(picture: np.ndarray, box: Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Picture and box (top, left, height, width) at the size they have in a sheet."""
    height, width = picture.shape[:2]
    factor = SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    top, left = (
        min(round(value * factor), small.shape[axis] - 1) for axis, value in enumerate(box[:2])
    )
    sides = (
        min(max(1, round(value * factor)), small.shape[axis] - (top, left)[axis])
        for axis, value in enumerate(box[2:])
    )
    return small, (top, left, *sides)


def overlay(
    picture: np.ndarray, box: Sequence[int], values: np.ndarray, strength: float = 0.5
) -> np.ndarray:
    """The picture with a map over the part that the network saw.

    Args:
        picture: uint8 [height, width, 3].
        box: top, left, height and width of that part, in pixels of the picture.
        values: the map, [any height, any width], in any unit; resized bilinearly.
        strength: of the colours, 0 to 1.
    """
    top, left, height, width = (int(value) for value in box)
    map_image = Image.fromarray(scaled(values).astype(np.float32))
    resized = np.asarray(map_image.resize((width, height), Image.Resampling.BILINEAR))
    drawn = picture.astype(np.float32)
    part = drawn[top : top + height, left : left + width]
    part += strength * (coloured(resized) - part)  # a view: changes `drawn`
    return np.rint(drawn).astype(np.uint8)


def sheet(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Pictures in rows of images and columns of models, titles above, a line below each.

    Args:
        titles: one for each column.
        rows: all of as many cells, pictures of at most SIDE pixels.
    """
    heights = [max(picture.shape[0] for picture, _ in row) + _TEXT + _GAP for row in rows]
    step = SIDE + _GAP
    size = (step * len(titles) + _GAP, sum(heights) + _TEXT + 2 * _GAP)
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for column, title in enumerate(titles):
        _text(draw, column * step + _GAP, _GAP // 2, title)
    y = _TEXT + _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, (picture, text) in enumerate(row):
            x = column * step + _GAP
            page.paste(Image.fromarray(picture), (x, y))
            _text(draw, x, y + picture.shape[0], text)
        y += height
    return page


def _text(draw: ImageDraw.ImageDraw, x: int, y: int, text: str) -> None:
    """At most as wide as a picture; letters that the built-in font lacks become "?"."""
    font = ImageFont.load_default()
    shown = text.encode("latin-1", "replace").decode("latin-1")
    while shown and draw.textlength(shown, font=font) > SIDE:
        shown = shown[:-1]
    draw.text((x, y), shown, fill="black", font=font)
