"""EXIF orientation against Pillow's exif_transpose, and against damage."""

import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from efficientnet_tf.data.images import exif
from efficientnet_tf.data.images.decoding import decode
from efficientnet_tf.data.images.preprocessing import Preprocessing

PIXELS = np.random.RandomState(0).randint(0, 256, [6, 9, 3]).astype(np.uint8)
JFIF_END = 20  # two bytes of start, 18 of the JFIF segment that Pillow writes


def jpeg(side: tuple[int, int] = (61, 43), **options: object) -> bytes:
    """A photo-like JPEG without colour subsampling: any crop of it decodes to the same pixels."""
    small = Image.fromarray(PIXELS).resize(side, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    # At higher qualities TensorFlow's fast cosine transform, the official one, is less exact.
    small.save(file, "JPEG", quality=75, subsampling=0, **options)
    return file.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def tiff(order: str, *entries: tuple[int, int, int]) -> bytes:
    """A TIFF header with one directory of (tag, type, value), value 16 bits wide."""
    mark = {"<": b"II", ">": b"MM"}[order]
    header = mark + struct.pack(f"{order}HIH", 42, 8, len(entries))
    body = b"".join(struct.pack(f"{order}HHIHH", tag, kind, 1, v, 0) for tag, kind, v in entries)
    return header + body + bytes(4)


def with_exif(encoded: bytes, payload: bytes, before: bytes = b"", keep_jfif: bool = True) -> bytes:
    assert encoded[2:4] == b"\xff\xe0"
    start = encoded[:JFIF_END] if keep_jfif else encoded[:2]
    return start + before + segment(0xE1, b"Exif\0\0" + payload) + encoded[JFIF_END:]


def oriented(value: int, order: str = ">") -> bytes:
    return tiff(order, (0x010F, 2, 0x4142), (0x0112, 3, value), (0x0128, 3, 2))


def orientation(encoded: bytes) -> int:
    return int(exif.orientation(tf.constant(encoded)))


def as_seen(stored: np.ndarray, value: int) -> np.ndarray:
    """What Pillow makes of stored pixels and an orientation."""
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = value
    return np.asarray(ImageOps.exif_transpose(image))


BEFORE = {
    "nothing": b"",
    "comment": segment(0xFE, b"made by hand"),
    "XMP": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
    "colour profile": 2 * segment(0xE2, b"ICC_PROFILE\0" + bytes(65_000)),
}


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("keep_jfif", [True, False])
def test_orientation_is_found(value: int, order: str, before: str, keep_jfif: bool) -> None:
    encoded = with_exif(jpeg(), oriented(value, order), BEFORE[before], keep_jfif)
    assert Image.open(io.BytesIO(encoded)).getexif()[0x0112] == value  # a valid file, that is
    assert orientation(encoded) == value
    assert not bool(exif.is_plain_jpeg(tf.constant(encoded)))


def test_orientation_as_pillow_writes_it() -> None:
    tags = Image.Exif()
    for value in range(1, 9):
        tags[0x0112], tags[0x010F], tags[0x9003] = value, "maker", "2019:05:28 12:00:00"
        assert orientation(jpeg(exif=tags.tobytes())) == value


def test_files_without_exif_are_upright(photos: list[bytes]) -> None:
    for encoded in [jpeg(), *photos]:
        assert orientation(encoded) == 1
    assert bool(exif.is_plain_jpeg(tf.constant(jpeg())))
    for other in (b"", b"\xff\xd8\xff", jpeg()[:21], b"\x89PNG\r\n\x1a\n" + bytes(30)):
        assert not bool(exif.is_plain_jpeg(tf.constant(other)))


DAMAGED = {
    "no entries": tiff(">"),
    "no orientation": tiff(">", (0x010F, 3, 6)),
    "zero": oriented(0),
    "nine": oriented(9),
    "not a 16-bit number": tiff(">", (0x0112, 2, 6)),
    "directory beyond the file": b"MM\0*" + struct.pack(">I", 100_000),
    "directory at 4 GB": b"MM\0*\xff\xff\xff\xff",
    "more entries than bytes": b"II*\0" + struct.pack("<IH", 8, 65_535),
    "cut off after the byte order": b"MM",
    "empty": b"",
    "other magic number": b"MM\0+" + oriented(6)[4:],
    "other byte order": b"XX" + oriented(6)[2:],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_exif_is_upright(name: str) -> None:
    encoded = with_exif(jpeg(), DAMAGED[name])
    assert orientation(encoded) == 1
    np.testing.assert_array_equal(decode(encoded), decode(encoded, exif_rotation=False))


def test_no_bytes_make_the_search_fail_or_hang() -> None:
    search = tf.function(exif.orientation, input_signature=[tf.TensorSpec([], tf.string)])
    valid = with_exif(jpeg(), oriented(6, "<"))
    draw = random.Random(0)
    seen = set()
    for _ in range(2_000):
        mutated = bytearray(valid[: draw.choice([3, 19, 25, 33, 50, 70, len(valid)])])
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(min(len(mutated), 80))
            mutated[place] = draw.choice([0, 1, 255, draw.randrange(256)])
        seen.add(int(search(tf.constant(bytes(mutated)))))
    assert {1, 6} <= seen <= set(range(1, 9))
    for junk in (b"", b"\xff", b"\xff\xd8\xff\xe1", b"\xff\xd8" + b"\xff\xe0\0\x02" * 500_000):
        assert int(search(tf.constant(junk))) == 1


@pytest.mark.parametrize("value", range(1, 9))
def test_decoded_images_are_turned_as_pillow_turns_them(value: int) -> None:
    encoded = with_exif(jpeg(), oriented(value))
    stored = decode(encoded, exif_rotation=False).numpy()
    assert stored.shape == (43, 61, 3)
    upright = decode(encoded).numpy()
    np.testing.assert_array_equal(upright, as_seen(stored, value))
    pillow = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    assert np.abs(upright.astype(int) - pillow).max() <= 4  # two decoders, not two orientations


@pytest.mark.parametrize("value", range(1, 9))
def test_boxes_are_those_of_the_upright_image(value: int) -> None:
    encoded = with_exif(jpeg(), oriented(value))
    upright = decode(encoded).numpy()
    shapes = []

    def box(shape: tf.Tensor) -> tf.Tensor:
        shapes.append(shape)
        return tf.constant([3, 8, 21, 30])

    np.testing.assert_array_equal(decode(encoded, box), upright[3:24, 8:38])
    assert shapes[0].numpy().tolist() == list(upright.shape)
    # The same crops and flips as of the upright picture, in training and evaluation.
    preprocessing = Preprocessing(32)
    for seed in range(8):
        np.testing.assert_array_equal(
            preprocessing.for_train(encoded, [1, seed]), preprocessing.for_train(upright, [1, seed])
        )
    np.testing.assert_array_equal(preprocessing.for_eval(encoded), preprocessing.for_eval(upright))


@pytest.mark.parametrize("kind", ["PNG", "PNG after the pixels", "WEBP", "WEBP of a camera"])
def test_png_and_webp_are_turned_as_pillow_turns_them(kind: str) -> None:
    picture = Image.fromarray(PIXELS).resize((61, 43))
    for value in range(1, 9):
        tags = Image.Exif()
        tags[0x010F], tags[0x0112] = "maker", value
        file = io.BytesIO()
        options = {"lossless": True} if kind.startswith("WEBP") else {}
        # Pillow strips the six bytes "Exif\0\0" that some cameras write into WebP.
        data = tags.tobytes().removeprefix(b"Exif\0\0")
        data = b"Exif\0\0" + data if kind == "WEBP of a camera" else data
        picture.save(file, kind.split()[0], exif=data, **options)
        encoded = file.getvalue()
        if kind == "PNG after the pixels":  # where exiftool writes it
            start = encoded.index(b"eXIf") - 4
            end = start + 12 + int.from_bytes(encoded[start : start + 4], "big")
            chunk, last = encoded[start:end], encoded.index(b"IEND") - 4
            encoded = encoded[:start] + encoded[end:last] + chunk + encoded[last:]
        assert orientation(encoded) == value
        stored = decode(encoded, exif_rotation=False).numpy()
        np.testing.assert_array_equal(stored, np.asarray(picture))
        np.testing.assert_array_equal(decode(encoded), as_seen(stored, value))
        box = [3, 8, 21, 30]
        cut = decode(encoded, lambda _, box=box: tf.constant(box))
        np.testing.assert_array_equal(cut, as_seen(stored, value)[3:24, 8:38])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_no_bytes_of_other_kinds_make_the_search_fail_or_hang(kind: str) -> None:
    search = tf.function(exif.orientation, input_signature=[tf.TensorSpec([], tf.string)])
    tags = Image.Exif()
    tags[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, exif=tags)
    valid, draw = file.getvalue(), random.Random(0)
    seen = set()
    for _ in range(1_000):
        mutated = bytearray(valid[: draw.choice([2, 9, 13, 19, 25, 45, len(valid), len(valid)])])
        for _ in range(draw.randint(0, 3)):
            mutated[draw.randrange(len(mutated))] = draw.choice([0, 1, 127, 255])
        seen.add(int(search(tf.constant(bytes(mutated)))))
    assert {1, 6} <= seen <= set(range(1, 9))
    many = b"\x89PNG\r\n\x1a\n" + 500_000 * (bytes(4) + b"tEXt" + bytes(4))
    assert int(search(tf.constant(many))) == 1


def test_rotation_can_be_left_out() -> None:
    encoded = with_exif(jpeg(), oriented(6))
    as_stored = Preprocessing(32, exif_rotation=False)
    pixels = decode(encoded, exif_rotation=False)
    np.testing.assert_array_equal(as_stored.for_eval(encoded), as_stored.for_eval(pixels))
    np.testing.assert_array_equal(
        as_stored.for_train(encoded, [1, 2]), as_stored.for_train(pixels, [1, 2])
    )
    assert np.abs(Preprocessing(32).for_eval(encoded) - as_stored.for_eval(encoded)).mean() > 10


def test_tf_data_and_an_exported_model_turn_too(tmp_path: Path) -> None:
    files = [with_exif(jpeg(), oriented(value)) for value in range(1, 9)]
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
