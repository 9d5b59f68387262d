"""Sources by name, and the synthetic one."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.sources.by_name import load_source, synthetic_source
from efficientnet_tf.data.sources.source import Pass
from efficientnet_tf.errors import UsageError


def test_synthetic_images_are_noise_and_a_function_of_split_and_index() -> None:
    source = synthetic_source(num_classes=4, image_size=33, num_examples=6)
    passes = {
        (split, epoch): sorted(
            source.examples(split, Pass(shuffle=True, epoch=epoch, seed=3)).as_numpy_iterator(),
            key=lambda example: example["index"],
        )
        for split, epoch in [("train", 0), ("train", 1), ("test", 0)]
    }
    for examples in passes.values():
        assert [example["index"] for example in examples] == list(range(6))
        assert [example["label"] for example in examples] == [0, 1, 2, 3, 0, 1]
    images = {key: np.stack([e["image"] for e in examples]) for key, examples in passes.items()}
    np.testing.assert_array_equal(images["train", 0], images["train", 1])
    assert images["train", 0].shape == (6, 33, 33, 3)
    assert images["train", 0].dtype == np.uint8
    both = np.concatenate([images["train", 0], images["test", 0]]).astype(np.float64)
    # Uniform noise: mean 127.5, standard deviation 73.9; two images are uncorrelated.
    np.testing.assert_allclose(both.mean((1, 2, 3)), 127.5, atol=6)
    np.testing.assert_allclose(both.std((1, 2, 3)), 73.9, atol=4)
    correlations = np.corrcoef(both.reshape(12, -1)) - np.eye(12)
    assert np.abs(correlations).max() < 0.1


def test_synthetic_order_and_shards() -> None:
    source = synthetic_source(image_size=2, num_examples=50)

    def order(epoch: int, shard_index: int = 0, num_shards: int = 1) -> list[int]:
        shard = {"shard_index": shard_index, "num_shards": num_shards}
        dataset = source.examples("train", Pass(shuffle=True, epoch=epoch, **shard))
        return [int(example["index"]) for example in dataset]

    assert order(0) == order(0) != order(1)
    assert sorted(order(0, 0, 2) + order(0, 1, 2)) == list(range(50))
    unshuffled = source.examples("train")
    assert [int(example["index"]) for example in unshuffled] == list(range(50))
    rest = source.examples("train", Pass(shuffle=True, start=tf.constant(48)))
    assert [int(example["index"]) for example in rest] == order(0)[48:]
    assert source.place("train", 7) == "synthetic train image 7"


@pytest.mark.parametrize("argument", ["num_classes", "image_size", "num_examples"])
def test_synthetic_sizes_are_checked(argument: str) -> None:
    with pytest.raises(UsageError, match=f"{argument} must be a whole number above 0, received 0"):
        synthetic_source(**{argument: 0})


def test_load_source_by_name(make_imagenet) -> None:
    assert load_source("digits").num_examples["train"] == 1259
    synthetic = load_source("synthetic", num_classes=7, image_size=5)
    assert (synthetic.num_classes, synthetic.image_size) == (7, 5)
    folder = make_imagenet([2, 3, 4], [5])
    records = load_source("imagenet", str(folder), minival_shards=1, num_classes=9)
    assert records.num_examples == {"train": 7, "minival": 2, "test": 5}


def test_load_source_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r'data.source must be one of .*received "imagnet".* mean "im'
    ):
        load_source("imagnet")
    with pytest.raises(UsageError, match=r'received "digits:8" \(only folder:PATH'):
        load_source("digits:8")
    with pytest.raises(UsageError, match=r'data_dir is not read by the data set "digits"'):
        load_source("digits", str(tmp_path))
    with pytest.raises(UsageError, match=r"data_dir must be a folder .* no data_dir was given"):
        load_source("imagenet")
    for spec, data_dir in (("folder", None), ("csv:a.csv", "b")):
        with pytest.raises(UsageError, match=r"needs one place, as data.source="):
            load_source(spec, data_dir)
