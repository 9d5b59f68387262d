"""Reads and decodes every image of a split and says what is there, what is broken, what is odd."""

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.broken import map_or, plain_message
from efficientnet_tf.data.diagnose import fault
from efficientnet_tf.data.images import exif
from efficientnet_tf.data.images.header import read_header
from efficientnet_tf.data.images.preprocessing import decode
from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.source import Pass, Source
from efficientnet_tf.errors import RunError
from efficientnet_tf.terminal.progress import progress_bar
from efficientnet_tf.terminal.shown import shown
from efficientnet_tf.terminal.table import aligned

SMALL_SIDE = 32  # pixels; below, a network that halves the image five times sees nothing
FEW_EXAMPLES = 10  # of a class in training
_BATCH = 32  # images fetched from tf.data at once
_SHOWN = 5


@dataclasses.dataclass
class ScanReport:
    """What was found in one split.

    Attributes:
        examples: so many were read, usable or not.
        whole: whether that was to be the whole split.
        per_class: int64 [num_classes], usable images.
        formats: usable images of each format; "array" is an image that is not encoded.
        colours: likewise of each kind of `ImageHeader.colours`.
        sides: the shortest and the longest side of any image, pixels; (0, 0) without images.
        small: images with a side below `SMALL_SIDE`.
        rotated: images that are stored lying or mirrored, by their EXIF orientation.
        bad: (index, reason) of the examples that cannot be used.
        repeated: (index of the first, index, same label) of images with equal bytes.
        first: the first image with these bytes, by their hash: (index, label).
    """

    source: Source
    split: str
    examples: int
    whole: bool
    per_class: np.ndarray
    formats: collections.Counter[str]
    colours: collections.Counter[str]
    sides: tuple[int, int]
    small: int
    rotated: int
    bad: list[tuple[int, str]]
    repeated: list[tuple[int, int, bool]]
    first: dict[bytes, tuple[int, int]]

    def place(self, index: int) -> str:
        return self.source.place(self.split, index)

    @property
    def broken(self) -> list[str]:
        """What has to be repaired, a line each."""
        lines = [f"{self.split}: {self.place(index)}: {reason}" for index, reason in self.bad]
        expected = self.source.num_examples[self.split]
        if self.whole and self.examples != expected:
            lines.append(
                f"{self.split}: {self.examples} examples were found, but the source says that "
                f"there are {expected}."
            )
        return lines


def scan(source: Source, split: str, limit: int | None = None) -> ScanReport:
    """Reads `split` in stored order, in parallel and with a progress bar.

    Args:
        limit: read no more than so many examples.

    Raises:
        UsageError: no such split, or it has no examples.
        RunError: reading failed for a reason that is not in an example.
    """
    expected = source.size(split)
    total = expected if limit is None else min(limit, expected)
    report = ScanReport(
        source=source,
        split=split,
        examples=0,
        whole=total == expected,
        per_class=np.zeros(source.num_classes, np.int64),
        formats=collections.Counter(),
        colours=collections.Counter(),
        sides=(0, 0),
        small=0,
        rotated=0,
        bad=[],
        repeated=[],
        first={},
    )
    try:
        with progress_bar(total, " images", f"scanning {split}") as bar:
            for image, label, index, shape, orientation in _decoded(
                source, split, total, report.whole
            ):
                _add(report, image, label, index, shape)
                report.rotated += orientation > 1
                bar.update()
    except tf.errors.OpError as error:
        raise RunError(
            f'Reading split "{split}" of source "{source.name}" failed: {plain_message(error)}'
        ) from error
    return report


def _decoded(
    source: Source, split: str, total: int, whole: bool
) -> Iterator[tuple[Any, int, int, Sequence[int], int]]:
    """(image as the source yields it, label, index, shape decoded or zeros, EXIF orientation)."""
    examples = source.examples(split, Pass(skip_errors=True))
    if not whole:
        examples = examples.take(total)
    if examples.element_spec["image"].dtype != tf.string:
        for example in examples.prefetch(_BATCH).as_numpy_iterator():
            image = example["image"]
            yield image, int(example["label"]), int(example["index"]), image.shape, 1
        return

    def healthy(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        shape = tf.ensure_shape(tf.shape(decode(example["image"])), [3])
        return {**example, "shape": shape, "orientation": exif.orientation(example["image"])}

    def damaged(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**example, "shape": tf.zeros([3], tf.int32), "orientation": tf.constant(1)}

    decoded = map_or(examples, healthy, damaged)
    for batch in decoded.batch(_BATCH).prefetch(2):
        names = ("image", "label", "index", "shape", "orientation")
        yield from zip(*(batch[name].numpy().tolist() for name in names), strict=True)


def _add(report: ScanReport, image: Any, label: int, index: int, shape: Sequence[int]) -> None:
    report.examples += 1
    if min(shape) == 0:
        reason = fault(image, partial(report.source.why_unread, report.split, index))
        report.bad.append((index, reason or "Decoding failed once, but not again."))
        return
    if reason := report.source.label_fault(label):
        report.bad.append((index, reason))
        return
    report.per_class[label] += 1
    header = read_header(image) if isinstance(image, bytes) else None
    report.formats[header.format if header else "array"] += 1
    report.colours[(header.colours or "unknown") if header else "RGB"] += 1
    short, long = sorted(shape[:2])
    shortest, longest = report.sides
    report.sides = (min(short, shortest or short), max(long, longest))
    report.small += short < SMALL_SIDE
    data = image if isinstance(image, bytes) else image.tobytes() + repr(image.shape).encode()
    key = hashlib.blake2b(data, digest_size=16).digest()
    before, its_label = report.first.setdefault(key, (index, label))
    if before != index:
        report.repeated.append((before, index, its_label == label))


def changed_files(data_dir: str, say: Callable[[str], object]) -> list[str]:
    """What in a folder is not as its manifest says, if it has one; reads every byte."""
    stored = manifest.read(data_dir)
    if stored is None:
        return []
    try:
        manifest.verify(stored, data_dir, checksums=True)
    except RunError as error:
        return [str(error)]
    say(f"all files are as {manifest.MANIFEST} says")
    return []


def table(reports: Sequence[ScanReport]) -> str:
    """The splits of one source, a line each, and of up to 30 classes the images of each."""
    source = reports[0].source
    rows = [["split", "images", "unusable", "formats", "colours", "sides", "repeated"]]
    for report in reports:
        rows.append(
            [
                report.split,
                f"{report.per_class.sum():,}",
                f"{len(report.bad):,}",
                _counts(report.formats),
                _counts(report.colours),
                "{}-{} px".format(*report.sides),
                f"{len(report.repeated):,}",
            ]
        )
    lines = [f'source "{source.name}", {source.num_classes} classes', *aligned(rows, "<>><<<>")]
    if source.num_classes <= 30:
        rows = [["class", *(report.split for report in reports)]]
        for label in range(source.num_classes):
            counts = (f"{report.per_class[label]:,}" for report in reports)
            rows.append([class_name(source, label), *counts])
        lines += ["", *aligned(rows)]
    return "\n".join(lines)


def class_name(source: Source, label: int) -> str:
    """The name of a class, or its number."""
    return str(label) if source.class_names is None else shown(source.class_names[label])


def _counts(counter: collections.Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common()) or "-"


def warnings(reports: Sequence[ScanReport]) -> list[str]:
    """What a person should look at: it may be meant, and nothing fails because of it."""
    found = []
    for report in reports:
        if report.split == "train" and report.whole:
            found += _rare_classes(report)
        if report.small:
            found.append(
                f"{report.split}: {report.small:,} images have a side under {SMALL_SIDE} pixels, "
                f"the smallest of {report.sides[0]}."
            )
        if report.rotated:
            found.append(
                f"{report.split}: {report.rotated:,} of {report.examples:,} images are stored "
                "lying or mirrored, as their EXIF orientation says. They are turned upright, but "
                "not those of ImageNet's own files (data.exif_rotation)."
            )
        for same, what in ((True, ""), (False, " with different labels")):
            pairs = [(a, b) for a, b, equal in report.repeated if equal == same]
            places = [f"{report.place(a)} = {report.place(b)}" for a, b in pairs[:_SHOWN]]
            if pairs:
                found.append(
                    f"{report.split}: {len(pairs):,} images are there more than once{what}: "
                    + _list(places, len(pairs))
                )
    for number, report in enumerate(reports):
        for other in reports[number + 1 :]:
            keys = [key for key in report.first if key in other.first]
            places = [
                f"{report.place(report.first[key][0])} = {other.place(other.first[key][0])}"
                for key in keys[:_SHOWN]
            ]
            if keys:
                found.append(
                    f"{len(keys):,} images are in {report.split} and in {other.split}, which makes "
                    f"{other.split} look better than it is: " + _list(places, len(keys))
                )
    return found


def _rare_classes(report: ScanReport) -> list[str]:
    found = []
    for low, high, what in (
        (0, 0, "no image"),
        (1, 1, "a single image"),
        (2, FEW_EXAMPLES - 1, f"fewer than {FEW_EXAMPLES} images"),
    ):
        labels = np.flatnonzero((report.per_class >= low) & (report.per_class <= high))
        if len(labels):
            names = [class_name(report.source, label) for label in labels[:_SHOWN]]
            found.append(
                f"{report.split}: {len(labels):,} classes have {what}: " + _list(names, len(labels))
            )
    return found


def _list(shown: Sequence[str], total: int) -> str:
    return "; ".join(shown) + (f"; and {total - len(shown):,} more" if total > len(shown) else "")
