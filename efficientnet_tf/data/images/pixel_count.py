"""How many pixels an encoded image says it has, before anything is decoded.

A file of some kilobytes may ask for gigabytes when it is decoded. Graph ops alone, so that an
exported model can refuse one.
"""

from typing import Any

import tensorflow as tf

_HEADER = 30  # bytes; the sizes of all kinds but JPEG lie in the first so many


def _number(header: tf.Tensor, places: list[int]) -> tf.Tensor:
    """The whole number in the bytes at `places`, the highest first: int64 []."""
    total = tf.constant(0, tf.int64)
    for place in places:
        total = total * 256 + tf.cast(header[place], tf.int64)
    return total


def _webp(header: tf.Tensor) -> tf.Tensor:
    """Of its three kinds: lossy (VP8), lossless (VP8L) and extended (VP8X)."""
    lossy = (_number(header, [27, 26]) % 2**14) * (_number(header, [29, 28]) % 2**14)
    bits = _number(header, [24, 23, 22, 21])
    lossless = (bits % 2**14 + 1) * (bits // 2**14 % 2**14 + 1)
    extended = (_number(header, [26, 25, 24]) + 1) * (_number(header, [29, 28, 27]) + 1)
    kind = header[15]
    return tf.where(kind == ord("X"), extended, tf.where(kind == ord("L"), lossless, lossy))


def _other(encoded: tf.Tensor) -> tf.Tensor:
    header = tf.io.decode_raw(encoded, tf.uint8, fixed_length=_HEADER)
    png = _number(header, [16, 17, 18, 19]) * _number(header, [20, 21, 22, 23])
    gif = _number(header, [7, 6]) * _number(header, [9, 8])
    height = _number(header, [25, 24, 23, 22])
    height = tf.minimum(height, tf.abs(height - 2**32))  # negative: stored from the top
    bmp = _number(header, [21, 20, 19, 18]) * height
    counts = {b"\x89P": png, b"GI": gif, b"BM": bmp, b"RI": _webp(header)}
    magic = tf.strings.substr(encoded, 0, 2)
    count = tf.constant(0, tf.int64)
    for start, pixels in counts.items():
        count = tf.where(magic == start, pixels, count)
    return count


def pixel_count(encoded: Any) -> tf.Tensor:
    """Width times height by the header of an image, int64 []; 0 if it is of no known kind.

    Args:
        encoded: string []: JPEG, PNG, GIF, BMP or WebP. For a GIF, that of the whole screen.

    Raises:
        tf.errors.InvalidArgumentError: a JPEG whose header cannot be read.
    """
    encoded = tf.convert_to_tensor(encoded, tf.string)

    def jpeg() -> tf.Tensor:
        shape = tf.image.extract_jpeg_shape(encoded, output_type=tf.int32)
        return tf.cast(shape[0], tf.int64) * tf.cast(shape[1], tf.int64)

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, lambda: _other(encoded))
