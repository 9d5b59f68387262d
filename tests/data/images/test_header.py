"""Headers against the decoders of TensorFlow, and against files that other programs wrote."""

import base64
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.images.header import FORMATS, ImageHeader, read_header

IMAGES = Path(__file__).parents[2] / "golden" / "images"

# Written by Pillow 13: 7 x 5 pixels (width, height), those with alpha 300 x 2.
WRITTEN = {
    "GIF palette 5x7": ("R0lGODdhBwAFAIEAAMgKHgAAAAAAAAAAACwAAAAABwAFAAAIDAABCBxIsKDBgwcDAgA7"),
    "WEBP RGB 5x7": (
        "UklGRjoAAABXRUJQVlA4IC4AAACQAQCdASoHAAUAAUAmJaACdLoAA5gA/vWJH+N5vNa1v/37S/8Cd/8Cd/0MAAAA"
    ),
    "WEBP RGB 5x7 lossless": ("UklGRh4AAABXRUJQVlA4TBEAAAAvBgABAAdQhSLXo/+BiOh/AAA="),
    "WEBP RGB+alpha 2x300 lossless": ("UklGRh4AAABXRUJQVlA4TBEAAAAvK0EAEAdQhSLXoyiBiOh/AAA="),
    "WEBP RGB+alpha 2x300": (
        "UklGRnQAAABXRUJQVlA4WAoAAAAQAAAAKwEAAQAAQUxQSAoAAAABB1CUiAhERP8DVlA4IEQAAADwAwCd"
        "ASosAQIAPm02mUmkIyKhIagAgA2JaQB2AAAbZ70kCBAgQHwAAP7xlY/+6ABT9n//+4OP+zgf9zgfu250"
        "IAAAAA=="
    ),
    "PNG grey 5x7": (
        "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAAAAACs8akEAAAAFElEQVR4nGN0ZWBgYGBgYGLATwMAC3MA"
        "T/MTZVAAAAAASUVORK5CYII="
    ),
    "PNG grey+alpha 2x300": (
        "iVBORw0KGgoAAAANSUhEUgAAASwAAAACCAQAAABIpSkMAAAAGUlEQVR4nGN01WAYBaOA6oBpoB0wCoYn"
        "AAANaQBxpSTeewAAAABJRU5ErkJggg=="
    ),
    "BMP RGB 5x7": (
        "Qk2uAAAAAAAAADYAAAAoAAAABwAAAAUAAAABABgAAAAAAHgAAADEDgAAxA4AAAAAAAAAAAAAHgrIHgrI"
        "HgrIHgrIHgrIHgrIHgrIAAAAHgrIHgrIHgrIHgrIHgrIHgrIHgrIAAAAHgrIHgrIHgrIHgrIHgrIHgrI"
        "HgrIAAAAHgrIHgrIHgrIHgrIHgrIHgrIHgrIAAAAHgrIHgrIHgrIHgrIHgrIHgrIHgrIAAAA"
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_files_of_another_program(name: str) -> None:
    image_format, colours, size = name.split()[:3]
    height, width = map(int, size.split("x"))
    encoded = base64.b64decode(WRITTEN[name])
    for given in (encoded, io.BytesIO(encoded)):
        assert read_header(given) == ImageHeader(image_format, height, width, colours)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png(channels: int, dtype: type) -> None:
    image = np.zeros([300, 5, channels], dtype)
    colours = {1: "grey", 2: "grey+alpha", 3: "RGB", 4: "RGB+alpha"}[channels]
    deep = " 16-bit" if dtype == np.uint16 else ""
    header = read_header(tf.io.encode_png(image).numpy())
    assert header == ImageHeader("PNG", 300, 5, colours + deep)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(channels: int, progressive: bool) -> None:
    image = np.zeros([300, 5, channels], np.uint8)
    encoded = tf.io.encode_jpeg(image, progressive=progressive, xmp_metadata="x" * 1000).numpy()
    colours = {1: "grey", 3: "RGB"}[channels]
    assert read_header(encoded) == ImageHeader("JPEG", 300, 5, colours)


def test_cmyk_jpeg() -> None:
    encoded = tf.io.encode_jpeg(np.zeros([30, 5, 3], np.uint8)).numpy()
    frame = encoded.index(b"\xff\xc0")
    four = encoded[: frame + 9] + b"\x04" + encoded[frame + 10 :]
    assert read_header(four) == ImageHeader("JPEG", 30, 5, "CMYK")


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.jpg")), ids=lambda path: path.name)
def test_photos(path: Path) -> None:
    encoded = path.read_bytes()
    height, width, channels = tf.image.extract_jpeg_shape(encoded).numpy()
    colours = {1: "grey", 3: "RGB"}[channels]
    assert read_header(encoded) == ImageHeader("JPEG", height, width, colours)


def test_many_pixels_are_only_counted() -> None:
    png = bytearray(base64.b64decode(WRITTEN["PNG grey 5x7"]))
    png[16:24] = struct.pack(">II", 60_000, 50_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    assert read_header(bytes(png)) == ImageHeader("PNG", 50_000, 60_000, "grey")


def test_what_is_no_image() -> None:
    for encoded in (b"", b"\xff", b"<html>", b"II*\x00", b"RIFF....WAVE", bytes(100)):
        assert read_header(encoded) is None
    assert FORMATS == ("JPEG", "PNG", "GIF", "BMP", "WEBP")


def test_cut_and_damaged_headers_never_fail() -> None:
    whole = [path.read_bytes()[:700] for path in IMAGES.glob("*.jpg")]
    whole += [base64.b64decode(text) for text in WRITTEN.values()]
    random = np.random.RandomState(0)
    for encoded in whole:
        for end in range(len(encoded)):
            header = read_header(encoded[:end])
            assert header is None or header.format in FORMATS
        for _ in range(200):
            damaged = bytearray(encoded)
            damaged[random.randint(len(encoded))] = random.randint(256)
            header = read_header(bytes(damaged))
            assert header is None or header.format in FORMATS
    assert read_header(b"\xff\xd8\xff\xe0\x00\x10JFIF") == ImageHeader("JPEG")
    assert read_header(b"\xff\xd8\xff\xd9") == ImageHeader("JPEG")
    assert read_header(b"\xff\xd8\xff\xe0\x00\x02nothing") == ImageHeader("JPEG")
