"""Streams of evaluation: every image once, in stored order, dealt to replicas."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from numbered_images import FIXED, RANDOM, context, numbered

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import eval_dataset
from efficientnet_tf.data.sources.source import Source


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
