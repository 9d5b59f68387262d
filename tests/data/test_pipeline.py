"""Streams of training: each example once per pass, resumable anywhere, random by the example."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from numbered_images import (
    FIXED,
    RANDOM,
    assert_same,
    context,
    darken,
    decoded,
    labels_of,
    numbered,
)

from efficientnet_tf.data.augment.autoaugment import autoaugment
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import example_seed, train_dataset
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.data.sources.records import RecordFiles, RecordSource
from efficientnet_tf.data.sources.source import Source


@pytest.mark.parametrize("preprocessing", [RANDOM, FIXED], ids=["random", "fixed"])
def test_each_example_once_per_pass_and_passes_differ(ten: Source, preprocessing) -> None:
    # Batches of 4 straddle the passes of 10.
    stream = train_dataset(ten, preprocessing, global_batch_size=4, seed=0)
    labels = labels_of(stream, 10)
    passes = [labels[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(one_pass) == list(range(10)) for one_pass in passes)
    assert len(set(map(tuple, passes))) == 4
    other = train_dataset(ten, preprocessing, global_batch_size=4, seed=1)
    assert labels_of(other, 10) != labels


def test_stream_resumes_anywhere_bit_for_bit(ten: Source) -> None:
    def stream(start: int) -> tf.data.Dataset:
        options = {"global_batch_size": 4, "seed": 5, "augment": darken}
        return train_dataset(ten, RANDOM, start_example=start, **options)

    uninterrupted = stream(0)
    for start in (4, 8, 20):  # within a pass, across its end, at the start of one
        assert_same(stream(start), uninterrupted.skip(start // 4), batches=3)


def test_stream_does_not_depend_on_threads_or_hidden_state(ten: Source) -> None:
    def stream(threads: int, deterministic: bool = True) -> tf.data.Dataset:
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        dataset = train_dataset(
            ten, RANDOM, global_batch_size=4, seed=5, augment=darken, deterministic=deterministic
        )
        return dataset.with_options(options)

    one_thread = stream(1).take(8).cache()
    assert len(list(one_thread)) == 8
    tf.random.set_seed(0)
    assert_same(one_thread, stream(4), batches=8)
    unordered = stream(1, deterministic=False)
    assert unordered.options().deterministic is False
    assert sorted(labels_of(unordered, 5)) == sorted([*range(10)] * 2)


def test_resume_in_mid_epoch_with_autoaugment(ten: Source) -> None:
    def stream(start: int, threads: int) -> tf.data.Dataset:
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        return train_dataset(
            ten,
            Preprocessing(24, image_dtype="uint8"),
            global_batch_size=2,
            seed=5,
            start_example=start,
            augment=autoaugment,
        ).with_options(options)

    uninterrupted = stream(0, threads=1)
    for start, threads in ((4, 2), (16, 1)):  # in the first and in the second pass of ten
        assert_same(stream(start, threads), uninterrupted.skip(start // 2), batches=8)


def test_digits_stream_is_pinned() -> None:
    # Recorded here, to notice if an upgrade of TensorFlow changes what a seed means.
    preprocessing = Preprocessing(32, train_crop="none", flip=False, eval_crop="none")
    for _ in range(2):
        stream = train_dataset(digits_source(), preprocessing, global_batch_size=12, seed=0)
        assert labels_of(stream, 1) == [9, 3, 0, 1, 8, 9, 8, 9, 1, 8, 2, 7]


def by_label(dataset: tf.data.Dataset, batches: int) -> dict[int, np.ndarray]:
    pairs = [
        zip(b["label"].numpy(), b["image"].numpy(), strict=True) for b in dataset.take(batches)
    ]
    return {int(label): image for pair in pairs for label, image in pair}


def test_randomness_belongs_to_the_example(ten: Source) -> None:
    # Split over two pipelines an example is cropped, flipped and augmented as in one pipeline.
    options = {"global_batch_size": 2, "seed": 3, "augment": darken}
    alone = by_label(train_dataset(ten, RANDOM, **options), 5)
    assert len(alone) == 10
    for index in range(2):
        own = train_dataset(ten, RANDOM, input_context=context(index, 2, 2), **options)
        for label, image in by_label(own, 3).items():
            np.testing.assert_array_equal(image, alone[label])
    second_pass = by_label(train_dataset(ten, RANDOM, start_example=10, **options), 5)
    for label, image in second_pass.items():
        assert np.abs(image - alone[label]).max() > 0


def test_example_seeds_differ() -> None:
    seeds = {
        tuple(example_seed(seed, tf.constant(epoch), tf.constant(index)).numpy().tolist())
        for seed in (0, 1, 2**31 - 1)
        for epoch in (0, 1, 349)
        for index in (0, 1, 2**32, 1023 * 2**32 + 1300)
    }
    assert len(seeds) == 3 * 3 * 4


@pytest.mark.parametrize("image_dtype", ["float32", "uint8"])
def test_augmentation_gets_the_cropped_flipped_truncated_image(image_dtype: str) -> None:
    crop_seeds: list[tuple[int, int]] = []
    seeds: list[tuple[int, int]] = []

    class Recording(Preprocessing):
        def for_train(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            tf.py_function(lambda s: crop_seeds.append(tuple(s.numpy())), [seed], [])
            return super().for_train(image, seed)

    preprocessing = Recording(12, image_dtype=image_dtype)
    source = numbered(10)
    options = {"global_batch_size": 10, "seed": 0}
    [plain] = train_dataset(source, preprocessing, **options).take(1)

    def record(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        assert image.dtype == tf.uint8
        assert image.shape == [12, 12, 3]
        tf.py_function(lambda s: seeds.append(tuple(s.numpy())), [seed], [])
        return 255 - image

    [augmented] = train_dataset(source, preprocessing, augment=record, **options).take(1)
    assert augmented["image"].dtype == image_dtype
    truncated = np.clip(plain["image"].numpy(), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(augmented["image"], 255 - truncated)
    assert len(set(seeds)) == len(seeds) >= 10
    assert not set(seeds) & set(crop_seeds)  # independent of where the image was cropped


def test_pipelines_share_each_pass(ten: Source) -> None:
    # Three pipelines (of one replica each) of 10 examples have passes of 4, 3 and 3.
    sizes = [ten.size("train", index, 3) for index in range(3)]
    assert sizes == [4, 3, 3]
    seen = []
    for index, size in enumerate(sizes):
        own = train_dataset(
            ten, RANDOM, global_batch_size=3, seed=0, input_context=context(index, 3, 3)
        )
        assert own.element_spec["label"].shape == [1]
        seen.append(labels_of(own, 4 * size))
    for epoch in range(4):
        parts = [seen[i][epoch * n : (epoch + 1) * n] for i, n in enumerate(sizes)]
        assert sorted(itertools.chain(*parts)) == list(range(10))


def test_pipelines_resume(ten: Source) -> None:
    for index in range(2):

        def stream(start: int, index: int = index) -> tf.data.Dataset:
            return train_dataset(
                ten,
                RANDOM,
                global_batch_size=4,
                seed=2,
                start_example=start,
                input_context=context(index, 2, 4),
            )

        # One step takes 4 examples, so 2 from each pipeline: 2 batches of 1.
        uninterrupted = stream(0)
        for start in (4, 12):
            assert_same(stream(start), uninterrupted.skip(start // 4 * 2), batches=8)


def test_a_wrong_count_does_not_move_positions(encoded: RecordSource) -> None:
    whole = decoded(encoded)
    for count in (8, 13):  # the files hold 10
        source = dataclasses.replace(
            whole,
            files={"train": RecordFiles(whole.files["train"].paths)},
            num_examples={"train": count},
        )
        labels = labels_of(train_dataset(source, FIXED, global_batch_size=1, seed=0), 3 * count)
        for epoch in range(3):
            one_pass = labels[epoch * count : (epoch + 1) * count]
            assert len(set(one_pass)) == min(count, 10)
        start = {"start_example": 2 * count}
        resumed = train_dataset(source, FIXED, global_batch_size=1, seed=0, **start)
        assert labels_of(resumed, count) == labels[2 * count :]
