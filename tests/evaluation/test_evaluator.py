"""Evaluation of whole splits: every image once, however they fall into batches and replicas."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.sources.files import file_source
from efficientnet_tf.data.sources.in_memory import ArraySource, digits_source
from efficientnet_tf.data.sources.source import IN_ORDER, Pass
from efficientnet_tf.errors import RunError
from efficientnet_tf.evaluation import evaluator as evaluate
from efficientnet_tf.evaluation.evaluator import (
    Evaluator,
    describe,
    describe_scores,
    record,
    record_predictions,
)
from efficientnet_tf.evaluation.scores import scores, summary
from efficientnet_tf.runs.predictions import Predictions
from efficientnet_tf.training.metrics import Metrics

PREPROCESSING = Preprocessing(16, eval_crop="none")


@pytest.fixture(scope="module")
def digits() -> ArraySource:
    return digits_source()


def by_hand(model: keras.Model, source: ArraySource, split: str) -> Metrics:
    """Metrics from one batch of all images, in float64."""
    images, labels = (array.numpy() for array in source.arrays[split])
    batch = np.stack([PREPROCESSING.for_eval(tf.constant(image)) for image in images])
    logits = model(batch, training=False).numpy().astype(np.float64)
    losses = np.log(np.exp(logits).sum(1)) - logits[range(len(labels)), labels]
    order = np.argsort(-logits, axis=1)
    return Metrics(
        examples=len(labels),
        loss=losses.mean(),
        top1=(order[:, 0] == labels).mean(),
        top5=(order[:, :5] == labels[:, None]).any(1).mean(),
    )


@pytest.mark.parametrize(
    ("count", "batch"),
    # Of 179 images; 63 and 85 are no multiples of the replicas, and after two batches of 86 the
    # second replica has none left.
    [(1, 64), (2, 63), (2, 85), pytest.param(4, 50, marks=pytest.mark.slow)],
)
def test_each_image_counts_once(
    replicas: Any, tiny_state: Any, digits: ArraySource, count: int, batch: int
) -> None:
    state = tiny_state(replicas(count))
    evaluator = Evaluator(state, replicas(count), digits, PREPROCESSING, batch)
    expected = by_hand(state.model, digits, "minival")
    assert 0 < expected.top1 < expected.top5 < 1
    for _ in range(2):  # a second evaluation reads the split from its start again
        found = evaluator("minival", averaged=False)
        assert found.examples == 179
        assert found.top1 == pytest.approx(expected.top1)
        assert found.top5 == pytest.approx(expected.top5)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)


def test_splits_and_weights_are_told_apart(
    replicas: Any, tiny_state: Any, digits: ArraySource
) -> None:
    state = tiny_state()
    state.average["predictions/bias"].assign(np.linspace(-2, 2, 10, dtype=np.float32))
    evaluator = Evaluator(state, replicas(1), digits, PREPROCESSING, 100)
    found = {
        (split, averaged): evaluator(split, averaged=averaged)
        for split in ("minival", "test")
        for averaged in (False, True)
    }
    assert found["test", False].examples == 359
    assert len({metrics.loss for metrics in found.values()}) == 4
    for split in ("minival", "test"):
        raw = by_hand(state.model, digits, split)
        assert found[split, False].loss == pytest.approx(raw.loss, rel=1e-5)
    state.weights["predictions/bias"].assign(state.average["predictions/bias"])
    averaged = by_hand(state.model, digits, "test")
    assert found["test", True].loss == pytest.approx(averaged.loss, rel=1e-5)


def test_a_source_that_holds_less_than_it_says_is_an_error(
    replicas: Any, tiny_state: Any, digits: ArraySource
) -> None:
    class Short(ArraySource):
        """Says 179 and gives 170, as a set with a lost file would."""

        def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
            return super().examples(split, how).take(170)

    source = Short(**{f.name: getattr(digits, f.name) for f in dataclasses.fields(digits)})
    evaluator = Evaluator(tiny_state(), replicas(1), source, PREPROCESSING, 64)
    with pytest.raises(RunError) as caught:
        evaluator("minival", averaged=False)
    message = str(caught.value)
    assert 'counted 170 images of split "minival", expected 179' in message
    assert '"digits"' in message


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_damaged_images_are_left_out_and_counted(
    replicas: Any, tiny_state: Any, tmp_path: Path, count: int
) -> None:
    digits = digits_source()
    images, labels = (array.numpy()[:20] for array in digits.arrays["test"])
    paths = [f"{row}.png" for row in range(20)]
    for path, image in zip(paths, images, strict=True):
        tf.io.write_file(str(tmp_path / path), tf.io.encode_png(image))
    (tmp_path / "3.png").write_bytes(b"no image")
    (tmp_path / "19.png").unlink()
    source = file_source(
        "files",
        root=f"{tmp_path}/",
        paths=paths,
        labels=labels,
        rows={"train": np.arange(20), "minival": np.arange(0), "test": np.arange(20)},
        class_names=digits.class_names,
    )
    bad = BadExamples(functools.partial(source.place, "test"), limit=2)
    state = tiny_state(replicas(count))
    evaluator = Evaluator(state, replicas(count), source, PREPROCESSING, 8, {"test": bad})
    good = [row for row in range(20) if row not in (3, 19)]
    rest = dataclasses.replace(
        digits, arrays={"test": (tf.gather(images, good), tf.gather(labels, good))}
    )
    expected = by_hand(state.model, rest, "test")
    for _ in range(2):
        found = evaluator("test", averaged=False)
        assert (found.examples, found.skipped) == (18, 2)
        assert found.top1 == pytest.approx(expected.top1)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert "(18 images, 2 skipped)" in describe(found)
    answers = evaluator.answers("test", averaged=False)
    assert answers.metrics == found
    np.testing.assert_array_equal(answers.outcomes.places, good)


@pytest.mark.parametrize(
    ("count", "batch"),
    [(1, 64), (2, 63), pytest.param(4, 50, marks=pytest.mark.slow)],
)
def test_answers_are_those_to_each_image_and_their_sums_those_of_the_metrics(
    replicas: Any, tiny_state: Any, digits: ArraySource, count: int, batch: int
) -> None:
    state = tiny_state(replicas(count))
    evaluator = Evaluator(state, replicas(count), digits, PREPROCESSING, batch)
    found = evaluator.answers("minival", averaged=False)
    assert found.metrics == evaluator("minival", averaged=False), "not the same to the last bit"
    images, labels = (array.numpy() for array in digits.arrays["minival"])
    batch_of_all = np.stack([PREPROCESSING.for_eval(tf.constant(image)) for image in images])
    expected = tf.nn.softmax(state.model(batch_of_all, training=False)).numpy()
    assert found.predictions is not None
    np.testing.assert_array_equal(found.predictions.places, np.arange(179))
    np.testing.assert_array_equal(found.predictions.labels, labels)
    np.testing.assert_allclose(found.predictions.probabilities, expected, rtol=1e-4, atol=1e-6)
    counted = scores(found.predictions, digits.class_names)
    assert counted["top1"] == pytest.approx(found.metrics.top1, abs=1e-12)
    assert counted["top5"] == pytest.approx(found.metrics.top5, abs=1e-12)
    assert counted["loss"] == pytest.approx(found.metrics.loss, rel=1e-5)


def test_answers_of_records_are_in_the_order_of_their_places(
    replicas: Any, tiny_state: Any, digits: ArraySource
) -> None:
    """Files are read by turns, so records do not come in that order."""

    class Mixed(ArraySource):
        def examples(self, split: str, how: Pass = IN_ORDER) -> tf.data.Dataset:
            return super().examples(split, dataclasses.replace(how, shuffle=True))

    source = Mixed(**{f.name: getattr(digits, f.name) for f in dataclasses.fields(digits)})
    evaluator = Evaluator(tiny_state(), replicas(1), source, PREPROCESSING, 64)
    found = evaluator.answers("minival", averaged=False).predictions
    assert found is not None
    np.testing.assert_array_equal(found.places, np.arange(179))
    np.testing.assert_array_equal(found.labels, digits.arrays["minival"][1])


def test_answers_among_some_classes_are_those_of_their_logits(
    replicas: Any, tiny_state: Any, digits: ArraySource
) -> None:
    state = tiny_state()
    chosen = [3, 5, 8]
    images, labels = (array.numpy() for array in digits.arrays["test"])
    rows = np.flatnonzero(np.isin(labels, chosen))
    part = dataclasses.replace(
        digits,
        num_classes=3,
        num_examples={"test": len(rows)},
        arrays={"test": (images[rows], tf.constant(np.searchsorted(chosen, labels[rows])))},
    )
    evaluator = Evaluator(state, replicas(1), part, PREPROCESSING, 64, classes=chosen)
    found = evaluator.answers("test", averaged=False)
    batch = np.stack([PREPROCESSING.for_eval(tf.constant(image)) for image in images[rows]])
    logits = state.model(batch, training=False).numpy()[:, chosen]
    assert found.metrics.top1 == (logits.argmax(1) == np.searchsorted(chosen, labels[rows])).mean()
    assert found.metrics == evaluator("test", averaged=False)
    assert found.predictions is not None
    np.testing.assert_allclose(
        found.predictions.probabilities, tf.nn.softmax(logits), rtol=1e-4, atol=1e-6
    )


def test_of_too_many_answers_only_what_the_scores_need_is_kept(
    replicas: Any, tiny_state: Any, digits: ArraySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = Evaluator(tiny_state(), replicas(1), digits, PREPROCESSING, 64)
    whole = evaluator.answers("minival", averaged=False)
    monkeypatch.setattr(evaluate, "MAX_VALUES", 1789)  # 179 images of 10 classes are one more
    reduced = evaluator.answers("minival", averaged=False)
    assert reduced.predictions is None
    assert reduced.metrics == whole.metrics
    assert summary(reduced.outcomes, None) == summary(whole.outcomes, None)
    monkeypatch.setattr(evaluate, "MAX_VALUES", 1790)
    assert evaluator.answers("minival", averaged=False).predictions is not None


def test_predictions_that_are_not_kept_leave_no_older_file(tmp_path: Path) -> None:
    predictions = Predictions(np.arange(2), np.arange(2), np.eye(2, dtype=np.float32))
    path = record_predictions(str(tmp_path), "test", "raw", predictions)
    assert path == str(tmp_path / "predictions-test-raw.npz")
    assert Path(path).exists()
    for _ in range(2):
        assert record_predictions(str(tmp_path), "test", "raw", None) is None
        assert not Path(path).exists()


METRICS = Metrics(examples=360, loss=0.07123, top1=0.98611, top5=1.0)


def test_a_result_is_one_line_for_people() -> None:
    line = "top-1 98.61 %  top-5 100.00 %  loss 0.0712  (360 images)"
    assert describe(METRICS) == line


def test_the_scores_are_one_more_line() -> None:
    found = {
        "mean_per_class_accuracy": 0.98576,
        "classes": 2,
        "classes_with_examples": 2,
        "calibration": {"ece": 0.02131},
        "most_confused": [{"true": 1, "predicted": 0, "examples": 2}],
    }
    assert describe_scores(found, ("cat", "dog")) == (
        "mean per class 98.58 %  ECE 0.0213  most confused: dog taken for cat (2 times)"
    )
    found |= {"classes": 3}
    assert describe_scores(found, None).startswith(
        "mean per class 98.58 % over 2 of 3 classes  ECE"
    )
    found["most_confused"][0]["examples"] = 1
    assert describe_scores(found, None).endswith("most confused: 1 taken for 0 (1 time)")
    found["most_confused"].clear()
    assert describe_scores(found, None).endswith("ECE 0.0213")


@pytest.mark.parametrize(
    ("weights", "name"),
    [("average", "evaluation-test.json"), ("raw", "evaluation-test-raw.json")],
)
def test_a_result_is_a_file_for_programs(tmp_path: Path, weights: str, name: str) -> None:
    path = record(str(tmp_path), "test", weights, 570, METRICS)
    assert path == str(tmp_path / name)
    assert json.loads(Path(path).read_text()) == {
        "split": "test",
        "weights": weights,
        "step": 570,
        "examples": 360,
        "loss": 0.07123,
        "top1": 0.98611,
        "top5": 1.0,
        "skipped": 0,
    }


def test_more_keys_leave_the_metrics_as_they_are(tmp_path: Path) -> None:
    more = {"split": "all", "top1": 0.5, "mean_per_class_accuracy": 0.25}
    content = json.loads(Path(record(str(tmp_path), "a", "average", 1, METRICS, more)).read_text())
    assert (content["split"], content["top1"]) == ("all", 0.98611)
    assert content["mean_per_class_accuracy"] == 0.25
