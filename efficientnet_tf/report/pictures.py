"""The pictures of a report: mistakes and successes with what the network looked at, and its inputs.

Pictures are as the network saw them, cropped and resized, and lie in the page as data URIs.
"""

import base64
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from efficientnet_tf.data.augment.augmentation import parse_augment
from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.pipeline import train_dataset
from efficientnet_tf.data.sources.source import Pass, Source
from efficientnet_tf.errors import UsageError
from efficientnet_tf.inference.cam import ActivationMapper
from efficientnet_tf.inference.cam_figure import overlay
from efficientnet_tf.runs.predictions import Predictions
from efficientnet_tf.runs.trained_model import TrainedModel, stored_data_config

SIDE = 160  # pixels, of a picture in the page
WORST, BEST, INPUTS = 12, 8, 12
_SHUFFLE_BUFFER = 256  # of examples read for a dozen inputs
_CLASSES_SHOWN = 3  # of a mixed input


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture of the page.

    Attributes:
        image: data URI.
        cam: data URI of the picture under its class activation map; None if there is no map.
        true: name of the true class; of a mixed input, of several with their shares.
        predicted: name of the predicted class, or None for an input of training.
        probability: of the predicted class.
        probability_of_true: likewise.
        where: file or record.
    """

    image: str
    true: str
    cam: str | None = None
    predicted: str | None = None
    probability: float = 0.0
    probability_of_true: float = 0.0
    where: str = ""


def data_uri(image: np.ndarray) -> str:
    """A uint8 or 0..255 image [height, width, 3] as a JPEG of at most SIDE pixels."""
    picture = Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def worst_and_best(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the errors with the least probable true class, and of the surest right answers."""
    rows = np.arange(len(predictions.labels))
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    of_true = predictions.probabilities[rows, predictions.labels]
    wrong = rows[~right][np.argsort(of_true[~right], kind="stable")]
    sure = rows[right][np.argsort(-of_true[right], kind="stable")]
    return wrong[:WORST], sure[:BEST]


def stored_examples(
    source: Source, split: str, places: Sequence[int]
) -> dict[int, tuple[Any, int]]:
    """Image, as it is stored, and label of these places of a split; those unreadable missing."""
    wanted = tf.constant(sorted(places), tf.int64)
    examples = source.examples(split, Pass(skip_errors=True))
    found = examples.filter(lambda example: tf.reduce_any(wanted == example["index"]))
    return {
        int(each["index"]): (each["image"], int(each["label"])) for each in found.take(len(places))
    }


def answers(
    trained: TrainedModel,
    source: Source,
    split: str,
    predictions: Predictions,
    rows: Sequence[int],
    names: Sequence[str],
) -> list[Shown]:
    """What the network made of some examples, each with the map of the class that it took.

    Args:
        rows: of `predictions`, shown in this order.
        names: of the classes.

    Raises:
        UsageError: an image is of another class now than it was when it was evaluated.
    """
    stored = stored_examples(source, split, [int(predictions.places[row]) for row in rows])
    mapper = _mapper(trained)
    shown = []
    for row in rows:
        place, label = int(predictions.places[row]), int(predictions.labels[row])
        try:
            encoded, label_now = stored[place]
            image = trained.preprocessing.for_eval(encoded).numpy()
        except (KeyError, tf.errors.OpError):  # damaged since
            continue
        if label_now != label:
            raise UsageError(
                f"the data has changed: {source.place(split, place)} is of class "
                f'"{names[label_now]}" and was of "{names[label]}" when it was evaluated.'
            )
        predicted = int(predictions.probabilities[row].argmax())
        shown.append(
            Shown(
                image=data_uri(image),
                cam=mapper(image, predicted) if mapper else None,
                true=names[label],
                predicted=names[predicted],
                probability=float(predictions.probabilities[row, predicted]),
                probability_of_true=float(predictions.probabilities[row, label]),
                where=source.place(split, place),
            )
        )
    return shown


def _mapper(trained: TrainedModel) -> Callable[[np.ndarray, int], str] | None:
    """Draws the map of a class over an image; None for a network without such a head."""
    try:
        mapper = ActivationMapper(trained.model)
    except UsageError:
        return None

    def draw(image: np.ndarray, number: int) -> str:
        values = mapper(image[np.newaxis], number).maps[0]
        picture = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        return data_uri(overlay(picture, (0, 0, *picture.shape[:2]), values))

    return draw


def training_inputs(
    source: Source, size: int, config: Mapping[str, Any], names: Sequence[str]
) -> list[Shown]:
    """What training fed the network: crops, flips, augmentation and mixing, of a first batch.

    Args:
        size: pixels.
        config: of the run, dotted names.
    """
    data = stored_data_config(config)
    augmentation = parse_augment(data.augment)
    preprocessing = Preprocessing.of(size, data)
    if augmentation.image is not None:
        preprocessing = dataclasses.replace(preprocessing, image_dtype="uint8")
    seed = int(config.get("train.seed", 0))
    dataset = train_dataset(
        source,
        preprocessing,
        global_batch_size=INPUTS,
        seed=seed,
        shuffle_buffer=_SHUFFLE_BUFFER,
        augment=augmentation.image,
        bad=BadExamples(lambda index: source.place("train", index), INPUTS),
    )
    if augmentation.batch is not None:
        dataset = augmentation.batch(
            dataset, num_classes=source.num_classes, seed=seed, first_batch=0, pipeline=0
        )
    batch = next(iter(dataset))
    pairs = zip(batch["image"].numpy(), batch["label"].numpy(), strict=True)
    return [Shown(image=data_uri(image), true=label_text(label, names)) for image, label in pairs]


def label_text(label: np.ndarray, names: Sequence[str]) -> str:
    """The name of a class; of a mixed label `cat 70 % + dog 30 %`."""
    if label.ndim == 0:
        return names[int(label)]
    order = [number for number in np.argsort(-label) if label[number] >= 0.005][:_CLASSES_SHOWN]
    if len(order) == 1:
        return names[order[0]]
    return " + ".join(f"{names[number]} {100 * label[number]:.0f} %" for number in order)
