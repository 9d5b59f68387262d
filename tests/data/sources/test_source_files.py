"""Files as a source: each once, in an order that seed and epoch decide, from anywhere on."""

import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import eval_dataset, train_dataset
from efficientnet_tf.data.sources.files import (
    FileSource,
    check_class_names,
    check_same_classes,
    file_source,
)
from efficientnet_tf.data.sources.source import Pass
from efficientnet_tf.errors import UsageError

NAMES = ["a b.png", "ümlaut.png", "日本/猫.png", *(f"{i}.png" for i in range(3, 11))]


@pytest.fixture
def eleven(tmp_path: Path) -> FileSource:
    """Eleven PNGs of 5x4 whose grey is 10 * row; row % 3 is the label; the last is test."""
    for row, name in enumerate(NAMES):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tf.io.encode_png(np.full([5, 4, 3], 10 * row, np.uint8)).numpy())
    return file_source(
        "eleven",
        root=f"{tmp_path}/",
        paths=NAMES,
        labels=np.arange(11) % 3,
        rows={"train": np.arange(10), "test": np.array([10])},
        class_names=("x", "y", "z"),
    )


def one_pass(source: FileSource, **arguments: Any) -> list[dict[str, np.ndarray]]:
    how = Pass(**{"shuffle": True, **arguments})
    return list(source.examples("train", how).as_numpy_iterator())


def order(source: FileSource, **arguments: Any) -> list[int]:
    return [int(example["index"]) for example in one_pass(source, **arguments)]


def test_what_it_says_of_itself(eleven: FileSource, tmp_path: Path) -> None:
    assert (eleven.name, eleven.num_classes) == ("eleven", 3)
    assert eleven.num_examples == {"train": 10, "test": 1}
    assert eleven.class_names == ("x", "y", "z")
    assert eleven.seekable
    assert eleven.place("train", 2) == f"{tmp_path}/日本/猫.png"
    assert eleven.place("test", 0) == f"{tmp_path}/10.png"
    with pytest.raises(UsageError, match='received "trian".* mean "train"'):
        eleven.examples("trian")


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("num_shards", [1, 2, 4])
def test_every_example_once_over_all_shards(
    eleven: FileSource, num_shards: int, shuffle: bool
) -> None:
    shards = [
        one_pass(eleven, shuffle=shuffle, epoch=3, shard_index=i, num_shards=num_shards)
        for i in range(num_shards)
    ]
    sizes = [eleven.size("train", i, num_shards) for i in range(num_shards)]
    assert [len(shard) for shard in shards] == sizes
    examples = sum(shards, [])
    assert sorted(example["index"] for example in examples) == list(range(10))
    for example in examples:
        row = int(example["index"])
        assert example["label"] == row % 3
        assert (tf.io.decode_png(example["image"]).numpy() == 10 * row).all()


def test_the_order_is_a_function_of_seed_and_epoch(eleven: FileSource) -> None:
    orders = {(s, e): order(eleven, seed=s, epoch=e) for s in (0, 1) for e in (0, 1)}
    assert len({tuple(found) for found in orders.values()}) == 4
    tf.random.set_seed(5)  # hidden state must not matter
    for (seed, epoch), expected in orders.items():
        tensors = {"seed": tf.constant(seed), "epoch": tf.constant(epoch, tf.int64)}
        assert order(eleven, **tensors) == expected
    assert order(eleven, shuffle=False, seed=7, epoch=7) == list(range(10))


def test_the_order_does_not_depend_on_threads(eleven: FileSource) -> None:
    found = []
    for threads in (1, 4):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        dataset = eleven.examples("train", Pass(shuffle=True)).with_options(options)
        found.append([int(example["index"]) for example in dataset])
    assert found[0] == found[1]


@pytest.mark.parametrize("skip_errors", [False, True])
def test_a_start_skips_without_reading(eleven: FileSource, skip_errors: bool) -> None:
    whole = order(eleven, shard_index=1, num_shards=2)
    for start in (0, 1, 3, tf.constant(4, tf.int64), 5):
        arguments = {"start": start, "skip_errors": skip_errors}
        rest = order(eleven, shard_index=1, num_shards=2, **arguments)
        assert rest == whole[int(start) :]
    first, *others = order(eleven)
    os.remove(eleven.place("train", first))
    assert order(eleven, start=1, skip_errors=skip_errors) == others


def test_a_deleted_file_keeps_its_place(eleven: FileSource) -> None:
    whole = one_pass(eleven)
    gone = int(whole[4]["index"])
    os.remove(eleven.place("train", gone))
    found = one_pass(eleven, skip_errors=True)
    assert found[4] == {"image": b"", "label": 0, "index": gone}
    assert found[:4] + found[5:] == whole[:4] + whole[5:]

    iterator = iter(eleven.examples("train", Pass(shuffle=True)))
    assert [int(next(iterator)["index"]) for _ in range(4)] == [e["index"] for e in whole[:4]]
    with pytest.raises(tf.errors.NotFoundError, match=os.path.basename(NAMES[gone])):
        next(iterator)


def test_a_name_that_is_not_unicode(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(path, "wb") as file:
        file.write(b"bytes")
    source = file_source(
        "latin",
        root=f"{tmp_path}/",
        paths=[os.fsdecode(b"caf\xe9.png")],
        labels=np.zeros(1),
        rows={"train": np.array([0])},
        class_names=("a", "b"),
    )
    assert one_pass(source)[0]["image"] == b"bytes"
    assert source.place("train", 0) == f"{tmp_path}/caf\\xe9.png"


def test_through_the_pipeline(eleven: FileSource) -> None:
    preprocessing = Preprocessing(4, train_crop="none", eval_crop="none", flip=False)

    def labels_and_greys(start: int, count: int) -> list[tuple[int, float]]:
        batches = train_dataset(
            eleven, preprocessing, global_batch_size=2, seed=1, start_example=start
        )
        return [
            (int(label), float(image[0, 0, 0]))
            for batch in batches.take(count)
            for label, image in zip(batch["label"], batch["image"], strict=True)
        ]

    stream = labels_and_greys(0, 10)  # two epochs
    assert sorted(stream[:10]) == sorted((row % 3, 10.0 * row) for row in range(10))
    assert sorted(stream[10:]) == sorted(stream[:10]) != stream[10:]
    assert labels_and_greys(6, 7) == stream[6:]
    assert labels_and_greys(14, 3) == stream[14:]

    [batch] = eval_dataset(eleven, "test", preprocessing, global_batch_size=2)
    assert (batch["image"][0].numpy() == 100).all()
    assert batch["mask"].numpy().tolist() == [1, 0]


def test_class_names_that_look_alike_are_refused() -> None:
    check_class_names(["Cat", "cat2", "chat"], "here")
    with pytest.raises(UsageError, match='more than upper and lower case: "Cat" and "cat" in here'):
        check_class_names(["Cat", "cat", "dog"], "here")
    with pytest.raises(UsageError, match='case: "STRASSE" and "straße" in here'):
        check_class_names(["STRASSE", "straße"], "here")
    pair = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    with pytest.raises(UsageError, match=r"unicode form .*: 'caf\\xe9' and 'cafe\\u0301' in here"):
        check_class_names(pair, "here")
    with pytest.raises(UsageError, match='at least two classes .* found only "cat" in here.$'):
        check_class_names(["cat"], "here")
    with pytest.raises(UsageError, match="found none in here. Look there.$"):
        check_class_names([], "here", " Look there.")


def test_classes_without_training_images_are_refused() -> None:
    check_same_classes(["cat", "dog"], ["dog"], "test", "here")
    with pytest.raises(
        UsageError,
        match='classes of test .*: "Dog" and 1 more in here has no training .* mean "dog"',
    ):
        check_same_classes(["cat", "dog"], ["Dog", "cow"], "test", "here")
