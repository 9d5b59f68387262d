"""How many pixels an encoded image says it has, before anything is decoded.

A file of some kilobytes may ask for gigabytes when it is decoded. Graph ops alone, so that an
exported model can refuse one.
"""

from typing import Any

import tensorflow as tf

_HEADER = 30  # bytes; the sizes of all kinds but JPEG lie in the first so many
_STARTS = (b"\x89P", b"GI", b"BM", b"RI")
# Where in the header the numbers lie, the highest byte first: widths and heights, of a WebP those
# of its three kinds: lossy (VP8), lossless (VP8L, 28 bits of one number) and extended (VP8X).
_PLACES = (
    ((16, 17, 18, 19), (20, 21, 22, 23))
    + ((7, 6), (9, 8))
    + ((21, 20, 19, 18), (25, 24, 23, 22))
    + ((27, 26), (29, 28), (24, 23, 22, 21), (26, 25, 24), (29, 28, 27))
)


def _weights() -> list[list[int]]:
    """[numbers, bytes]: what a byte of the header counts in each number."""
    rows = [[0] * _HEADER for _ in _PLACES]
    for row, places in zip(rows, _PLACES, strict=True):
        for power, place in enumerate(reversed(places)):
            row[place] = 256**power
    return rows


def pixel_count_of_others(encoded: tf.Tensor) -> tf.Tensor:
    """As `pixel_count`, of what is no JPEG."""
    header = tf.cast(tf.io.decode_raw(encoded, tf.uint8, fixed_length=_HEADER), tf.int64)
    # All numbers at once: as many operations for each would take longer than a small image.
    numbers = tf.reduce_sum(header * tf.constant(_weights(), tf.int64), axis=1)
    png = numbers[0] * numbers[1]
    gif = numbers[2] * numbers[3]
    height = tf.minimum(numbers[5], tf.abs(numbers[5] - 2**32))  # negative: stored from the top
    bmp = numbers[4] * height
    lossy = (numbers[6] % 2**14) * (numbers[7] % 2**14)
    bits = numbers[8]
    lossless = (bits % 2**14 + 1) * (bits // 2**14 % 2**14 + 1)
    extended = (numbers[9] + 1) * (numbers[10] + 1)
    kind = header[15]
    webp = tf.where(kind == ord("X"), extended, tf.where(kind == ord("L"), lossless, lossy))
    is_kind = tf.strings.substr(encoded, 0, 2) == tf.constant(_STARTS)
    return tf.reduce_sum(tf.stack([png, gif, bmp, webp]) * tf.cast(is_kind, tf.int64))


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

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, lambda: pixel_count_of_others(encoded))
