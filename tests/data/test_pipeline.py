"""Streams: each example once per pass, resumable anywhere, exact in evaluation."""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data import pipeline
from efficientnet_tf.data.augment.autoaugment import autoaugment
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import eval_dataset, example_seed, train_dataset
from efficientnet_tf.data.sources.in_memory import ArraySource, array_source, digits_source
from efficientnet_tf.data.sources.records import RecordFiles, RecordSource
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.data.sources.tfrecord import tfrecord_source
from efficientnet_tf.errors import UsageError

RANDOM = Preprocessing(12)  # crop and flip
FIXED = Preprocessing(12, train_crop="none", flip=False)


def numbered(count: int) -> ArraySource:
    """Random images whose label is their index, so that a label names an example."""
    images = np.random.RandomState(0).randint(0, 256, [count, 9, 13, 3]).astype(np.uint8)
    split = (images, np.arange(count))
    return array_source("numbered", {"train": split, "test": split}, num_classes=count)


@pytest.fixture
def encoded(make_imagenet) -> RecordSource:
    """Ten JPEGs in "train" and ten in "test", in several files, with labels 0..9."""
    return tfrecord_source(str(make_imagenet([3, 1, 4, 2], [3, 1, 4, 2])), minival_shards=0)


def decoded(encoded: RecordSource) -> RecordSource:
    """The same images, but the source decodes them.

    Our decoder, which knows all formats, is most of what a pipeline takes to be built.
    """

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = encoded.parse(record)
        return tf.io.decode_jpeg(image, channels=3), label

    return dataclasses.replace(encoded, parse=parse)


@pytest.fixture(params=["arrays", "records"])
def ten(request, encoded: RecordSource) -> Source:
    """Ten examples in "train" and ten in "test", with labels 0..9."""
    return numbered(10) if request.param == "arrays" else decoded(encoded)


def context(pipeline_id: int, pipelines: int, replicas: int) -> tf.distribute.InputContext:
    return tf.distribute.InputContext(pipelines, pipeline_id, replicas)


def labels_of(dataset: tf.data.Dataset, batches: int) -> list[int]:
    return [int(label) for batch in dataset.take(batches) for label in batch["label"]]


def assert_same(first: tf.data.Dataset, second: tf.data.Dataset, batches: int) -> None:
    pairs = itertools.zip_longest(first.take(batches), second.take(batches))
    for number, (a, b) in enumerate(pairs):
        for key in ("label", "image"):
            np.testing.assert_array_equal(a[key], b[key], err_msg=f"batch {number}, {key}")


def darken(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A random augmentation."""
    keep = tf.random.stateless_uniform([], seed, 128, 256, tf.int32)
    return tf.cast(tf.cast(image, tf.int32) * keep // 256, tf.uint8)


def test_batches_have_static_shapes(ten: Source) -> None:
    for dtype, crop in (("float32", "inception"), ("uint8", "none")):
        preprocessing = Preprocessing(12, train_crop=crop, flip=False, image_dtype=dtype)
        train = train_dataset(ten, preprocessing, global_batch_size=4, seed=0)
        assert train.element_spec == {
            "image": tf.TensorSpec([4, 12, 12, 3], dtype),
            "label": tf.TensorSpec([4], tf.int32),
        }
        test = eval_dataset(ten, "test", preprocessing, global_batch_size=4)
        mask = {"mask": tf.TensorSpec([4], tf.float32)}
        assert test.element_spec == {**train.element_spec, **mask}


def test_encoded_images_give_what_decoded_ones_give(encoded: RecordSource) -> None:
    # Without a crop: TensorFlow decodes the colours at the edge of a part otherwise than there.
    whole = Preprocessing(12, train_crop="none", eval_crop="none")

    def streams(source: Source) -> list[tf.data.Dataset]:
        return [
            train_dataset(source, whole, global_batch_size=4, seed=0),
            eval_dataset(source, "test", whole, global_batch_size=4),
        ]

    for first, second in zip(streams(encoded), streams(decoded(encoded)), strict=True):
        assert first.element_spec == second.element_spec
        assert_same(first, second, batches=3)


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


@pytest.mark.parametrize(
    ("interpolation", "image_dtype"), [("bicubic_tf1", "float32"), ("bilinear", "uint8")]
)
def test_images_prepared_once_are_the_same_images(
    monkeypatch: pytest.MonkeyPatch, interpolation: str, image_dtype: str
) -> None:
    preprocessing = Preprocessing(
        12, train_crop="none", flip=False, interpolation=interpolation, image_dtype=image_dtype
    )
    source = numbered(7)

    def datasets() -> list[tf.data.Dataset]:
        train = train_dataset(source, preprocessing, global_batch_size=4, seed=0)
        return [train, eval_dataset(source, "test", preprocessing, global_batch_size=4)]

    fast = datasets()
    monkeypatch.setattr(pipeline, "MAX_PREPARED_BYTES", 0)
    for first, second in zip(fast, datasets(), strict=True):
        assert_same(first, second, batches=5)
    images, labels = source.arrays["train"]
    batch = next(iter(fast[0]))
    for image, label in zip(batch["image"], batch["label"], strict=True):
        assert int(label) == int(labels[int(label)])
        np.testing.assert_array_equal(image, preprocessing.for_train(images[int(label)], [0, 0]))


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


@pytest.mark.parametrize(
    ("batch", "pipelines", "replicas"),
    [
        *[(1, 1, 1), (4, 1, 1), (5, 1, 1), (10, 1, 1), (16, 1, 1), (4, 1, 2)],
        *[(4, 2, 2), (8, 2, 4), (6, 3, 3), (16, 4, 8)],
    ],
)
def test_evaluation_counts_every_image_once(
    ten: Source, batch: int, pipelines: int, replicas: int
) -> None:
    batches_per_pipeline, seen, total = set(), [], 0
    for index in range(pipelines):
        dataset = eval_dataset(
            ten,
            "test",
            FIXED,
            global_batch_size=batch,
            input_context=context(index, pipelines, replicas),
        )
        batches = list(dataset)
        batches_per_pipeline.add(len(batches))
        for item in batches:
            assert item["image"].shape == [batch // replicas, 12, 12, 3]
            mask = item["mask"].numpy()
            assert set(mask) <= {0.0, 1.0}
            seen += item["label"].numpy()[mask == 1].tolist()
            total += len(mask)
    steps = -(-10 // batch)
    assert batches_per_pipeline == {steps * replicas // pipelines}
    assert total == steps * batch
    assert sorted(seen) == list(range(10))


def test_evaluation_is_in_stored_order() -> None:
    source = numbered(10)
    batches = list(eval_dataset(source, "test", RANDOM, global_batch_size=4))
    assert [item["label"].numpy()[item["mask"] == 1].tolist() for item in batches] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert batches[-1]["mask"].numpy().tolist() == [1, 1, 0, 0]
    for item in batches:
        for image, label in zip(item["image"], item["label"], strict=True):
            stored = source.arrays["test"][0][int(label)]
            np.testing.assert_array_equal(image, RANDOM.for_eval(stored))


@pytest.mark.parametrize("preprocessing", [FIXED, RANDOM])
def test_evaluation_tells_the_index_of_each_image_if_asked(preprocessing: Preprocessing) -> None:
    """Whether the images are prepared at once or not."""
    source = numbered(10)
    plain = list(eval_dataset(source, "test", preprocessing, global_batch_size=4))
    assert set(plain[0]) == {"image", "label", "mask"}
    told = eval_dataset(source, "test", preprocessing, global_batch_size=4, with_index=True)
    assert told.element_spec["index"] == tf.TensorSpec([4], tf.int64)
    for batch, before in zip(told, plain, strict=True):
        for key, value in before.items():
            np.testing.assert_array_equal(batch[key], value)
        real = batch["mask"].numpy() == 1
        np.testing.assert_array_equal(batch["index"][real], batch["label"][real])


def test_global_batches_are_dealt_in_order() -> None:
    # Step 0 of two pipelines with two replicas each: images 0-3 to the first, 4-7 to the second.
    for index, expected in enumerate([[0, 1, 2, 3, 8, 9], [4, 5, 6, 7]]):
        dataset = eval_dataset(
            numbered(10),
            "test",
            FIXED,
            global_batch_size=8,
            input_context=context(index, 2, 4),
        )
        real = [item["label"].numpy()[item["mask"] == 1].tolist() for item in dataset]
        assert list(itertools.chain(*real)) == expected


def test_images_of_different_sizes() -> None:
    class TwoSizes(ArraySource):
        def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
            return super().examples(split, how).map(self.crop)

        def crop(self, example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            rows = 5 + tf.cast(example["index"] % 2, tf.int32)
            return {**example, "image": example["image"][:rows]}

    pipeline_cases: list[Callable[[Source], tf.data.Dataset]] = [
        lambda source: train_dataset(source, RANDOM, global_batch_size=4, seed=0).take(3),
        lambda source: eval_dataset(source, "test", RANDOM, global_batch_size=4),
    ]
    base = numbered(10)
    source = TwoSizes(**{f.name: getattr(base, f.name) for f in dataclasses.fields(base)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "MAX_PREPARED_BYTES", 0)
        for case in pipeline_cases:
            assert len(list(case(source))) == 3


def test_wrong_arguments_are_refused() -> None:
    source = numbered(10)

    def train(**changes: object) -> None:
        train_dataset(source, FIXED, **{"global_batch_size": 4, "seed": 0, **changes})

    with pytest.raises(UsageError, match=r"global_batch_size must be .* at least 1, received 0"):
        train(global_batch_size=0)
    with pytest.raises(UsageError, match=r"global_batch_size must be .* received 4\.0"):
        train(global_batch_size=4.0)
    with pytest.raises(UsageError, match=r"multiple of the 8 replicas, received 12. 8 would do"):
        train(global_batch_size=12, input_context=context(0, 1, 8))
    with pytest.raises(UsageError, match=r"multiple of the 8 replicas, received 4. 8 would do"):
        eval_dataset(source, "test", FIXED, global_batch_size=4, input_context=context(0, 1, 8))
    with pytest.raises(UsageError, match=r"seed must be a whole number of at least 0, received -1"):
        train(seed=-1)
    with pytest.raises(UsageError, match=r"seed must be at most 2147483647, received 2147483648"):
        train(seed=2**31)
    with pytest.raises(UsageError, match=r"start_example must be .* at least 0, received -4"):
        train(start_example=-4)
    with pytest.raises(UsageError, match=r"start_example must be a multiple of the 2 input"):
        train(start_example=3, input_context=context(0, 2, 2))
    with pytest.raises(UsageError, match=r"shuffle_buffer must be .* at least 1, received 0"):
        train(shuffle_buffer=0)
    with pytest.raises(UsageError, match=r'split must be one of .* received "tets".* "test"'):
        eval_dataset(source, "tets", FIXED, global_batch_size=4)
    with pytest.raises(UsageError, match=r'split must be one of .* received "validation"'):
        train(split="validation")
