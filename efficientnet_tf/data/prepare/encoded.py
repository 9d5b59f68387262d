"""One shuffled pass over a split as encoded images, whatever the source yields; for `prepare`."""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from functools import partial

import tensorflow as tf

from efficientnet_tf.data.broken import map_or, plain_message
from efficientnet_tf.data.diagnose import label_error
from efficientnet_tf.data.images.header import FORMATS, ImageHeader, read_header
from efficientnet_tf.data.images.preprocessing import decode
from efficientnet_tf.data.sources.source import SHUFFLE_BUFFER, Pass, Source
from efficientnet_tf.errors import RunError, UsageError, nearest, whole_number

ON_ERROR = ("stop", "skip")
JPEG_QUALITY = 95
_BATCH = 32  # examples fetched from tf.data at once; the stream does not depend on it


@dataclasses.dataclass(frozen=True)
class StreamOptions:
    """What decides the stream beside the source; checked once, when made.

    Attributes:
        seed: of the shuffle.
        shuffle_buffer: examples held for it, by a source that cannot permute the whole split.
        jpeg: re-encode what is not JPEG, with quality 95, for readers that know nothing else.
        on_error: "skip" leaves an example out that cannot be read, with a warning; "stop" stops.

    Raises:
        UsageError: a field has a value outside these.
    """

    seed: int = 0
    shuffle_buffer: int = SHUFFLE_BUFFER
    jpeg: bool = False
    on_error: str = "stop"

    def __post_init__(self) -> None:
        for name, value, low in (
            ("seed", self.seed, 0),
            ("shuffle_buffer", self.shuffle_buffer, 1),
        ):
            if whole_number(value, low) is None:
                raise UsageError(
                    f"{name} must be a whole number of at least {low}, received {value!r}."
                )
            object.__setattr__(self, name, int(value))  # numpy's have no place in JSON
        if self.on_error not in ON_ERROR:
            raise UsageError(
                f'on_error must be "stop" or "skip", received "{self.on_error}".'
                + nearest(self.on_error, ON_ERROR)
            )


@dataclasses.dataclass(frozen=True)
class EncodedExample:
    """An image in a format of `image_header`, its label 0..num_classes-1 and where it is kept."""

    image: bytes
    header: ImageHeader
    label: int
    place: str


def encoded_examples(
    source: Source, split: str, options: StreamOptions, start: int = 0
) -> Iterator[EncodedExample | None]:
    """The stream from position `start` on; None in the place of an example that is skipped.

    uint8 images become PNG, encoded ones are kept byte for byte and not decoded: of damage only
    what shows in the first bytes is found here.

    Raises:
        RunError: an example cannot be used, and is not to be skipped; or a label is out of range.
    """
    skip = options.on_error == "skip"
    position = start
    try:
        for batch in _dataset(source, split, options, start, skip).batch(_BATCH).prefetch(2):
            columns = [batch[key].numpy().tolist() for key in ("image", "label", "index")]
            for image, label, index in zip(*columns, strict=True):
                place = source.place(split, index)
                why = partial(source.why_unread, split, index)
                yield _checked(source, image, label, place, skip, why)
            position += len(columns[0])
    except tf.errors.OpError as error:
        if of_label := label_error(error, source, split):
            raise of_label from error
        raise _failure(
            _place_after(source, split, options, position), plain_message(error)
        ) from error


def _checked(
    source: Source, image: bytes, label: int, place: str, skip: bool, why: Callable[[], str]
) -> EncodedExample | None:
    header = read_header(image)
    if header is None:
        known = ", ".join(FORMATS)
        what = f"this is no image in one of the formats {known}: it begins with {image[:8]!r}."
        what = what if image else why()
        if not skip:
            raise _failure(place, what)
        logging.getLogger(__name__).warning("left out %s: %s", place, what)
        return None
    if fault := source.label_fault(label):
        raise RunError(f"{place} cannot be used: {fault} Correct the labels.")
    return EncodedExample(image, header, label, place)


def _failure(place: str, what: str) -> RunError:
    return RunError(
        f"{place} cannot be used: {what} Repair or remove it, or leave such examples out with "
        "on_error=skip. Finished files are kept."
    )


def _dataset(
    source: Source, split: str, options: StreamOptions, start: int, skip: bool
) -> tf.data.Dataset:
    """{"image": string, "label", "index"}; with `skip`, "" is an image that cannot be used."""
    how = Pass(
        shuffle=True,
        seed=options.seed,
        shuffle_buffer=options.shuffle_buffer,
        start=start,
        skip_errors=skip,
    )
    examples = source.examples(split, how)
    is_array = examples.element_spec["image"].dtype == tf.uint8

    def encode(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = example["image"]
        if not options.jpeg:
            return {**example, "image": tf.io.encode_png(image)}
        keep = not is_array and tf.logical_or(tf.io.is_jpeg(image), tf.equal(image, ""))
        jpeg = tf.cond(
            keep,
            lambda: image,
            lambda: tf.io.encode_jpeg(decode(image), quality=JPEG_QUALITY),
        )
        return {**example, "image": jpeg}

    if is_array or (options.jpeg and not skip):
        examples = examples.map(encode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    elif options.jpeg:
        examples = map_or(examples, encode, lambda example: {**example, "image": ""})
    return examples


def _place_after(source: Source, split: str, options: StreamOptions, position: int) -> str:
    """The place of the first example after so many that cannot be used."""
    try:
        for example in _dataset(source, split, options, position, skip=True).take(_BATCH):
            if not example["image"].numpy():
                return source.place(split, int(example["index"]))
    except tf.errors.OpError:  # the cause lies deeper: the connection, say
        pass
    return f'an example of split "{split}" of source "{source.name}"'
