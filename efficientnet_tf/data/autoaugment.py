"""AutoAugment v0 and RandAugment: which operations an image gets, how strong, with what chance.

A policy is data: sub-policies of (operation, probability, level), of which an image gets one.
Levels count from 0 to 10; RandAugment's magnitude may go beyond. An image is uint8 [H, W, 3],
already cropped, resized and flipped. All draws are a function of a seed [2].

Speed: the draws pick rows of a constant table, one `tf.switch_case` per layer picks the operation
and its strength is a tensor. So the graph holds an operation once per layer, not once per
sub-policy, and an image only pays for what it gets.

Differences
- from the AutoAugment paper (1805.09501): policy, levels and grey fill are those of the official
  EfficientNet code, which trained the published weights.
- from the RandAugment paper (1909.13719): as in the official code there is no identity among the
  operations, there are Invert, Cutout and SolarizeAdd, and magnitudes may leave the scale.
- from the official TPU code: randomness is a function of the seed (theirs is op state). With
  `bugs="official"`, the default, that is all. With `bugs="fixed"`
  * translations are L / 10 * 150 / 331 of the side, and at most 150 / 331: the 150 pixels of the
    AutoAugment paper, of an image of 331. Theirs are L / 10 * 250 pixels of any image, 100 in
    RandAugment; the 16th sub-policy moves a 224 x 224 image out of sight and leaves plain grey;
  * Contrast blends with the mean, Solarize from 256 on (level 10) and Posterize above 8 bits
    leave an image as it is; see augment_ops.py.
  Posterize to 0 bits, in the 23rd sub-policy, keeps 1 bit either way: 0 would be a black image.
- from Keras: that has RandAugment alone, with other operations and scales.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from efficientnet_tf.data import augment_ops as ops
from efficientnet_tf.errors import UsageError, nearest

Step = tuple[str, float, float]  # operation, probability, level
Policy = Sequence[Sequence[Step]]  # sub-policies, the steps of one applied in turn
Augment = Callable[[Any, Any], tf.Tensor]  # (uint8 [H, W, 3], seed [2]) -> uint8 [H, W, 3]

AUGMENTATIONS = ("none", "autoaugment", "randaugment")
MAX_LEVEL = 10.0

# The official code's "v0", found on ImageNet.
POLICY_V0: Policy = (
    (("Equalize", 0.8, 1), ("ShearY", 0.8, 4)),
    (("Color", 0.4, 9), ("Equalize", 0.6, 3)),
    (("Color", 0.4, 1), ("Rotate", 0.6, 8)),
    (("Solarize", 0.8, 3), ("Equalize", 0.4, 7)),
    (("Solarize", 0.4, 2), ("Solarize", 0.6, 2)),
    (("Color", 0.2, 0), ("Equalize", 0.8, 8)),
    (("Equalize", 0.4, 8), ("SolarizeAdd", 0.8, 3)),
    (("ShearX", 0.2, 9), ("Rotate", 0.6, 8)),
    (("Color", 0.6, 1), ("Equalize", 1.0, 2)),
    (("Invert", 0.4, 9), ("Rotate", 0.6, 0)),
    (("Equalize", 1.0, 9), ("ShearY", 0.6, 3)),
    (("Color", 0.4, 7), ("Equalize", 0.6, 0)),
    (("Posterize", 0.4, 6), ("AutoContrast", 0.4, 7)),
    (("Solarize", 0.6, 8), ("Color", 0.6, 9)),
    (("Solarize", 0.2, 4), ("Rotate", 0.8, 9)),
    (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9)),
    (("ShearX", 0.0, 0), ("Solarize", 0.8, 4)),
    (("ShearY", 0.8, 0), ("Color", 0.6, 4)),
    (("Color", 1.0, 0), ("Rotate", 0.6, 2)),
    (("Equalize", 0.8, 4), ("Equalize", 0.0, 8)),
    (("Equalize", 1.0, 4), ("AutoContrast", 0.6, 2)),
    (("ShearY", 0.4, 7), ("SolarizeAdd", 0.6, 7)),
    (("Posterize", 0.8, 2), ("Solarize", 0.6, 10)),
    (("Solarize", 0.6, 8), ("Equalize", 0.6, 1)),
    (("Color", 0.8, 6), ("Rotate", 0.4, 5)),
)


@dataclasses.dataclass(frozen=True)
class Scale:
    """What level 10 means where AutoAugment and RandAugment disagree, in pixels."""

    translate: float
    cutout: float  # half the side of the square


AUTOAUGMENT_SCALE = Scale(translate=250.0, cutout=100.0)
RANDAUGMENT_SCALE = Scale(translate=100.0, cutout=40.0)
FIXED_TRANSLATE = 150 / 331  # of the side, for bugs="fixed"

# In the order of the official RandAugment.
_FUNCTIONS: dict[str, Callable[..., tf.Tensor]] = {
    "AutoContrast": ops.auto_contrast,
    "Equalize": ops.equalize,
    "Invert": ops.invert,
    "Rotate": ops.rotate,
    "Posterize": ops.posterize,
    "Solarize": ops.solarize,
    "Color": ops.color,
    "Contrast": ops.contrast,
    "Brightness": ops.brightness,
    "Sharpness": ops.sharpness,
    "ShearX": ops.shear_x,
    "ShearY": ops.shear_y,
    "TranslateX": ops.translate_x,
    "TranslateY": ops.translate_y,
    "Cutout": ops.cutout,
    "SolarizeAdd": ops.solarize_add,
}
OPERATIONS = tuple(_FUNCTIONS)
_WITHOUT_STRENGTH = ("AutoContrast", "Equalize", "Invert")
_WITH_BUGS = ("Posterize", "Solarize", "Contrast")
_TRANSLATED_AXIS = {"TranslateX": 1, "TranslateY": 0}
_SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")


def level_to_strength(
    operation: str, level: float, scale: Scale = AUTOAUGMENT_SCALE, *, bugs: str = "official"
) -> float | None:
    """The argument of `operation` at `level`, before its random sign; None if it takes none.

    Degrees, bits, threshold, factor, shear, pixels or half a side, see augment_ops.py. With
    bugs="fixed" a translation is a fraction of the side. Levels may be above 10.
    """
    fraction = level / MAX_LEVEL
    if operation in _WITHOUT_STRENGTH:
        return None
    if operation in _TRANSLATED_AXIS:
        if bugs == "fixed":
            return min(fraction, 1.0) * FIXED_TRANSLATE
        return fraction * scale.translate
    if operation == "Rotate":
        return fraction * 30.0
    if operation in ("ShearX", "ShearY"):
        return fraction * 0.3
    whole = {"Posterize": 4, "Solarize": 256, "SolarizeAdd": 110, "Cutout": scale.cutout}
    if operation in whole:
        return int(fraction * whole[operation])
    return fraction * 1.8 + 0.1  # of the blends; level 0 is nearly the other image


def autoaugment(
    image: Any, seed: Any, *, policy: Policy = POLICY_V0, bugs: str = "official"
) -> tf.Tensor:
    """Applies one sub-policy, all equally likely, each of its operations with its probability.

    Args:
      image: uint8 [H, W, 3].
      seed: two integers [2]; the result depends on nothing else.
      policy: sub-policies of one length, of operations among `OPERATIONS`.
      bugs: "official" or "fixed", see Differences.

    Returns:
      uint8 [H, W, 3].

    Raises:
      UsageError: an argument is not as said.
    """
    _check_policy(policy)
    layers = len(policy[0])
    uniform = _uniform(layers, seed)
    rows = _pick(uniform[0, 0], len(policy)) * layers + tf.range(layers)
    steps = [step for sub_policy in policy for step in sub_policy]
    return _apply(image, uniform, rows, steps, AUTOAUGMENT_SCALE, bugs)


def randaugment(
    image: Any,
    seed: Any,
    num_layers: int = 2,
    magnitude: float = 10,
    *,
    bugs: str = "official",
) -> tf.Tensor:
    """Applies `num_layers` operations in turn, each any of the 16 `OPERATIONS`.

    Args:
      image: uint8 [H, W, 3].
      seed: two integers [2]; the result depends on nothing else.
      num_layers: the paper's N, at least 1.
      magnitude: the paper's M, the level of all operations, from 0 on; 17 and 28 are official.
      bugs: "official" or "fixed", see Differences.

    Returns:
      uint8 [H, W, 3].

    Raises:
      UsageError: an argument is not as said.
    """
    _check_randaugment(num_layers, magnitude)
    uniform = _uniform(num_layers, seed)
    rows = _pick(uniform[:, 0], len(OPERATIONS))
    steps = [(operation, 1.0, magnitude) for operation in OPERATIONS]
    return _apply(image, uniform, rows, steps, RANDAUGMENT_SCALE, bugs)


def autoaugment_batch(
    images: Any, seed: Any, *, policy: Policy = POLICY_V0, bugs: str = "official"
) -> tf.Tensor:
    """`autoaugment` of uint8 [B, H, W, 3], image i with part i of `stateless_split(seed, B)`."""
    images = tf.convert_to_tensor(images)
    seeds = tf.random.experimental.stateless_split(seed, tf.shape(images)[0])
    return tf.map_fn(
        lambda pair: autoaugment(*pair, policy=policy, bugs=bugs),
        (images, seeds),
        fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8),
    )


def get_augment(
    name: str, *, num_layers: int = 2, magnitude: float = 10, bugs: str = "official"
) -> Augment | None:
    """The augmentation to hand to a pipeline, (image, seed) -> image; None for "none".

    `name` is one of `AUGMENTATIONS`; `num_layers` and `magnitude` are RandAugment's. Raises
    UsageError for a name that is not, or another argument that is not as `randaugment` says.
    """
    if name not in AUGMENTATIONS:
        raise UsageError(
            f"augment must be one of {', '.join(AUGMENTATIONS)}, got {name!r}."
            + nearest(str(name), AUGMENTATIONS)
        )
    ops.check_bugs(bugs)
    _check_randaugment(num_layers, magnitude)
    if name == "autoaugment":
        return functools.partial(autoaugment, bugs=bugs)
    if name == "randaugment":
        return functools.partial(randaugment, num_layers=num_layers, magnitude=magnitude, bugs=bugs)
    return None


def _uniform(layers: int, seed: Any) -> tf.Tensor:
    """[layers, 5] in [0, 1): decides what is chosen, whether applied, its sign, its centre y, x."""
    return tf.random.stateless_uniform([layers, 5], seed, alg="philox")


def _pick(uniform: tf.Tensor, count: Any) -> tf.Tensor:
    """Whole numbers below `count`."""
    return tf.cast(uniform * tf.cast(count, tf.float32), tf.int32)


def _apply(
    image: Any,
    uniform: tf.Tensor,
    rows: tf.Tensor,
    steps: Sequence[Step],
    scale: Scale,
    bugs: str,
) -> tf.Tensor:
    """Applies one of `steps` per layer, in layer i that of number rows[i]."""
    image = ops.as_image(image)
    ops.check_bugs(bugs)
    names = [name for name in OPERATIONS if any(name == step[0] for step in steps)]
    strengths = [
        level_to_strength(name, level, scale, bugs=bugs) or 0.0 for name, _, level in steps
    ]
    signed = [name in _SIGNED for name, _, _ in steps]
    # Branch 0 leaves an image alone, as do a turn and a shift by nothing.
    branches = [
        0 if is_signed and strength == 0 else 1 + names.index(name)
        for (name, _, _), strength, is_signed in zip(steps, strengths, signed, strict=True)
    ]

    def of_rows(values: Sequence[Any], dtype: tf.DType) -> tf.Tensor:
        return tf.gather(tf.constant(values, dtype), rows)

    applied = uniform[:, 1] + of_rows([step[1] for step in steps], tf.float32) >= 1.0
    branch = tf.where(applied, of_rows(branches, tf.int32), 0)
    negative = of_rows(signed, tf.bool) & (uniform[:, 2] < 0.5)
    strength = of_rows(strengths, tf.float32) * tf.where(negative, -1.0, 1.0)
    centre = _pick(uniform[:, 3:], tf.shape(image)[:2])
    for layer in range(uniform.shape[0]):
        image = _switch(branch[layer], names, image, strength[layer], centre[layer], bugs)
    return image


def _switch(
    branch: tf.Tensor,
    names: Sequence[str],
    image: tf.Tensor,
    strength: tf.Tensor,
    centre: tf.Tensor,
    bugs: str,
) -> tf.Tensor:
    """The image for branch 0, else operation number branch - 1 of it."""

    def call(name: str) -> tf.Tensor:
        arguments = [] if name in _WITHOUT_STRENGTH else [strength]
        if name in _TRANSLATED_AXIS and bugs == "fixed":
            side = tf.shape(image)[_TRANSLATED_AXIS[name]]
            arguments = [strength * tf.cast(side, tf.float32)]
        if name == "Cutout":
            arguments += tf.unstack(centre)
        options = {"bugs": bugs} if name in _WITH_BUGS else {}
        return _FUNCTIONS[name](image, *arguments, **options)

    calls = [functools.partial(call, name) for name in names]
    result = tf.switch_case(branch, [lambda: tf.identity(image), *calls])
    result.set_shape(image.shape)
    return result


def _check_policy(policy: Policy) -> None:
    lengths = {len(sub_policy) for sub_policy in policy}
    if len(lengths) != 1 or 0 in lengths:
        raise UsageError(
            "policy must have sub-policies, all of one length of at least 1, got lengths "
            f"{sorted(lengths)}. Fill up with operations of probability 0."
        )
    for operation, probability, level in (step for sub_policy in policy for step in sub_policy):
        if operation not in OPERATIONS:
            raise UsageError(
                f"policy must name operations among {', '.join(OPERATIONS)}, got {operation!r}."
                + nearest(str(operation), OPERATIONS)
            )
        if not 0 <= probability <= 1 or not 0 <= level < math.inf:
            raise UsageError(
                "policy must have probabilities from 0 to 1 and levels from 0 on, got "
                f"{probability} and {level} for {operation}."
            )


def _check_randaugment(num_layers: int, magnitude: float) -> None:
    if isinstance(num_layers, bool) or not isinstance(num_layers, int) or num_layers < 1:
        raise UsageError(f"num_layers must be a whole number of at least 1, got {num_layers!r}.")
    if not 0 <= magnitude < math.inf:
        raise UsageError(f"magnitude must be from 0 on; 10 is the scale's top, got {magnitude!r}.")
