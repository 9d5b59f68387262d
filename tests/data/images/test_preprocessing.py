"""Preprocessing against what the official code produced (golden/preprocess*)."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import ks_2samp

from efficientnet_tf.data.images.decoding import decode
from efficientnet_tf.data.images.preprocessing import (
    Preprocessing,
    centre_box,
    inception_box,
    preprocess_for_eval,
    preprocess_for_train,
    to_uint8,
)
from efficientnet_tf.errors import UsageError

GOLDEN = Path(__file__).parents[2] / "golden"
RECORD = json.loads((GOLDEN / "preprocess.json").read_text())
with np.load(GOLDEN / "preprocess_eval.npz") as archive:
    EVAL = dict(archive)
BOXES = np.load(GOLDEN / "preprocess_train_boxes.npz")


def photo(name: str) -> bytes:
    return (GOLDEN / "images" / f"{name}.jpg").read_bytes()


def official(key: str) -> tuple[str, Preprocessing]:
    """(image, the preprocessing that an archive key `image|size|method` was recorded with)."""
    name, size, method = key.split("|")
    interpolation = {"bicubic": "bicubic_tf1", "bilinear": "bilinear"}[method]
    return name, Preprocessing(int(size), eval_crop="fraction", interpolation=interpolation)


@pytest.mark.parametrize("key", sorted(EVAL))
def test_eval_pixels_are_the_official_ones(key: str) -> None:
    name, preprocessing = official(key)
    image = preprocessing.for_eval(photo(name)).numpy()
    if EVAL[key].shape != image.shape:
        image = image[::5, ::5]  # the archive keeps every 5th row and column of these
    # Bit-equal with TF 2.21 on x86; 1e-4 of 255 leaves room for fused multiply-adds elsewhere.
    np.testing.assert_allclose(image, EVAL[key], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", [k.split("|")[0] for k in EVAL if k.endswith("224|bicubic")])
def test_default_rule_is_the_same_at_224(name: str) -> None:
    # 224 / (224 + 32) = 0.875: the one size at which the rules of 2019 and 2021 agree.
    image = Preprocessing(224).for_eval(photo(name)).numpy()
    np.testing.assert_allclose(image, EVAL[f"{name}|224|bicubic"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", sorted(RECORD["images"]))
def test_eval_boxes_are_the_official_ones(name: str) -> None:
    height, width = RECORD["images"][name]["height_width"]
    for method, box in RECORD["images"][name]["eval"].items():
        _, preprocessing = official(f"{name}|{method.replace('_', '|')}")
        assert preprocessing.eval_box(tf.constant([height, width, 3])).numpy().tolist() == box


# The published accuracies' rule, as a share of the shorter side.
@pytest.mark.parametrize(
    ("size", "share"),
    [
        *[(224, 0.875), (240, 0.8824), (260, 0.8904), (300, 0.9036), (380, 0.9223)],
        *[(456, 0.9344), (528, 0.9429), (600, 0.9494), (672, 0.9545), (800, 0.9615)],
    ],
)
def test_padding_rule(size: int, share: float) -> None:
    top, left, height, width = (
        Preprocessing(size).eval_box(tf.constant([100_000, 120_001, 3])).numpy().tolist()
    )
    assert height == width == pytest.approx(share * 100_000, abs=6)  # the table has 4 digits
    assert (top, left) == ((100_000 - height + 1) // 2, (120_001 - width + 1) // 2)


def test_whole_image_rule_and_tiny_images() -> None:
    shape = tf.constant([30, 45, 3])
    assert Preprocessing(64, eval_crop="none").eval_box(shape).numpy().tolist() == [0, 0, 30, 45]
    assert centre_box(tf.constant([1, 1, 3]), 0.875).numpy().tolist() == [0, 0, 1, 1]
    assert Preprocessing(8).for_eval(tf.fill([1, 1, 3], tf.constant(9, tf.uint8))).shape[0] == 8


def test_tf1_bicubic_kernel() -> None:
    # Without half-pixel centres, doubling puts every other sample half-way between two pixels,
    # where the cubic with A = -0.75 weighs 0.59375 (near) and -0.09375 (far).
    image = np.zeros([8, 8, 3], np.uint8)
    image[:, 4] = 100
    whole = Preprocessing(16, eval_crop="none").for_eval(image).numpy()
    np.testing.assert_allclose(whole[0, 5:12, 0], [-9.375, 0, 59.375, 100, 59.375, 0, -9.375])


def test_other_interpolations() -> None:
    image = np.random.RandomState(0).randint(0, 256, [37, 53, 3]).astype(np.uint8)
    tf2 = Preprocessing(16, eval_crop="none", interpolation="bicubic").for_eval(image)
    np.testing.assert_allclose(tf2, tf.image.resize(image, [16, 16], "bicubic"), atol=1e-4)
    tf1 = Preprocessing(16, eval_crop="none").for_eval(image)
    assert np.abs(tf1 - tf2).mean() > 30  # not the same kernel by far
    legacy = tf.compat.v1.image.resize_bilinear(image[np.newaxis], [16, 16])[0]
    bilinear = Preprocessing(16, eval_crop="none", interpolation="bilinear").for_eval(image)
    np.testing.assert_allclose(bilinear, legacy, atol=1e-4)


def draw_boxes(shape: tuple[int, int], count: int, seed: int) -> np.ndarray:
    image_shape = tf.constant([*shape, 3])
    draws = tf.data.Dataset.range(count).map(
        lambda i: inception_box(image_shape, tf.stack([tf.constant(seed, tf.int64), i]))
    )
    return draws.batch(count).get_single_element().numpy()


def box_statistics(boxes: np.ndarray, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    top, left, height, width = boxes.astype(np.float64).T
    return {
        "area fraction": height * width / (shape[0] * shape[1]),
        "aspect": width / height,
        "height fraction": height / shape[0],
        "vertical position": top / np.maximum(shape[0] - height, 1),
        "horizontal position": left / np.maximum(shape[1] - width, 1),
    }


@pytest.mark.parametrize("name", sorted(BOXES))
def test_training_crops_are_distributed_as_the_official_ones(name: str) -> None:
    shape = tuple(map(int, name.split("x")))
    drawn = draw_boxes(shape, 20_000, seed=1)
    if min(shape) > 200:  # a draw of its own for each seed; smaller images have too few boxes
        assert len({tuple(box) for box in drawn}) > 17_000
    ours, theirs = box_statistics(drawn, shape), box_statistics(BOXES[name], shape)
    for statistic in ours:
        p = ks_2samp(ours[statistic], theirs[statistic]).pvalue
        # 25 comparisons, five of them with each recorded sample: at 0.01, chance alone fails one
        # run in five. The recorded 200x800 boxes themselves lie 2 sigma to the left of uniform.
        assert p > 0.001, f"{statistic}: p = {p}"
    assert ours["area fraction"].min() >= 0.0999  # 10%, not 8%: see inception_box


def test_the_distribution_test_can_fail() -> None:
    # Crops as torchvision draws them (area and log aspect uniform) must not pass for these.
    random = np.random.RandomState(0)
    area, aspect = random.uniform(0.1, 1, 10_000), np.exp(random.uniform(-0.2877, 0.2877, 10_000))
    theirs = box_statistics(BOXES["512x512"], (512, 512))
    assert ks_2samp(area, theirs["area fraction"]).pvalue < 1e-10
    assert ks_2samp(aspect, theirs["aspect"]).pvalue < 1e-10


@pytest.mark.parametrize("name", sorted(RECORD["train_output_stats"]))
def test_training_images_look_like_the_official_ones(name: str) -> None:
    recorded = RECORD["train_output_stats"][name]
    preprocessing = Preprocessing(224)
    encoded = tf.constant(photo(name))
    draws = tf.data.Dataset.range(400).map(
        lambda i: preprocessing.for_train(encoded, tf.stack([i, i])), num_parallel_calls=2
    )
    rows = []
    for image in draws.as_numpy_iterator():
        columns = [*image.mean((0, 1)), *image.std((0, 1)), image.min(), image.max()]
        rows.append([*columns, np.abs(np.diff(image, axis=1)).mean()])
    # Means of two samples of 400 differ by sqrt(2 / 400) standard deviations; allow four of it.
    z = (np.mean(rows, 0) - recorded["mean"]) / (np.array(recorded["std"]) * np.sqrt(2 / 400))
    assert np.abs(z).max() < 4, dict(zip(recorded["columns"], z.round(1), strict=True))


def test_a_failed_draw_is_the_centre_crop() -> None:
    # No box of aspect 3/4..4/3 covers 10% of this strip, so all attempts fail.
    strip = tf.constant([10, 4000, 3])
    assert inception_box(strip, [0, 0]).numpy().tolist() == [0, 0, 10, 4000]
    preprocessing = Preprocessing(224)
    box = preprocessing.train_box(strip, tf.constant([0, 0]))
    assert box.numpy().tolist() == preprocessing.eval_box(strip).numpy().tolist() == [1, 1996, 8, 8]


def test_whole_image_is_trained_on_without_a_crop() -> None:
    image = np.random.RandomState(0).randint(0, 256, [8, 8, 3]).astype(np.uint8)
    preprocessing = Preprocessing(32, train_crop="none", flip=False, eval_crop="none")
    assert not preprocessing.random_in_training
    np.testing.assert_array_equal(
        preprocessing.for_train(image, [0, 1]), preprocessing.for_eval(image)
    )


def test_flip_mirrors_half_of_the_images() -> None:
    image = np.random.RandomState(0).randint(0, 256, [8, 8, 3]).astype(np.uint8)
    plain = Preprocessing(8, train_crop="none", flip=False).for_train(image, [0, 0]).numpy()
    preprocessing = Preprocessing(8, train_crop="none")
    assert preprocessing.random_in_training
    flipped = 0
    for seed in range(200):
        result = preprocessing.for_train(image, [5, seed]).numpy()
        is_flipped = (result == plain[:, ::-1]).all()
        assert is_flipped or (result == plain).all()
        flipped += is_flipped
    assert 75 <= flipped <= 125  # 100 +- 3.5 standard deviations


def test_for_train_is_a_function_of_its_seed(photos: list[bytes]) -> None:
    preprocessing = Preprocessing(64)
    first, again, other = (preprocessing.for_train(photos[0], s) for s in ([3, 4], [3, 4], [3, 5]))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1


@pytest.mark.parametrize("image_dtype", ["float32", "uint8"])
def test_eager_and_tf_data_agree_and_shapes_are_static(
    photos: list[bytes], image_dtype: str
) -> None:
    preprocessing = Preprocessing(64, image_dtype=image_dtype)
    seed = tf.constant([1, 2], tf.int32)
    dataset = tf.data.Dataset.from_tensor_slices(photos[:1])
    for mapped, eager in (
        (dataset.map(preprocessing.for_eval), preprocessing.for_eval(photos[0])),
        (
            dataset.map(lambda image: preprocessing.for_train(image, seed)),
            preprocessing.for_train(photos[0], seed),
        ),
    ):
        assert mapped.element_spec == tf.TensorSpec([64, 64, 3], image_dtype)
        np.testing.assert_array_equal(mapped.get_single_element(), eager)


def test_overshoot_is_kept_as_float_and_cut_as_uint8(photos: list[bytes]) -> None:
    as_float = Preprocessing(380).for_eval(photos[0]).numpy()
    assert as_float.min() < -5
    assert as_float.max() > 260
    as_uint8 = Preprocessing(380, image_dtype="uint8").for_eval(photos[0]).numpy()
    np.testing.assert_array_equal(as_uint8, np.clip(as_float, 0, 255).astype(np.uint8))
    assert to_uint8(tf.constant([-3.0, 1.99, 254.9, 300.0])).numpy().tolist() == [0, 1, 254, 255]


def test_jpeg_is_decoded_by_its_crop(photos: list[bytes]) -> None:
    # At the border of a crop of a 4:2:0 file the colours differ from those of the whole, by up
    # to 12 (preprocess.json of the recording); taking the slice would not be the official pixels.
    preprocessing = Preprocessing(448, eval_crop="fraction")
    astronaut = photos[0]
    cropped = preprocessing.for_eval(astronaut).numpy()
    sliced = preprocessing.for_eval(decode(astronaut)).numpy()
    assert np.abs(cropped - sliced).max() == 12


def test_unknown_values_are_refused() -> None:
    with pytest.raises(UsageError, match=r"image_size must be a whole number .* received 224\.0"):
        Preprocessing(224.0)
    with pytest.raises(UsageError, match=r"image_size must be .* received 0"):
        Preprocessing(0)
    with pytest.raises(UsageError, match=r"crop_fraction must be above 0 .* received 87.5"):
        Preprocessing(224, crop_fraction=87.5)
    with pytest.raises(UsageError, match=r'train_crop must be .*"inception".* mean "inception"'):
        Preprocessing(224, train_crop="inceptoin")
    with pytest.raises(UsageError, match=r'eval_crop must be one of "padding"'):
        Preprocessing(224, eval_crop="center")
    with pytest.raises(UsageError, match=r'interpolation .* Did you mean "bicubic"'):
        Preprocessing(224, interpolation="bicubik")
    with pytest.raises(UsageError, match=r'image_dtype must be one of "float32", "uint8"'):
        Preprocessing(224, image_dtype="bfloat16")


def test_the_functions_are_the_class(photos: list[bytes]) -> None:
    astronaut = photos[0]
    for crop in ("padding", "fraction", "none"):
        for resize in ("bicubic_tf1", "bicubic", "bilinear"):
            expected = Preprocessing(48, eval_crop=crop, interpolation=resize).for_eval(astronaut)
            image = preprocess_for_eval(astronaut, 48, crop=crop, resize=resize)
            assert image.dtype == tf.float32
            np.testing.assert_array_equal(image, expected)
    expected = Preprocessing(48, eval_crop="fraction", crop_fraction=0.5).for_eval(astronaut)
    image = preprocess_for_eval(tf.constant(astronaut), 48, "fraction", crop_fraction=0.5)
    np.testing.assert_array_equal(image, expected)
    assert preprocess_for_eval(astronaut, 48).shape == (48, 48, 3)

    expected = Preprocessing(48).for_train(astronaut, [3, 4])
    for seed in ([3, 4], (3, 4), tf.constant([3, 4], tf.int64)):
        np.testing.assert_array_equal(preprocess_for_train(astronaut, 48, seed), expected)
    expected = Preprocessing(48).for_train(astronaut, [0, 4])
    for number in (4, np.int64(4), tf.constant(4)):
        np.testing.assert_array_equal(preprocess_for_train(astronaut, 48, number), expected)
    assert np.abs(preprocess_for_train(astronaut, 48, 5) - expected).mean() > 1
    plain = preprocess_for_train(astronaut, 48, 4, crop="none", resize="bilinear", flip=False)
    np.testing.assert_array_equal(
        plain, preprocess_for_eval(astronaut, 48, crop="none", resize="bilinear")
    )


def test_the_functions_refuse_what_they_do_not_know(photos: list[bytes]) -> None:
    for seed in (1.5, [1, 2, 3], [[1, 2]]):
        with pytest.raises(
            UsageError, match="seed must be a whole number or two of them, received"
        ):
            preprocess_for_train(photos[0], 48, seed)
    with pytest.raises(UsageError, match="eval_crop must be one of .* received 'centre'"):
        preprocess_for_eval(photos[0], 48, crop="centre")
    with pytest.raises(UsageError, match="image must be a scalar string"):
        preprocess_for_eval(photos, 48)


def test_pad_shifts_by_up_to_an_eighth_and_fills_with_black() -> None:
    preprocessing = Preprocessing(32, train_crop="pad", flip=False)
    image = np.random.RandomState(0).randint(1, 256, (32, 32, 3)).astype(np.uint8)
    seen = set()
    for number in range(300):
        shifted = preprocessing.for_train(image, [3, number]).numpy()
        places = [
            (top, left)
            for top in range(9)
            for left in range(9)
            if np.array_equal(
                np.pad(image, [(4, 4), (4, 4), (0, 0)])[top:, left:][:32, :32], shifted
            )
        ]
        assert len(places) == 1
        seen.update(places)
        np.testing.assert_array_equal(shifted, preprocessing.for_train(image, [3, number]))
    assert len(seen) > 70  # of 81 places; 300 draws miss two of them on average
    assert preprocessing.random_in_training
