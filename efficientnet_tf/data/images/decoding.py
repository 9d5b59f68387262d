"""From the bytes of an image file to uint8 pixels, or to those of a box chosen by its size.

Graph ops alone, so the same in `tf.data` and in an exported model. TensorFlow's decoders are
asked for what they do well; this file owns what they leave out.

Differences
- from the official TPU code, which reads JPEG: PNG, BMP, GIF and WebP too; EXIF turns them.
- from `tf.io.decode_image`: opaque animated WebP gives its first frame (there it overruns memory:
  seen with TensorFlow 2.21), WebP with alpha loses the alpha (there an error if 3 channels are
  asked for), 8-bit BMP shows its palette (there the palette's indices), compressed BMP is an
  error (there noise).
- from Pillow: 16-bit grey PNG keeps the high byte (there cut off at 255).
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.data.images import exif
from efficientnet_tf.data.images.pixel_count import pixel_count_of_others
from efficientnet_tf.errors import UsageError

# A box is int32 [4]: top, left, height, width, in pixels. An image shape is int32 [3]: h, w, c.
ChooseBox = Callable[[tf.Tensor], tf.Tensor]

MAX_PIXELS = 2**29 // 3  # TensorFlow's own limit, which it looks at late
_WEBP_FLAGS = 20  # place in the file of the flags of an extended WebP
_WEBP_ANIMATED, _WEBP_ALPHA = 0x02, 0x10
_WEBP_PIXELS = 2**26  # of an animation: TensorFlow makes room for all frames before it reads one
_BMP_HEADERS = (40, 124)  # bytes: from Windows 3 to BITMAPV5HEADER
_BMP_PALETTE = 4 * 256
_BMP_MASKS = b"\0\0\xff\0\0\xff\0\0\xff\0\0\0"  # red, green, blue; little-endian


def whole_box(image_shape: tf.Tensor) -> tf.Tensor:
    """The box that keeps everything."""
    return tf.stack([0, 0, image_shape[0], image_shape[1]])


def _number(data: tf.Tensor, start: int, size: int) -> tf.Tensor:
    """The whole number in `size` bytes from `start` on, lowest first: int64 []."""
    digits = tf.cast(data[start : start + size], tf.int64)
    return tf.reduce_sum(digits * [256**place for place in range(size)])


def _slice(image: tf.Tensor, choose_box: ChooseBox) -> tf.Tensor:
    box = choose_box(tf.shape(image))
    crop = tf.slice(image, [box[0], box[1], 0], [box[2], box[3], 3])
    return tf.ensure_shape(crop, [None, None, 3])


def _crop_jpeg(encoded: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    crop = tf.image.decode_and_crop_jpeg(encoded, box, channels=3)
    return tf.ensure_shape(crop, [None, None, 3])


def _decode_turned_jpeg(encoded: tf.Tensor, choose_box: ChooseBox) -> tf.Tensor:
    orientation = exif.orientation_of_jpeg(encoded)
    shape = exif.upright_shape(tf.image.extract_jpeg_shape(encoded), orientation)
    box = exif.stored_box(choose_box(shape), shape, orientation)
    return exif.turn(_crop_jpeg(encoded, box), orientation)


def _decode_webp(encoded: tf.Tensor) -> tf.Tensor:
    """Drops alpha. An animation is called one with alpha first, or TensorFlow overruns memory:
    it decodes every animation to four channels, and makes room for three if none is declared."""
    header = tf.io.decode_raw(encoded, tf.uint8, fixed_length=30)
    extended = tf.reduce_all(header[12:16] == list(b"VP8X"))
    animated = tf.bitwise.bitwise_and(header[_WEBP_FLAGS], _WEBP_ANIMATED) != 0

    def with_alpha() -> tf.Tensor:
        width, height = _number(header, 24, 3) + 1, _number(header, 27, 3) + 1
        complaint = (
            f"An animated WebP must have at most {_WEBP_PIXELS} pixels; save its first frame as "
            "PNG. Width and height here:"
        )
        readable = width * height <= _WEBP_PIXELS
        with tf.control_dependencies([tf.debugging.Assert(readable, [complaint, width, height])]):
            start = tf.strings.substr(encoded, 0, _WEBP_FLAGS)
        rest = tf.strings.substr(encoded, _WEBP_FLAGS + 1, tf.strings.length(encoded))
        return tf.strings.join([start, bytes([_WEBP_ANIMATED | _WEBP_ALPHA]), rest])

    encoded = tf.cond(extended & animated, with_alpha, lambda: encoded)
    return tf.io.decode_image(encoded, expand_animations=False)[..., :3]


def _decode_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """Looks 8-bit pixels up in the file's palette and refuses what TensorFlow would misread."""
    header = tf.io.decode_raw(encoded, tf.uint8, fixed_length=14 + _BMP_HEADERS[1] + _BMP_PALETTE)
    size, bits = _number(header, 14, 4), _number(header, 28, 2)
    compression = _number(header, 30, 4)
    # Compression 3 is none, but names the bits of each colour, here to be those of compression 0.
    usual = (compression == 3) & (bits == 32) & tf.reduce_all(header[54:66] == list(_BMP_MASKS))
    known = (size >= _BMP_HEADERS[0]) & (size <= _BMP_HEADERS[1])
    has_palette = _number(header, 10, 4) >= 14 + size + 4  # where the pixels begin
    readable = known & (((bits == 8) & has_palette) | (bits == 24) | (bits == 32))
    readable &= (compression == 0) | usual
    complaint = (
        "A BMP must have 8 bits per pixel and a palette, 24 or 32, no compression (0) and a header "
        f"of {_BMP_HEADERS[0]} to {_BMP_HEADERS[1]} bytes; convert it to PNG. Its values:"
    )

    def look_up() -> tf.Tensor:
        entries = tf.reshape(tf.slice(header, [14 + size], [_BMP_PALETTE]), [256, 4])
        palette = tf.reverse(entries[:, :3], [1])  # stored as blue, green, red, nothing
        return tf.gather(palette, tf.cast(tf.image.decode_bmp(encoded)[..., 0], tf.int32))

    check = tf.debugging.Assert(readable, [complaint, bits, compression, size])
    with tf.control_dependencies([check]):
        return tf.cond(bits == 8, look_up, lambda: tf.image.decode_bmp(encoded)[..., :3])


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    magic = tf.strings.substr(encoded, 0, 2)
    image = tf.cond(
        magic == b"BM",
        lambda: _decode_bmp(encoded),
        lambda: tf.cond(
            magic == b"RI",
            lambda: _decode_webp(encoded),
            lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
        ),
    )
    return tf.ensure_shape(image, [None, None, 3])


def _decode_turned(encoded: tf.Tensor, choose_box: ChooseBox, rotate: bool) -> tf.Tensor:
    image = _decode_other(_of_bounded_size(encoded))
    if rotate:
        image = exif.turn(image, exif.orientation_of_others(encoded))
    return _slice(image, choose_box)


def _of_bounded_size(encoded: tf.Tensor) -> tf.Tensor:
    """The same, looked at before TensorFlow makes room for what it then refuses."""
    pixels = pixel_count_of_others(encoded)
    complaint = f"An image must have at most {MAX_PIXELS} pixels; make it smaller. Pixels here:"
    check = tf.debugging.Assert(pixels <= MAX_PIXELS, [complaint, pixels])
    with tf.control_dependencies([check]):
        return tf.identity(encoded)


def _decode_unusual(encoded: tf.Tensor, choose_box: ChooseBox, rotate: bool) -> tf.Tensor:
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: _decode_turned_jpeg(encoded, choose_box),
        lambda: _decode_turned(encoded, choose_box, rotate),
    )


def _apart(branch: Callable[[], tf.Tensor]) -> tf.Tensor:
    """Calls `branch` so that it costs nothing where it is not taken.

    TensorFlow puts the nodes of both branches of a condition into one graph and visits those of
    the wrong one, too, as "dead": 30 microseconds here. A function that is not inlined is one node.
    """
    if tf.executing_eagerly():
        return branch()
    return tf.function(branch, autograph=False, experimental_attributes={"_noinline": True})()


def decode(
    image: Any, choose_box: ChooseBox = whole_box, *, exif_rotation: bool = True
) -> tf.Tensor:
    """The part of `image` that `choose_box` wants, uint8 [h, w, 3].

    `image` is a scalar string (JPEG, PNG, BMP, GIF, and WebP if this TensorFlow reads it) or uint8
    [H, W, 3]. Grey is repeated over the channels, alpha is dropped, 16 bits become the higher 8,
    CMYK becomes RGB, an animation gives its first frame. Of a JPEG only the crop is decoded, which
    near its border is not always bit-equal to a crop of the decoded whole.

    With `exif_rotation` the image is as the EXIF data of its JPEG, PNG or WebP file say that it is
    to be seen, and the box is one of this upright image; without, as it is stored.

    Raises:
        UsageError: `image` is neither.
        tf.errors.InvalidArgumentError: the bytes are not an image, are damaged, or are of a kind
            that is not read (a BMP of under 8 or of 16 bits, or a compressed one, or any of more
            than MAX_PIXELS).
    """
    image = tf.convert_to_tensor(image)
    if image.dtype == tf.string and image.shape.rank in (0, None):
        # The usual file takes a short way: the ways of the others are some two hundred nodes.
        usual = exif.is_plain_jpeg(image) if exif_rotation else tf.io.is_jpeg(image)
        return tf.cond(
            usual,
            lambda: _crop_jpeg(image, choose_box(tf.image.extract_jpeg_shape(image))),
            lambda: _apart(lambda: _decode_unusual(image, choose_box, exif_rotation)),
        )
    if image.dtype == tf.uint8 and image.shape.is_compatible_with([None, None, 3]):
        return _slice(image, choose_box)
    raise UsageError(
        "image must be a scalar string (an encoded image) or uint8 [height, width, 3], received "
        f"{image.dtype.name} of shape {image.shape}. Cast or decode it first."
    )
