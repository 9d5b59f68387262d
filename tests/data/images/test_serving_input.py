"""Files in a request: what is decoded, what is refused, and that the message names the place."""

import io
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientnet_tf.data.images.pixel_count import pixel_count
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.images.serving_input import images_of

PREPROCESSING = Preprocessing(16)
PHOTO = (Path(__file__).parents[2] / "golden" / "images").glob("*.jpg").__next__().read_bytes()


def encoded(kind: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **more: Any) -> bytes:
    pixels = np.random.RandomState(0).randint(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **more)
    return file.getvalue()


@pytest.fixture(scope="module")
def request_images() -> Any:
    def images(image_bytes: tf.Tensor) -> tf.Tensor:
        return images_of(image_bytes, PREPROCESSING)

    return tf.function(images, input_signature=[tf.TensorSpec([None], tf.string)])


FILES = {
    "JPEG": encoded("JPEG"),
    "grey JPEG": encoded("JPEG", mode="L"),
    "CMYK": encoded("JPEG", mode="CMYK"),
    "PNG": encoded("PNG"),
    "grey PNG": encoded("PNG", mode="L"),
    "PNG with alpha": encoded("PNG", mode="RGBA"),
    "GIF": encoded("GIF", mode="P"),
    "BMP": encoded("BMP"),
    "photo": PHOTO,
}
if hasattr(tf.io, "decode_webp"):  # TensorFlow reads WebP from 2.21 on
    FILES["WebP"] = encoded("WEBP")


@pytest.mark.parametrize("name", FILES)
def test_each_kind_is_the_eval_path(request_images: Any, name: str) -> None:
    expected = PREPROCESSING.for_eval(tf.constant(FILES[name]))
    np.testing.assert_array_equal(request_images(tf.constant([FILES[name]]))[0], expected)


def test_kinds_may_be_mixed_and_keep_their_order(request_images: Any) -> None:
    batch = request_images(tf.constant(list(FILES.values())))
    for image, file in zip(batch, FILES.values(), strict=True):
        np.testing.assert_array_equal(image, PREPROCESSING.for_eval(tf.constant(file)))


def test_an_empty_batch_is_empty(request_images: Any) -> None:
    assert request_images(tf.constant([], tf.string)).shape == [0, 16, 16, 3]


@pytest.mark.parametrize(
    "bad",
    [b"", b"x", b"GIF89a", PHOTO[:100], PHOTO[: len(PHOTO) // 3], FILES["PNG"][:-40]],
    ids=["empty", "text", "header", "JPEG header", "JPEG", "PNG"],
)
@pytest.mark.parametrize("place", [0, 2])
def test_the_place_of_a_bad_file_is_named(request_images: Any, bad: bytes, place: int) -> None:
    files = [FILES["JPEG"], FILES["PNG"]]
    files.insert(place, bad)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        request_images(tf.constant(files))
    assert f"image_bytes[{place}] cannot be used: it is no JPEG" in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_bomb_is_refused_without_its_memory(request_images: Any, kind: str) -> None:
    file = io.BytesIO()
    Image.new("P" if kind == "GIF" else "RGB", (10_000, 10_000)).save(file, kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\].*67,108,864"):
        request_images(tf.constant([FILES["JPEG"], file.getvalue()]))
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert megabytes < 100, "decoded it takes 300"


# The count of pixels


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("size", [(300, 7), (1, 1), (259, 513)])
def test_pixels_are_counted_from_the_header(kind: str, size: tuple[int, int]) -> None:
    mode = "P" if kind == "GIF" else "RGB"
    assert int(pixel_count(encoded(kind, size, mode))) == size[0] * size[1]


def test_the_other_kinds_of_webp_and_bmp() -> None:
    assert int(pixel_count(encoded("WEBP", (333, 222), lossless=True))) == 333 * 222
    assert int(pixel_count(encoded("WEBP", (333, 222), "RGBA", quality=50))) == 333 * 222
    bmp = bytearray(encoded("BMP", (33, 22)))
    bmp[22:26] = (-22).to_bytes(4, "little", signed=True)  # stored from the top
    assert int(pixel_count(bytes(bmp))) == 33 * 22


def test_what_is_no_image_has_no_pixels() -> None:
    assert int(pixel_count(b"")) == 0
    assert int(pixel_count(b"hello world")) == 0
