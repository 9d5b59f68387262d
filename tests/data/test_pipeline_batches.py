"""Batches: their shapes, the same however images are decoded or prepared, refused arguments."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from numbered_images import FIXED, RANDOM, assert_same, context, decoded, numbered

from efficientnet_tf.data import pipeline
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import eval_dataset, train_dataset
from efficientnet_tf.data.sources.in_memory import ArraySource
from efficientnet_tf.data.sources.records import RecordSource
from efficientnet_tf.data.sources.source import IN_ORDER, Pass, Source
from efficientnet_tf.errors import UsageError


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
