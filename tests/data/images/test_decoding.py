"""Every kind of image file, made by Pillow and compared with what Pillow shows."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientnet_tf.data.images.decoding import decode, whole_box
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.errors import UsageError

# TensorFlow reads WebP from 2.21 on.
READS_WEBP = hasattr(tf.io, "decode_webp")
NOISE = Image.fromarray(np.random.RandomState(0).randint(0, 256, [11, 14, 3]).astype(np.uint8))
SMOOTH = NOISE.resize((60, 44), Image.Resampling.BICUBIC)
OTHER = SMOOTH.transpose(Image.Transpose.ROTATE_180)
TRANSPARENT = SMOOTH.copy()
TRANSPARENT.putalpha(Image.linear_gradient("L").resize(SMOOTH.size))
GREY_ALPHA = SMOOTH.convert("L").convert("LA")
GREY_ALPHA.putalpha(77)
ANIMATION = {"save_all": True, "append_images": [OTHER]}
PALETTE = SMOOTH.quantize(200)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def opened(encoded: bytes) -> np.ndarray:
    """What Pillow shows of the file."""
    return rgb(Image.open(io.BytesIO(encoded)))


LOSSLESS = {
    "png": (encode(SMOOTH, "PNG"), rgb(SMOOTH)),
    "png, alpha": (encode(TRANSPARENT, "PNG"), rgb(TRANSPARENT)),
    "png, grey": (encode(SMOOTH.convert("L"), "PNG"), rgb(SMOOTH.convert("L"))),
    "png, grey, alpha": (encode(GREY_ALPHA, "PNG"), rgb(SMOOTH.convert("L"))),
    "png, 1 bit": (encode(SMOOTH.convert("1"), "PNG"), rgb(SMOOTH.convert("1"))),
    "png, palette": (encode(PALETTE, "PNG"), rgb(PALETTE)),
    "png, 4-bit palette": (encode(SMOOTH.quantize(9), "PNG"), rgb(SMOOTH.quantize(9))),
    "png, palette, see-through": (encode(PALETTE, "PNG", transparency=3), rgb(PALETTE)),
    "png, animated": (encode(SMOOTH, "PNG", **ANIMATION), rgb(SMOOTH)),
    "bmp": (encode(SMOOTH, "BMP"), rgb(SMOOTH)),
    "bmp, alpha": (encode(TRANSPARENT, "BMP"), rgb(TRANSPARENT)),
    "bmp, grey": (encode(SMOOTH.convert("L"), "BMP"), rgb(SMOOTH.convert("L"))),
    "bmp, palette": (encode(PALETTE, "BMP"), rgb(PALETTE)),
    "gif": (encode(PALETTE, "GIF"), rgb(PALETTE)),
    "gif, grey": (encode(SMOOTH.convert("L"), "GIF"), rgb(SMOOTH.convert("L"))),
    "gif, animated": (encode(PALETTE, "GIF", save_all=True, append_images=[OTHER]), rgb(PALETTE)),
    "webp": (encode(SMOOTH, "WEBP", lossless=True), rgb(SMOOTH)),
    "webp, lossy": (encoded := encode(SMOOTH, "WEBP"), opened(encoded)),
    "webp, alpha": (encode(TRANSPARENT, "WEBP", lossless=True, exact=True), rgb(TRANSPARENT)),
    "webp, lossy, alpha": (encoded := encode(TRANSPARENT, "WEBP", exact=True), opened(encoded)),
    "webp, animated": (encode(SMOOTH, "WEBP", lossless=True, **ANIMATION), rgb(SMOOTH)),
    "webp, animated, alpha": (
        encode(TRANSPARENT, "WEBP", lossless=True, exact=True, **ANIMATION),
        None,  # an animation is drawn on its canvas: where nothing is seen there is no colour
    ),
}
LOSSLESS = {name: case for name, case in LOSSLESS.items() if READS_WEBP or "webp" not in name}


@pytest.mark.parametrize("name", LOSSLESS)
def test_pixels_are_those_that_were_saved(name: str) -> None:
    encoded, pixels = LOSSLESS[name]
    image = decode(encoded).numpy()
    if pixels is None:
        seen = np.asarray(TRANSPARENT)[..., 3] > 0
        np.testing.assert_array_equal(image[seen], rgb(TRANSPARENT)[seen])
    else:
        np.testing.assert_array_equal(image, pixels)
    # As from the pixels themselves: the crop of the format is the crop of the image.
    preprocessing = Preprocessing(16)
    np.testing.assert_array_equal(
        preprocessing.for_train(encoded, [1, 2]), preprocessing.for_train(image, [1, 2])
    )


def test_a_see_through_gif_shows_its_colours_elsewhere() -> None:
    image = decode(encode(PALETTE, "GIF", transparency=3)).numpy()
    opaque = np.asarray(PALETTE) != 3
    assert 0 < (~opaque).sum() < opaque.sum()
    np.testing.assert_array_equal(image[opaque], rgb(PALETTE)[opaque])


def test_16_bits_keep_the_higher_8() -> None:
    deep = np.random.RandomState(1).randint(0, 2**16, [20, 30, 3]).astype(np.uint16)
    np.testing.assert_array_equal(decode(tf.io.encode_png(deep)), deep >> 8)
    grey = decode(encode(Image.fromarray(deep[..., 0]), "PNG"))
    np.testing.assert_array_equal(grey, np.repeat(deep[..., :1] >> 8, 3, axis=-1))


def ycck(photo: Image.Image) -> bytes:
    """A JPEG with the colours of `photo` as Photoshop stores CMYK: luma, chroma and black.

    Pillow writes CMYK only, inverted and marked as Adobe's; its mark says "not transformed" (0),
    so planes that are transformed already become such a file by marking them as that (2).
    """
    cmyk = np.asarray(photo.convert("CMYK"))
    planes = Image.fromarray(cmyk[..., :3]).convert("YCbCr")  # of C, M, Y as if R, G, B
    stored = np.dstack([np.asarray(planes), 255 - cmyk[..., 3]])
    encoded = bytearray(
        encode(Image.frombytes("CMYK", photo.size, (255 - stored).tobytes()), "JPEG")
    )
    mark = encoded.index(b"\xff\xee\x00\x0eAdobe")
    assert encoded[mark + 15] == 0
    encoded[mark + 15] = 2
    return bytes(encoded)


JPEGS = {
    "baseline": encode(SMOOTH, "JPEG", quality=95),
    "progressive": encode(SMOOTH, "JPEG", quality=95, progressive=True),
    "4:4:4": encode(SMOOTH, "JPEG", quality=95, subsampling=0),
    "grey": encode(SMOOTH.convert("L"), "JPEG", quality=95),
    "RGB, not transformed": encode(SMOOTH, "JPEG", quality=95, keep_rgb=True),
    "CMYK": encode(SMOOTH.convert("CMYK"), "JPEG", quality=95),
    "YCCK": ycck(SMOOTH),
}


@pytest.mark.parametrize("name", JPEGS)
def test_jpegs_look_as_in_pillow(name: str) -> None:
    # TensorFlow's default, the official choice, is a fast cosine transform that rounds coarsely;
    # with the exact one the colours are Pillow's, so nothing else differs.
    encoded = JPEGS[name]
    exact = tf.image.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    assert np.abs(exact.numpy().astype(int) - opened(encoded)).max() <= 1
    np.testing.assert_array_equal(decode(encoded), tf.image.decode_jpeg(encoded, channels=3))


def test_cmyk_is_not_inverted() -> None:
    for name in ("CMYK", "YCCK"):
        image = decode(JPEGS[name]).numpy().astype(int)
        assert np.abs(image - rgb(SMOOTH)).mean() < 5  # levels: what quality 95 loses
        assert np.abs(255 - image - rgb(SMOOTH)).mean() > 50


@pytest.mark.parametrize("name", JPEGS)
def test_part_of_a_jpeg_is_that_part(name: str) -> None:
    def box(_: tf.Tensor) -> tf.Tensor:
        return tf.constant([10, 7, 25, 40])

    crop = decode(JPEGS[name], box).numpy().astype(int)
    whole = decode(JPEGS[name]).numpy()
    assert crop.shape == (25, 40, 3)
    # Colours at half resolution are smoothed across the border of the crop; its inside is exact.
    np.testing.assert_array_equal(crop[2:-2, 2:-2], whole[12:33, 9:45])


def bmp(bits: int = 24, compression: int = 0, header: int = 40, pixels_at: int = 54) -> bytes:
    fixed = struct.pack("<IiiHHIIiiII", header, 8, 8, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 2_000, 0, 0, pixels_at) + fixed + bytes(1_500)


@pytest.fixture(scope="module")
def in_a_graph() -> tf.types.experimental.PolymorphicFunction:
    """Evaluation's preprocessing, traced once for all."""
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(Preprocessing(16).for_eval, input_signature=signature)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (encode(SMOOTH.convert("1"), "BMP"), "A BMP must have 8 bits per pixel and a palette"),
        (bmp(bits=16), "A BMP must have"),
        (bmp(bits=8, compression=1, pixels_at=1078), "A BMP must have"),
        (bmp(bits=8), "A BMP must have 8 bits per pixel and a palette"),
        (bmp(bits=32, compression=3), "A BMP must have"),  # with other masks than usual
        (bmp(header=12), "A BMP must have"),
        (b"BM", "A BMP must have"),
        (encode(SMOOTH, "TIFF"), "Unknown image file format"),
        (b"hello", "Unknown image file format"),
        (b"RIFF", "Unknown image file format|WebP"),
        (b"", "Input is empty"),
        (JPEGS["baseline"][:200], "(?i)jpeg|invalid"),
        (LOSSLESS["png"][0][:200], "(?i)png"),
    ],
)
def test_what_cannot_be_read_is_a_data_error(
    encoded: bytes, message: str, in_a_graph: tf.types.experimental.PolymorphicFunction
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(encoded)
    dataset = tf.data.Dataset.from_tensors(encoded).map(in_a_graph)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        next(iter(dataset))


@pytest.mark.skipif(not READS_WEBP, reason="this TensorFlow does not read WebP")
def test_an_animation_of_gigabytes_is_refused() -> None:
    encoded = bytearray(LOSSLESS["webp, animated"][0])
    encoded[24:30] = b"\xff\x3f\0\xff\x1f\0"  # 16384 x 8192, half a gigabyte a frame
    with pytest.raises(tf.errors.InvalidArgumentError, match="An animated WebP must have at most"):
        decode(bytes(encoded))


@pytest.mark.parametrize("kind", ["png", "bmp", "webp"])
def test_an_image_of_gigabytes_is_refused_by_its_header(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind, **({"lossless": True} if kind == "webp" else {}))
    encoded = bytearray(file.getvalue())
    if kind == "png":
        encoded[16:24] = struct.pack(">II", 20_000, 20_000)
        checksum = struct.pack(">I", zlib.crc32(encoded[12:29]))
        encoded[29:33] = checksum
    elif kind == "bmp":
        encoded[18:26] = struct.pack("<ii", 20_000, -20_000)
    else:
        encoded[21:25] = struct.pack("<I", 0x3FFF | 0x3FFF << 14)
    for exif_rotation in (True, False):
        with pytest.raises(tf.errors.InvalidArgumentError, match="An image must have at most"):
            decode(bytes(encoded), exif_rotation=exif_rotation)


def test_32_bit_bmp_with_the_usual_masks_is_read() -> None:
    pixels = np.asarray(TRANSPARENT)[..., [2, 1, 0, 3]][::-1]
    fixed = struct.pack("<IiiHHIIiiII", 40, 60, 44, 1, 32, 3, 0, 0, 0, 0, 0)
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    encoded = b"BM" + struct.pack("<IHHI", 66 + pixels.size, 0, 0, 66) + fixed + masks
    np.testing.assert_array_equal(decode(encoded + pixels.tobytes()), rgb(TRANSPARENT))


def test_mutated_files_are_read_or_refused() -> None:
    # TensorFlow crashes on opaque animated WebP as it is (2.21); this test would not survive it.
    read = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])
    draw = random.Random(0)
    files = [encoded for encoded, _ in LOSSLESS.values()] + list(JPEGS.values())
    outcomes = {"read": 0, "refused": 0}
    for number in range(30 * len(files)):
        mutated = bytearray(files[number % len(files)])
        del mutated[draw.choice([len(mutated), draw.randrange(20, len(mutated))]) :]
        for _ in range(draw.randint(1, 4)):
            # From byte 26 on, so that the stated size stays: decoding gigabytes takes long.
            mutated[draw.randrange(min(26, len(mutated) - 1), len(mutated))] ^= draw.randint(1, 255)
        try:
            assert read(tf.constant(bytes(mutated))).shape[-1] == 3
            outcomes["read"] += 1
        except tf.errors.InvalidArgumentError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 50, outcomes


def test_tf_data_and_an_exported_model_read_them_all(tmp_path: Path) -> None:
    files = [encoded for encoded, _ in LOSSLESS.values()] + list(JPEGS.values())
    preprocessing = Preprocessing(24, image_dtype="uint8")
    expected = [preprocessing.for_eval(encoded).numpy() for encoded in files]
    mapped = tf.data.Dataset.from_tensor_slices(files).map(preprocessing.for_eval)
    np.testing.assert_array_equal(list(mapped.as_numpy_iterator()), expected)
    module = tf.Module()
    module.serve = tf.function(
        lambda batch: tf.map_fn(preprocessing.for_eval, batch, fn_output_signature=tf.uint8),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path))
    np.testing.assert_array_equal(
        tf.saved_model.load(str(tmp_path)).serve(tf.constant(files)), expected
    )


def test_pixels_are_taken_as_they_are() -> None:
    np.testing.assert_array_equal(decode(rgb(SMOOTH)), rgb(SMOOTH))
    assert whole_box(tf.constant([5, 7, 3])).numpy().tolist() == [0, 0, 5, 7]


@pytest.mark.parametrize("image", [np.zeros([4, 4, 3], np.float32), np.zeros([4, 4, 1], np.uint8)])
def test_other_inputs_are_refused(image: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"image must be a scalar string .* of shape \(4, 4, "):
        decode(image)
