"""From an encoded image, or a uint8 one, to the [size, size, 3] the model reads, in 0..255.

Training takes the Inception crop (Szegedy et al. 2015, as the EfficientNet code does), evaluation
a centre crop; both resize with TensorFlow 1's bicubic kernel. Nothing here divides by 255: the
model normalises.

Differences
- from the paper: none; section 5.2 does not describe preprocessing.
- from the official TPU code: crops and flips are a function of a seed handed in, not of op state;
  `eval_crop="padding"` (the rule its published accuracies were made with) is the default, its
  present rule is `"fraction"`; other formats than JPEG are read, and EXIF turns images, unless
  `exif_rotation=False`; an image too small for a centre crop of one pixel keeps one pixel; if
  the crop sampler gives up, the centre crop follows `interpolation` (theirs is bicubic whatever
  was asked for).
- from keras.applications: that has no crop, and resizes with TensorFlow 2's bicubic, whose pixels
  differ (half-pixel centres, A = -0.5).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.images.decoding import ChooseBox, decode, whole_box
from efficientnet_tf.errors import UsageError, nearest, whole_number

TRAIN_CROPS = ("inception", "pad", "none")
EVAL_CROPS = ("padding", "fraction", "none")
IMAGE_DTYPES = ("float32", "uint8")
# Legacy kernels are raw ops because tf.image.resize of TensorFlow 2 always centres on half pixels.
_RESIZE = {
    "bicubic_tf1": (tf.raw_ops.ResizeBicubic, False),  # no half-pixel centres, A = -0.75
    "bicubic": (tf.raw_ops.ResizeBicubic, True),  # TensorFlow 2's, A = -0.5
    "bilinear": (tf.raw_ops.ResizeBilinear, False),  # TensorFlow 1's
}
INTERPOLATIONS = tuple(_RESIZE)

SHIFT = 8  # train_crop="pad" adds size / SHIFT pixels on each side: 4 for CIFAR's 32
CROP_PADDING = 32  # pixels; the centre crop is size / (size + 32) of the shorter side


def centre_box(image_shape: tf.Tensor, fraction: float) -> tf.Tensor:
    """A centred square, `fraction` of the shorter side rounded down, at least one pixel."""
    height, width = image_shape[0], image_shape[1]
    shorter = tf.cast(tf.minimum(height, width), tf.float32)
    side = tf.maximum(tf.cast(fraction * shorter, tf.int32), 1)  # float32, as recorded boxes need
    return tf.stack([(height - side + 1) // 2, (width - side + 1) // 2, side, side])


def inception_box(image_shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A random box of 8% to 100% of the area and aspect 3/4 to 4/3, a function of `seed` [2].

    No box is under 10% of the image: `min_object_covered` is taken of an object that is the whole
    image. TensorFlow's sampler draws aspect and height uniformly, so small areas are more likely
    than in samplers that draw the area. After 10 failed attempts the box is the whole image.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        image_shape,
        bounding_boxes=[[[0.0, 0.0, 1.0, 1.0]]],
        seed=seed,
        min_object_covered=0.1,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], axis=0)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Clips to 0..255 and cuts the fraction off, as the official code does before augmentation."""
    if image.dtype == tf.uint8:
        return image
    clipped = tf.raw_ops.ClipByValue(t=image, clip_value_min=0.0, clip_value_max=255.0)  # one pass
    return tf.cast(clipped, tf.uint8)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How an image is cropped and resized; checked once, when made.

    Attributes:
        image_size: side of the output in pixels.
        train_crop: "inception" (random crop), "pad" (the whole image is resized, padded with black
            by an eighth of the size and cropped at random: the usual shift of small images), or
            "none" (the whole image is resized).
        flip: mirror left-right half of the training images.
        eval_crop: "padding" (centre square of size / (size + 32) of the shorter side, the rule of
            2019 that the published accuracies were made with), "fraction" (`crop_fraction` of it,
            the official rule since 2021), or "none" (the whole image is resized).
        crop_fraction: for `eval_crop="fraction"`, above 0 and at most 1.
        interpolation: "bicubic_tf1" (the official kernel, may overshoot 0..255), "bicubic"
            (TensorFlow 2's) or "bilinear" (TensorFlow 1's).
        image_dtype: "float32" keeps fractions and overshoot; "uint8" clips and truncates, a quarter
            of the bytes.
        exif_rotation: images that a camera has marked as lying on their side are turned upright
            before anything else, see `exif`.

    Raises:
        UsageError: a field has a value outside these.
    """

    image_size: int
    train_crop: str = "inception"
    flip: bool = True
    eval_crop: str = "padding"
    crop_fraction: float = 0.875
    interpolation: str = "bicubic_tf1"
    image_dtype: str = "float32"
    exif_rotation: bool = True

    @classmethod
    def of(cls, image_size: int, settings: Any) -> "Preprocessing":
        """What a DataConfig, an InputContract or the like says in fields named as those here.

        Fields that `settings` does not have, or has None for, keep their default.
        """
        said = {each.name: getattr(settings, each.name, None) for each in dataclasses.fields(cls)}
        return cls(image_size, **{name: value for name, value in said.items() if value is not None})

    def __post_init__(self) -> None:
        size = self.image_size
        if whole_number(size) is None:
            raise UsageError(
                f"image_size must be a whole number of pixels above 0, received {size!r}."
            )
        if not 0 < self.crop_fraction <= 1:
            raise UsageError(
                f"crop_fraction must be above 0 and at most 1, received {self.crop_fraction!r}; "
                "the official value is 0.875."
            )
        _check_choice("train_crop", self.train_crop, TRAIN_CROPS)
        _check_choice("eval_crop", self.eval_crop, EVAL_CROPS)
        _check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        _check_choice("image_dtype", self.image_dtype, IMAGE_DTYPES)

    @property
    def random_in_training(self) -> bool:
        """Whether `for_train` depends on its seed."""
        return self.train_crop != "none" or self.flip

    def eval_box(self, image_shape: tf.Tensor) -> tf.Tensor:
        """The box that evaluation keeps, int32 [4]: top, left, height, width."""
        if self.eval_crop == "none":
            return whole_box(image_shape)
        padding = CROP_PADDING
        if self.eval_crop == "fraction":
            # The official code turns the fraction into whole pixels of padding; so do we, or its
            # recorded boxes (447 of 512 at size 300) would be off by one.
            padding = round(self.image_size * (1 / self.crop_fraction - 1))
        return centre_box(image_shape, self.image_size / (self.image_size + padding))

    def train_box(self, image_shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The box that training keeps, int32 [4]; if the sampler fails, the box of evaluation."""
        if self.train_crop != "inception":
            return whole_box(image_shape)
        box = inception_box(image_shape, seed)
        failed = tf.reduce_all(box[2:] == image_shape[:2])
        return tf.cond(failed, lambda: self.eval_box(image_shape), lambda: box)

    def for_train(self, image: Any, seed: Any) -> tf.Tensor:
        """Random crop and flip, both functions of `seed`, an integer tensor [2].

        `image` as in `decode`. Returns [size, size, 3] of `image_dtype`, range 0..255 (float32
        also a little beyond, where the bicubic kernel overshoots). Raises as `decode`.
        """
        # One type, as TensorFlow draws other numbers from an int32 seed than from an equal int64.
        seeds = tf.random.experimental.stateless_split(tf.cast(seed, tf.int64), 2)
        crop = self._decode(image, lambda shape: self.train_box(shape, seeds[0]))
        resized = self._resize(crop)
        if self.train_crop == "pad":
            resized = self._shift(resized, seeds[0])
        resized = self._finish(resized)
        if self.flip:
            mirror = tf.random.stateless_uniform([], seeds[1], 0, 2, tf.int32) == 1
            resized = tf.cond(mirror, lambda: tf.reverse(resized, [1]), lambda: resized)
        return resized

    def for_eval(self, image: Any) -> tf.Tensor:
        """Centre crop. Arguments, result and errors as `for_train`, without the seed."""
        return self._finish(self._resize(self._decode(image, self.eval_box)))

    def _decode(self, image: Any, choose_box: ChooseBox) -> tf.Tensor:
        return decode(image, choose_box, exif_rotation=self.exif_rotation)

    def _shift(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        width = self.image_size // SHIFT
        offset = tf.random.stateless_uniform([2], seed, 0, 2 * width + 1, tf.int32)
        padded = tf.pad(image, [[width, width], [width, width], [0, 0]])
        return tf.slice(padded, [offset[0], offset[1], 0], [self.image_size, self.image_size, 3])

    def _resize(self, crop: tf.Tensor) -> tf.Tensor:
        kernel, half_pixel_centers = _RESIZE[self.interpolation]
        # The kernels convert each pixel as often as they read it; converted before, once, the
        # bicubic one is a tenth faster. The result is the same, bit for bit.
        return kernel(
            images=tf.cast(crop, tf.float32)[tf.newaxis],
            size=[self.image_size, self.image_size],
            align_corners=False,
            half_pixel_centers=half_pixel_centers,
        )[0]

    def _finish(self, image: tf.Tensor) -> tf.Tensor:
        image = tf.ensure_shape(image, [self.image_size, self.image_size, 3])
        return to_uint8(image) if self.image_dtype == "uint8" else image


def preprocess_for_eval(
    encoded_bytes: Any,
    size: int,
    crop: str = "padding",
    resize: str = "bicubic_tf1",
    *,
    crop_fraction: float = 0.875,
    exif_rotation: bool = True,
) -> tf.Tensor:
    """What evaluation shows the model of an encoded image: float32 [size, size, 3].

    `crop` is one of EVAL_CROPS: "padding" is the rule of the paper's time (32 pixels around),
    "fraction" the present official one. `resize` is one of INTERPOLATIONS. Range and errors as
    `Preprocessing.for_eval`, which this calls.
    """
    preprocessing = Preprocessing(
        size,
        eval_crop=crop,
        interpolation=resize,
        crop_fraction=crop_fraction,
        exif_rotation=exif_rotation,
    )
    return preprocessing.for_eval(encoded_bytes)


def preprocess_for_train(
    encoded_bytes: Any,
    size: int,
    seed: int | Sequence[int] | tf.Tensor,
    crop: str = "inception",
    resize: str = "bicubic_tf1",
    *,
    flip: bool = True,
    exif_rotation: bool = True,
) -> tf.Tensor:
    """A random crop of an encoded image, half of the time mirrored: float32 [size, size, 3].

    `seed` is a whole number or two; the result is a function of it. `crop` is one of TRAIN_CROPS,
    `resize` one of INTERPOLATIONS. Range and errors as `Preprocessing.for_train`, which this calls.
    """
    preprocessing = Preprocessing(
        size, train_crop=crop, interpolation=resize, flip=flip, exif_rotation=exif_rotation
    )
    seed = tf.convert_to_tensor(seed)
    if not seed.dtype.is_integer or seed.shape not in ([], [2]):
        raise UsageError(
            "seed must be a whole number or two of them, received "
            f"{seed.dtype.name} of shape {seed.shape}."
        )
    if seed.shape.rank == 0:
        seed = tf.stack([tf.zeros_like(seed), seed])
    return preprocessing.for_train(encoded_bytes, seed)


def _check_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        known = ", ".join(f'"{choice}"' for choice in choices)
        raise UsageError(
            f"{field} must be one of {known}, received {value!r}." + nearest(str(value), choices)
        )
