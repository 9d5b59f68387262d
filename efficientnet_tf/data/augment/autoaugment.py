"""AutoAugment v0 and RandAugment: which operations an image gets, with what chance and sign.

An image is uint8 [H, W, 3], already cropped, resized and flipped. All draws are a function of a
seed. `OPS`, `LEVELS` and `POLICY_V0` are the parts, for use alone.

Differences
- from the AutoAugment paper (1805.09501): see levels.py.
- from the RandAugment paper (1909.13719): as in the official code there is no identity among the
  operations, there are Invert, Cutout and SolarizeAdd, and magnitudes may leave the scale.
- from the official TPU code: randomness is a function of the seed (theirs is op state). With
  `bugs="official"`, the default, that is all. With `bugs="fixed"`
  * translations are `fixed_translation` of the side; theirs are pixels of any image, and the 16th
    sub-policy moves a 224 x 224 image out of sight and leaves plain grey;
  * Contrast blends with the mean, Solarize from 256 on (level 10) and Posterize above 8 bits
    leave an image as it is; see ops.py.
  Posterize to 0 bits, in the 23rd sub-policy, keeps 1 bit either way: 0 would be a black image.
- from Keras: that has RandAugment alone, with other operations and scales.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.augment.levels import (
    LEVELS,
    OPERATIONS,
    POLICY_V0,
    RANDAUGMENT_LEVELS,
    Policy,
    check_policy,
    check_randaugment,
)
from efficientnet_tf.data.augment.ops import as_seed
from efficientnet_tf.data.augment.plan import OPS, Plan

__all__ = [
    "LEVELS",
    "OPS",
    "POLICY_V0",
    "RANDAUGMENT_LEVELS",
    "autoaugment",
    "autoaugment_batch",
    "randaugment",
    "randaugment_batch",
]


def autoaugment(
    image: Any, seed: Any, *, policy: Policy = POLICY_V0, bugs: str = "official"
) -> tf.Tensor:
    """Applies one sub-policy, all equally likely, each of its operations with its probability.

    Args:
        image: uint8 [H, W, 3].
        seed: an integer, or two [2]; the result depends on nothing else.
        policy: sub-policies of one length, of operations among `OPERATIONS`.
        bugs: "official" or "fixed", see Differences.

    Returns:
        uint8 [H, W, 3].

    Raises:
        UsageError: an argument is not as said.
    """
    check_policy(policy)
    layers = len(policy[0])
    uniform = _uniform(layers, seed)
    rows = _pick(uniform[0, 0], len(policy)) * layers + tf.range(layers)
    steps = [step for sub_policy in policy for step in sub_policy]
    return Plan(steps, LEVELS, bugs, image).apply(rows, uniform[:, 1:])


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
        seed: an integer, or two [2]; the result depends on nothing else.
        num_layers: the paper's N, at least 1.
        magnitude: the paper's M, the level of all operations, from 0 on; 17 and 28 are official.
        bugs: "official" or "fixed", see Differences.

    Returns:
        uint8 [H, W, 3].

    Raises:
        UsageError: an argument is not as said.
    """
    check_randaugment(num_layers, magnitude)
    uniform = _uniform(num_layers, seed)
    rows = _pick(uniform[:, 0], len(OPERATIONS))
    steps = [(operation, 1.0, magnitude) for operation in OPERATIONS]
    return Plan(steps, RANDAUGMENT_LEVELS, bugs, image).apply(rows, uniform[:, 1:])


def autoaugment_batch(
    images: Any, seed: Any, *, policy: Policy = POLICY_V0, bugs: str = "official"
) -> tf.Tensor:
    """`autoaugment` of uint8 [B, H, W, 3], image i with part i of `stateless_split(seed, B)`."""
    return _map_batch(functools.partial(autoaugment, policy=policy, bugs=bugs), images, seed)


def randaugment_batch(
    images: Any,
    seed: Any,
    num_layers: int = 2,
    magnitude: float = 10,
    *,
    bugs: str = "official",
) -> tf.Tensor:
    """`randaugment` of uint8 [B, H, W, 3], image i with part i of `stateless_split(seed, B)`."""
    augment = functools.partial(randaugment, num_layers=num_layers, magnitude=magnitude, bugs=bugs)
    return _map_batch(augment, images, seed)


def _map_batch(augment: Callable[[Any, Any], tf.Tensor], images: Any, seed: Any) -> tf.Tensor:
    images = tf.convert_to_tensor(images)
    seeds = tf.random.experimental.stateless_split(as_seed(seed), tf.shape(images)[0])
    return tf.map_fn(
        lambda pair: augment(*pair),
        (images, seeds),
        fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8),
    )


def _uniform(layers: int, seed: Any) -> tf.Tensor:
    """[layers, 5] in [0, 1): decides what is chosen, whether applied, its sign, its centre y, x."""
    return tf.random.stateless_uniform([layers, 5], as_seed(seed), alg="philox")


def _pick(uniform: tf.Tensor, count: Any) -> tf.Tensor:
    """Whole numbers below `count`."""
    return tf.cast(uniform * tf.cast(count, tf.float32), tf.int32)
