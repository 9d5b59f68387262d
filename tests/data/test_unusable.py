"""A run over damaged data that is not to stop: places kept, neighbours used, all of it noted."""

import functools
import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import eval_dataset, train_dataset
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.data.sources.tfrecord import tfrecord_source
from efficientnet_tf.data.unusable import replace_unusable
from efficientnet_tf.errors import RunError

PREPROCESSING = Preprocessing(16, image_dtype="uint8")
BATCH = 4


@pytest.fixture(scope="module")
def healthy_and_damaged(tmp_path_factory, write_records, photos) -> tuple[Source, list, list]:
    """A source of 12 + 10 images, and its training and evaluation batches before the damage.

    Afterwards train labels 2, 3, 7 and the test labels 4 and 9 have damaged images.
    """
    folder = tmp_path_factory.mktemp("damaged")

    def write(prefix: str, per_file: int, damaged: dict[int, bytes]) -> None:
        for number in range(2):
            labels = range(number * per_file, (number + 1) * per_file)
            records = [(damaged.get(i, photos[(i + 1) % 3]), i + 1) for i in labels]
            write_records(folder / f"{prefix}-{number:05d}-of-00002", records)

    write("train", 6, {})
    write("validation", 5, {})
    source = tfrecord_source(str(folder), minival_shards=0)
    train = list(train_batches(source, None).take(9).as_numpy_iterator())
    test = list(eval_batches(source, None).as_numpy_iterator())
    write("train", 6, {2: photos[0][:900], 3: b"<html>", 7: b""})
    write("validation", 5, {4: photos[1][:2000], 9: b"\xff\xd8\xff"})
    return source, train, test


def train_batches(source: Source, bad: BadExamples | None, start: int = 0) -> tf.data.Dataset:
    return train_dataset(
        source, PREPROCESSING, global_batch_size=BATCH, seed=3, start_example=start, bad=bad
    )


def eval_batches(source: Source, bad: BadExamples | None) -> tf.data.Dataset:
    return eval_dataset(source, "test", PREPROCESSING, global_batch_size=BATCH, bad=bad)


def noted(source: Source, split: str, limit: int = 100) -> BadExamples:
    return BadExamples(functools.partial(source.place, split), limit)


def test_training_takes_the_neighbour_in_the_batch(healthy_and_damaged, caplog) -> None:
    source, healthy, _ = healthy_and_damaged
    bad = noted(source, "train")
    batches = list(train_batches(source, bad).take(9).as_numpy_iterator())
    replaced = 0
    for batch, before in zip(batches, healthy, strict=True):
        assert set(batch) == {"image", "label"}
        usable = [row for row, label in enumerate(before["label"]) if label not in (2, 3, 7)]
        for row, label in enumerate(before["label"]):
            # Nearest usable row; of two equally near the one before.
            source_row = min(usable, key=lambda other: (abs(other - row), other > row))
            assert batch["label"][row] == before["label"][source_row]
            np.testing.assert_array_equal(batch["image"][row], before["image"][source_row])
            replaced += label in (2, 3, 7)
    assert replaced == 9  # three epochs
    assert len(bad) == 3
    messages = [record.message for record in caplog.records]
    assert len(messages) == 3  # each once, not once an epoch
    for place, why in {
        "train-00000-of-00002, record 2 ": "Invalid JPEG data",
        "train-00000-of-00002, record 3 ": "Unknown image file format",
        "train-00001-of-00002, record 1 ": "The image of the record is empty.",
    }.items():
        assert sum(place in message and why in message for message in messages) == 1, messages


def test_a_run_over_damaged_data_resumes_exactly(healthy_and_damaged) -> None:
    source, _, _ = healthy_and_damaged
    whole = list(train_batches(source, noted(source, "train")).take(8).as_numpy_iterator())
    for step in (1, 4):  # in the first and in the second pass
        rest = train_batches(source, noted(source, "train"), start=step * BATCH)
        for batch, expected in zip(
            rest.take(8 - step).as_numpy_iterator(), whole[step:], strict=True
        ):
            np.testing.assert_array_equal(batch["label"], expected["label"])
            np.testing.assert_array_equal(batch["image"], expected["image"])


def test_evaluation_masks_out(healthy_and_damaged) -> None:
    source, _, healthy = healthy_and_damaged
    bad = noted(source, "test")
    batches = list(eval_batches(source, bad).as_numpy_iterator())
    assert len(bad) == 2
    for batch, before in zip(batches, healthy, strict=True):
        for row, label in enumerate(before["label"]):
            usable = before["mask"][row] == 1 and label not in (4, 9)
            assert batch["mask"][row] == usable
            if usable:
                assert batch["label"][row] == label
                np.testing.assert_array_equal(batch["image"][row], before["image"][row])


def test_evaluation_can_tell_indices_over_damaged_data(healthy_and_damaged) -> None:
    source, _, _ = healthy_and_damaged
    bad = noted(source, "test")
    batches = eval_dataset(
        source, "test", PREPROCESSING, global_batch_size=BATCH, bad=bad, with_index=True
    )
    found = {}
    for batch in batches.as_numpy_iterator():
        assert set(batch) == {"image", "label", "mask", "index"}
        for row in np.flatnonzero(batch["mask"]):
            found[int(batch["index"][row])] = int(batch["label"][row])
    examples = source.examples("test").as_numpy_iterator()
    expected = {int(each["index"]): int(each["label"]) for each in examples}
    assert found == {i: label for i, label in expected.items() if label not in (4, 9)}


def test_more_than_the_limit_ends_the_stream(healthy_and_damaged) -> None:
    source, _, _ = healthy_and_damaged
    bad = noted(source, "train", limit=2)
    with pytest.raises(tf.errors.OpError):
        list(train_batches(source, bad).take(9))
    with pytest.raises(RunError, match=r"3 examples cannot be used, .* = 2 allows; the first is"):
        bad.check()
    noted(source, "train", limit=0).check()  # nothing met yet


def test_healthy_data_is_not_touched(
    healthy_and_damaged, make_imagenet, caplog: pytest.LogCaptureFixture
) -> None:
    _, train, test = healthy_and_damaged
    source = tfrecord_source(  # the same
        str(make_imagenet([6, 6], [5, 5])), num_classes=1000, minival_shards=0
    )
    caplog.set_level(logging.WARNING)
    for split, batches, healthy in (("train", train_batches, train), ("test", eval_batches, test)):
        bad = noted(source, split)
        with_nets = batches(source, bad).take(len(healthy)).as_numpy_iterator()
        for with_net, without in zip(with_nets, healthy, strict=True):
            for key in without:
                np.testing.assert_array_equal(with_net[key], without[key])
        assert len(bad) == 0
    assert not caplog.records


def test_a_file_cut_between_records(make_imagenet, tmp_path: Path) -> None:
    source = tfrecord_source(str(make_imagenet([6, 6], [5, 5])), minival_shards=0)
    path = tmp_path / "train-00001-of-00002"
    data = path.read_bytes()
    path.write_bytes(data[: int.from_bytes(data[:8], "little") + 16])  # one of six
    bad = noted(source, "train")
    labels = np.concatenate(
        [batch["label"] for batch in train_batches(source, bad).take(3).as_numpy_iterator()]
    )
    assert len(bad) == 5
    assert set(labels) <= set(range(7))


def test_a_batch_without_a_usable_example_is_an_error() -> None:
    batch = {"label": tf.constant([1, 2]), "usable": tf.constant([False, False])}
    with pytest.raises(tf.errors.InvalidArgumentError, match="no example of a batch can be used"):
        replace_unusable(batch)
