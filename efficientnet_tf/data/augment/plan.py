"""What AutoAugment and RandAugment have in common: drawn steps as a graph that is fast to run.

A step is an operation with a probability and a level. `Plan` lays steps out as rows of a constant
table; a draw picks a row for each layer, and `apply` runs what the row says, one operation per
layer. `OPS` is every operation under its name.

Speed, of what each image costs besides its operations:
- a layer runs one branch as a function call. `tf.switch_case` would do, but TensorFlow turns it
  into a graph in which the nodes of all branches are visited: 25 us more per layer;
- if the size of images is known when the graph is made, so are the pixels that a turn, shear or
  shift reads, and only the reading is left.

Differences
- from the AutoAugment and RandAugment papers and the official TPU code: none of its own; see
  ops.py, geometry.py and levels.py.
- from Keras: that draws operations in Python or with one `cond` each.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.augment import geometry, ops
from efficientnet_tf.data.augment.levels import (
    SIGNED,
    TRANSLATIONS,
    WITHOUT_ARGUMENT,
    Levels,
    Step,
    fixed_translation,
)

# Of a branch: (image, float32 [argument, number of the map, _, _, centre y, centre x], maps).
# The centre is only there if a branch is Cutout.
_Call = Callable[..., tf.Tensor]


def _ignoring_argument(function: Callable[[Any], tf.Tensor]) -> Callable[..., tf.Tensor]:
    @functools.wraps(function)
    def call(image: Any, argument: Any = None) -> tf.Tensor:
        return function(image)

    return call


# OPS[operation](image, argument), the argument being degrees, bits and so on, see LEVELS. Cutout
# also takes a centre; Posterize, Solarize and Contrast also take bugs="fixed".
OPS: Mapping[str, Callable[..., tf.Tensor]] = {
    "AutoContrast": _ignoring_argument(ops.auto_contrast),
    "Equalize": _ignoring_argument(ops.equalize),
    "Invert": _ignoring_argument(ops.invert),
    "Rotate": geometry.rotate,
    "Posterize": ops.posterize,
    "Solarize": ops.solarize,
    "Color": ops.color,
    "Contrast": ops.contrast,
    "Brightness": ops.brightness,
    "Sharpness": ops.sharpness,
    "ShearX": geometry.shear_x,
    "ShearY": geometry.shear_y,
    "TranslateX": geometry.translate_x,
    "TranslateY": geometry.translate_y,
    "Cutout": geometry.cutout,
    "SolarizeAdd": ops.solarize_add,
}
_WITH_BUGS = ("Posterize", "Solarize", "Contrast")


class Plan:
    """Steps for one image, of which some are drawn and applied.

    Args:
        steps: operations with probability and level.
        levels: from level to argument.
        bugs: "official" or "fixed", see ops.py; a fixed translation is a share of the side.
        image: uint8 [H, W, 3].

    Raises:
        UsageError: `bugs` or `image` is not as said.
    """

    def __init__(self, steps: Sequence[Step], levels: Levels, bugs: str, image: Any) -> None:
        ops.check_bugs(bugs)
        self._bugs = bugs
        self._image = ops.as_image(image)
        self._calls: dict[str, _Call] = {"": lambda image, values, *maps: tf.identity(image)}
        # Of the maps, the pixels that an operation reads: its name and signed argument.
        self._mapped: list[tuple[str, np.float32]] = []
        # Two rows per step, the second for the negative sign: argument (of a fixed translation the
        # share of the side), number of its map, probability, number of its branch.
        self._table = [row for step in steps for row in self._rows(step, levels)]

    def apply(self, rows: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """The image after step number rows[i] in layer i.

        Args:
            rows: int32 [layers].
            uniform: [layers, 4] in [0, 1): decides whether applied, the sign, the centre y, x.
        """
        rows = 2 * rows + tf.cast(uniform[:, 1] < 0.5, tf.int32)
        values = tf.gather(tf.constant(self._table, tf.float32), rows)
        applied = uniform[:, 0] + values[:, 2] >= 1.0
        branch = tf.cast(tf.where(applied, values[:, 3], 0.0), tf.int32)
        if "Cutout" in self._calls:
            sides = tf.cast(tf.shape(self._image)[:2], tf.float32)
            values = tf.concat([values, tf.floor(uniform[:, 2:] * sides)], axis=1)
        maps = self._maps()
        image = self._image
        run = self._runner([image, values[0], *maps])
        for layer in range(uniform.shape[0]):
            image = run(branch[layer], [image, values[layer], *maps])
        return image

    def _rows(self, step: Step, levels: Levels) -> list[list[float]]:
        name, probability, level = step
        fixed = name in TRANSLATIONS and self._bugs == "fixed"
        argument = fixed_translation(level) if fixed else levels[name](level) or 0.0
        signed, first_map, branch = name in SIGNED, 0, name
        height, width = self._image.shape[:2]
        # Eagerly a map would be made for a single image: no gain.
        mappable = not tf.executing_eagerly() and height is not None and width is not None
        if signed and argument == 0:
            branch = ""  # a turn or shift by nothing
        elif name in TRANSLATIONS and float(argument).is_integer():
            branch = f"{name} by whole pixels"
            self._calls[branch] = functools.partial(_translate_whole, name)
        elif signed and mappable:
            branch = "map"
            self._calls[branch] = _read_map
            first_map = len(self._mapped)
            side = (width if name == "TranslateX" else height) if fixed else 1
            positive = np.float32(argument) * np.float32(side)
            self._mapped += [(name, positive), (name, -positive)]
        else:
            self._calls[branch] = functools.partial(_operate, name, self._bugs)
        number = list(self._calls).index(branch)
        return [
            [
                -argument if signed and negative else argument,
                first_map + negative,
                probability,
                number,
            ]
            for negative in (0, 1)
        ]

    def _maps(self) -> list[tf.Tensor]:
        """None or one int32 [maps, H, W] of `pixel_numbers`, made at once, not in the graph."""
        if not self._mapped:
            return []
        size = self._image.shape[:2]
        with tf.init_scope(), tf.device("CPU:0"):
            matrices = [geometry.MATRICES[name](tf.constant(a), *size) for name, a in self._mapped]
            return [tf.stack([geometry.pixel_numbers(matrix, *size) for matrix in matrices])]

    def _runner(self, inputs: list[tf.Tensor]) -> Callable[..., tf.Tensor]:
        """A function of the number of a branch and `inputs` such as these."""
        calls = list(self._calls.values())
        shape = self._image.shape
        if tf.executing_eagerly():
            return lambda branch, values: calls[int(branch)](*values)
        specs = [tf.TensorSpec(value.shape, value.dtype) for value in inputs]
        branches = [
            tf.function(call, autograph=False).get_concrete_function(*specs) for call in calls
        ]

        def run(branch: tf.Tensor, values: list[tf.Tensor]) -> tf.Tensor:
            (image,) = tf.raw_ops.Case(
                branch_index=branch,
                input=values,
                Tout=[tf.uint8],
                branches=branches,
                output_shapes=[shape],
            )
            return tf.ensure_shape(image, shape)

        return run


def _operate(
    name: str, bugs: str, image: tf.Tensor, values: tf.Tensor, *maps: tf.Tensor
) -> tf.Tensor:
    arguments = [] if name in WITHOUT_ARGUMENT else [values[0]]
    if name in TRANSLATIONS and bugs == "fixed":
        side = tf.shape(image)[1 if name == "TranslateX" else 0]
        arguments = [values[0] * tf.cast(side, tf.float32)]
    if name == "Cutout":
        arguments += tf.unstack(values[4:])
    options = {"bugs": bugs} if name in _WITH_BUGS else {}
    return OPS[name](image, *arguments, **options)


def _translate_whole(name: str, image: tf.Tensor, values: tf.Tensor, *maps: tf.Tensor) -> tf.Tensor:
    return OPS[name](image, tf.cast(values[0], tf.int32))


def _read_map(image: tf.Tensor, values: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    return geometry.read_pixels(image, tf.gather(maps, tf.cast(values[1], tf.int32)))
