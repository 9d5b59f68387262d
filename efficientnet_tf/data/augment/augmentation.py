"""The `augment=` of a config: from text to functions of an image and of a data set.

The text is a sum of items, a name each with its options in brackets, such as
`randaugment(num_layers=2, magnitude=17) + random_erasing(probability=0.25) + mixup`. It has
Python's grammar and is read by Python's parser; nothing in it is evaluated. A word for an option
needs no quotes: `autoaugment(bugs=fixed)`.

Differences from the papers, the official TPU code and Keras: see autoaugment.py, erasing.py and
mixup.py; the official code has `augment_name` for the first two and mixup's alpha apart.
"""

import ast
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.augment.autoaugment import autoaugment, randaugment
from efficientnet_tf.data.augment.erasing import Cutout, RandomErasing
from efficientnet_tf.data.augment.levels import check_randaugment
from efficientnet_tf.data.augment.mixup import CutMix, Mixer, Mixup, mix_batches
from efficientnet_tf.data.augment.ops import as_seed, check_bugs
from efficientnet_tf.errors import UsageError, nearest

ImageStep = Callable[[Any, Any], tf.Tensor]  # (uint8 [H, W, 3], seed [2]) -> uint8 [H, W, 3]


@dataclasses.dataclass(frozen=True)
class AutoAugment:
    """`autoaugment` with its policy v0; raises UsageError for an unknown `bugs`."""

    bugs: str = "official"

    def __post_init__(self) -> None:
        check_bugs(self.bugs)

    def __call__(self, image: Any, seed: Any) -> tf.Tensor:
        return autoaugment(image, seed, bugs=self.bugs)


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """`randaugment` with its options; raises UsageError as that does."""

    num_layers: int = 2
    magnitude: float = 10
    bugs: str = "official"

    def __post_init__(self) -> None:
        check_bugs(self.bugs)
        check_randaugment(self.num_layers, self.magnitude)

    def __call__(self, image: Any, seed: Any) -> tf.Tensor:
        return randaugment(image, seed, self.num_layers, self.magnitude, bugs=self.bugs)


IMAGE_STEPS: dict[str, type[Any]] = {
    "autoaugment": AutoAugment,
    "randaugment": RandAugment,
    "cutout": Cutout,
    "random_erasing": RandomErasing,
}
MIXERS: dict[str, type[Any]] = {"mixup": Mixup, "cutmix": CutMix}
NAMES = ("none", *IMAGE_STEPS, *MIXERS)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to training images.

    Attributes:
        spec: the text it was made from.
        steps: of single images, in order.
        mixers: of batches; each batch gets one of them.
    """

    spec: str
    steps: tuple[ImageStep, ...] = ()
    mixers: tuple[Mixer, ...] = ()

    @property
    def image(self) -> ImageStep | None:
        """(uint8 [H, W, 3], seed [2]) -> uint8 [H, W, 3], each step with a seed of its own."""
        if len(self.steps) < 2:
            return self.steps[0] if self.steps else None

        def apply(image: Any, seed: Any) -> tf.Tensor:
            seeds = tf.random.experimental.stateless_split(as_seed(seed), len(self.steps))
            for number, step in enumerate(self.steps):
                image = step(image, seeds[number])
            return image

        return apply

    @property
    def batch(self) -> Callable[..., tf.data.Dataset] | None:
        """(dataset, *, num_classes, seed, first_batch=0, pipeline=0) -> dataset, `mix_batches`."""
        return functools.partial(mix_batches, mixers=self.mixers) if self.mixers else None


def parse_augment(spec: str) -> Augmentation:
    """The augmentation that a text such as "autoaugment" or "cutout(size=16)+mixup" names.

    Args:
        spec: "none", or items joined by "+". Items of images (autoaugment, randaugment, cutout,
            random_erasing) are applied in the order written; mixup and cutmix at most once each.

    Raises:
        UsageError: the text is no such sum, or a name, an option or its value is unknown.
    """
    items = [_item(node, spec) for node in _summands(_tree(spec))]
    names = [name for name, _ in items]
    if "none" in names:
        if len(items) > 1 or items[0][1]:
            raise UsageError(f'augment: "none" stands alone and has no options, received {spec!r}.')
        return Augmentation(spec)
    for name in MIXERS:
        if names.count(name) > 1:
            raise UsageError(f"augment must name {name} at most once, received {spec!r}.")
    return Augmentation(
        spec,
        steps=tuple(_make(IMAGE_STEPS[n], n, o) for n, o in items if n in IMAGE_STEPS),
        mixers=tuple(_make(MIXERS[n], n, o) for n, o in items if n in MIXERS),
    )


def _malformed(spec: object) -> UsageError:
    return UsageError(
        "augment must be names joined by +, options in brackets, such as "
        f"randaugment(num_layers=2, magnitude=10)+mixup, or none; received {spec!r}."
    )


def _tree(spec: str) -> ast.expr:
    if not isinstance(spec, str):
        raise _malformed(spec)
    try:
        return ast.parse(spec.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _malformed(spec) from None


def _summands(node: ast.expr) -> list[ast.expr]:
    """a, b and c of a + b + c."""
    later = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        later.append(node.right)
        node = node.left
    return [node, *reversed(later)]


def _item(node: ast.expr, spec: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a name or a call."""
    call = node if isinstance(node, ast.Call) else None
    name = call.func if call else node
    if not isinstance(name, ast.Name) or (call and call.args):
        raise _malformed(spec)
    if name.id not in NAMES:
        raise UsageError(
            f"augment must name {', '.join(NAMES)}, received {name.id!r}." + nearest(name.id, NAMES)
        )
    options: dict[str, Any] = {}
    for keyword in call.keywords if call else ():
        if keyword.arg is None:
            raise _malformed(spec)
        options[keyword.arg] = _value(keyword.value, spec)
    return name.id, options


def _value(node: ast.expr, spec: str) -> Any:
    if isinstance(node, ast.Name):
        return node.id  # a word without quotes
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise _malformed(spec) from None


def _make(kind: type[Any], name: str, options: dict[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(kind)]
    for option in options:
        if option not in known:
            raise UsageError(
                f"augment: {name} has the options {', '.join(known)}, received {option!r}."
                + nearest(option, known)
            )
    return kind(**options)
