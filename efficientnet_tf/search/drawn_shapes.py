"""A drawn task for comparing networks: which of ten shapes is in the picture, amid clutter.

Real data that ship with the requirements are 1,797 digits of 8x8 pixels: 179 images of minival are
a coarse measure, and more pixels show nothing new. Drawn pictures are as many as one likes, and
have detail that only more pixels show: a pentagon and a hexagon differ by 12 degrees a corner.
A picture is a function of (seed, split, index) alone.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from efficientnet_tf.errors import RunError, UsageError

# name: (corners, share of the way from the polygon's edge to the centre that the notches go)
SHAPES: Mapping[str, tuple[int, float]] = {
    "circle": (64, 0.0),
    "triangle": (3, 0.0),
    "square": (4, 0.0),
    "pentagon": (5, 0.0),
    "hexagon": (6, 0.0),
    "octagon": (8, 0.0),
    "star4": (4, 0.4),
    "star5": (5, 0.4),
    "star6": (6, 0.4),
    "star8": (8, 0.4),
}
SPLITS = ("train", "minival", "test")
SIDE = 96  # pixels
_RADIUS = (0.18, 0.36)  # of the side
_STRETCH = 0.15  # largest relative change of one axis
_LINES = 2  # of clutter
_GROUND, _SHAPE = (0.0, 0.4), (0.6, 1.0)  # ranges of their colours, on [0, 1]
_NOISE = 0.05  # standard deviation, on [0, 1]


def coverage(corners: int, notch: float, radius: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much of each pixel at (x, y) from the centre a shape covers, in [0, 1].

    By symmetry a star is one triangle, mirrored and turned: the edge from a corner to the next
    notch decides.
    """
    half = np.pi / corners
    angle = np.abs((np.arctan2(y, x) + half) % (2 * half) - half)
    distance = np.hypot(x, y)
    inner = radius * np.cos(half) * (1 - notch)
    edge = np.array([inner * np.cos(half) - radius, inner * np.sin(half)])
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)  # outwards
    outside = (distance * np.cos(angle) - radius) * normal[0] + distance * np.sin(angle) * normal[1]
    return np.clip(0.5 - outside, 0.0, 1.0)


def draw(name: str, generator: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """A picture of a shape, uint8 [side, side, 3]; place, size, turn, colours, lines at random."""
    corners, notch = SHAPES[name]
    radius = side * generator.uniform(*_RADIUS)
    margin = radius * (1 + _STRETCH)
    centre = generator.uniform(margin, side - margin, 2)
    turn = generator.uniform(0, 2 * np.pi)
    stretch = 1 + generator.uniform(-_STRETCH, _STRETCH)
    rows, columns = np.mgrid[0:side, 0:side] + 0.5
    x, y = (columns - centre[0]) * stretch, rows - centre[1]
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    ground, colour = generator.uniform(*_GROUND, 3), generator.uniform(*_SHAPE, 3)
    image = np.broadcast_to(ground, (side, side, 3))
    image = _over(image, colour, coverage(corners, notch, radius, x, y))
    for _ in range(_LINES):
        image = _over(image, generator.uniform(0, 1, 3), _line(generator, rows, columns, side))
    image = image + generator.normal(0, _NOISE, image.shape)
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def _over(image: np.ndarray, colour: np.ndarray, share: np.ndarray) -> np.ndarray:
    return image + share[..., np.newaxis] * (colour - image)


def _line(
    generator: np.random.Generator, rows: np.ndarray, columns: np.ndarray, side: int
) -> np.ndarray:
    """How much of each pixel a line through a random point covers."""
    x, y = generator.uniform(0, side, 2)
    angle = generator.uniform(0, np.pi)
    distance = np.abs((columns - x) * np.sin(angle) - (rows - y) * np.cos(angle))
    return np.clip(side / 128 + 0.5 - distance, 0.0, 1.0)


def pictures(split: str, count: int, seed: int = 0) -> Iterator[tuple[str, str, np.ndarray]]:
    """(name of the shape, name of the file, picture) of a split; shapes take turns."""
    names = list(SHAPES)
    for index in range(count):
        name = names[index % len(names)]
        generator = np.random.default_rng([seed, SPLITS.index(split), index])
        yield name, f"{index:06d}.png", draw(name, generator)


def write(folder: str, counts: Mapping[str, int], seed: int = 0) -> None:
    """Writes FOLDER/SPLIT/SHAPE/NUMBER.png, which `data.source=folder` reads.

    Args:
        counts: pictures of each of train, minival and test, at least one of each shape.
        seed: of all pictures.

    Raises:
        UsageError: a count is too small, or the folder holds something else.
        RunError: it cannot be written.
    """
    for split, count in counts.items():
        if count < len(SHAPES):
            raise UsageError(
                f"{split} must have at least {len(SHAPES)} pictures, one of each shape, received "
                f"{count}."
            )
    if os.path.exists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise UsageError(
            f'"{folder}" is there already. Remove it, or give another folder for the pictures.'
        )
    try:
        for split, count in counts.items():
            for name in SHAPES:
                Path(folder, split, name).mkdir(parents=True, exist_ok=True)
            for name, file, picture in pictures(split, count, seed):
                Image.fromarray(picture).save(Path(folder, split, name, file))
    except OSError as error:
        raise RunError(
            f'the pictures could not be written to "{folder}": {error.strerror}. Make room, remove '
            "what is there and start again."
        ) from error
