"""From a batch of image files to the images a network reads, inside an exported graph.

A server has no Python: what is wrong with a request must be said by the graph itself, with the
place of the image in the batch, and no file may ask for unbounded memory.
"""

from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf.data.images.pixel_count import pixel_count
from efficientnet_tf.data.images.preprocessing import Preprocessing

MAX_PIXELS = 2**26  # 8192 x 8192; 200 MB once decoded
_JPEG_END = b"\xff\xd9"


def images_of(image_bytes: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """The eval path for each file: string [batch] -> float32 [batch, size, size, 3], 0..255.

    An empty batch gives an empty one.

    Raises (from the graph):
        tf.errors.InvalidArgumentError: "image_bytes[3] ..." - the image at this place is none that
            can be decoded, is damaged, cut off, or has more than MAX_PIXELS pixels.
    """
    size = preprocessing.image_size

    def image(encoded: tf.Tensor) -> tf.Tensor:
        return tf.cast(preprocessing.for_eval(encoded), tf.float32)

    def all_good() -> tf.Tensor:
        spec = tf.TensorSpec([size, size, 3], tf.float32)
        return tf.map_fn(image, image_bytes, fn_output_signature=spec)

    # Whole JPEGs, the usual request, are decoded straight on.
    return tf.cond(
        tf.reduce_all(tf.map_fn(_is_usual, image_bytes, fn_output_signature=tf.bool)),
        all_good,
        lambda: _one_by_one(image_bytes, image, size),
    )


def _is_usual(encoded: tf.Tensor) -> tf.Tensor:
    """Whether it is a JPEG of bounded size with an end."""
    padded = tf.strings.join([b"\0\0", encoded])  # substr refuses what is shorter
    ends = tf.strings.substr(padded, -2, 2) == _JPEG_END
    return tf.cond(
        tf.io.is_jpeg(encoded) & ends,
        lambda: pixel_count(encoded) <= MAX_PIXELS,
        lambda: tf.constant(False),
    )


def _one_by_one(
    image_bytes: tf.Tensor, image: Callable[[tf.Tensor], tf.Tensor], size: int
) -> tf.Tensor:
    """The same for any files, by tf.data, which alone can drop what fails; then says which did."""

    def bounded(place: tf.Tensor, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        check = tf.debugging.Assert(pixel_count(encoded) <= MAX_PIXELS, ["too many pixels"])
        with tf.control_dependencies([check]):
            return place, image(encoded)

    files = tf.size(image_bytes, tf.int64)
    decoded = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate().map(bounded)
    # One that is always there: a batch of nothing would be an error.
    end = tf.data.Dataset.from_tensors((files, tf.zeros([size, size, 3])))
    whole = decoded.ignore_errors().concatenate(end).batch(files + 1)
    places, images = whole.get_single_element()
    missing = tf.where(places != tf.range(tf.size(places, tf.int64)))
    complaint = tf.strings.format(
        "image_bytes[{}] cannot be used: it is no JPEG, PNG, BMP, GIF or WebP, is damaged or cut "
        f"off, or has more than {MAX_PIXELS:,} pixels.",
        tf.reduce_min(missing),
    )
    with tf.control_dependencies([tf.debugging.Assert(tf.size(missing) == 0, [complaint])]):
        return tf.ensure_shape(images[:-1], [None, size, size, 3])
