"""Many image files predicted for a person: progress, lines or files, and what is unusable."""

import sys
from collections.abc import Mapping, Sequence

from efficientnet_tf.evaluation import imagenet_submission
from efficientnet_tf.inference.predict import Classifier
from efficientnet_tf.inference.prediction_table import (
    FilePrediction,
    Unusable,
    best,
    write_table,
)
from efficientnet_tf.terminal.exit_codes import FAILED, FINE, INTERRUPTED
from efficientnet_tf.terminal.progress import progress_bar
from efficientnet_tf.terminal.shown import shown
from efficientnet_tf.training.loop import stop_on_signal

_LISTED = 100  # unusable images that are named


def predict_files(
    classifier: Classifier,
    paths: Sequence[str],
    *,
    batch_size: int,
    top: int,
    output: str | None = None,
    submission: str | None = None,
    ids: Mapping[str, int] | None = None,
) -> int:
    """Predicts image files and says or writes the answers in their order; the exit code.

    Args:
        batch_size: images at once.
        top: classes for each image.
        output: a table to write, as `prediction_table.write_table` takes it. Ctrl-C keeps in it
            what was done.
        submission: a file for ImageNet's test server, written if all images could be used. Without
            any file, each image is a line.
        ids: of `imagenet_submission.read_ids`, for the submission.

    Raises:
        UsageError: the classes are not those of a submission.
        RunError: out of memory, or a file cannot be written.
    """
    numbers, asked = [], top
    if submission:
        numbers = imagenet_submission.ids_by_class(
            ids or {}, classifier.classes, classifier.class_names
        )
        asked = max(top, imagenet_submission.LABELS)
    outcomes: list[FilePrediction] = []
    # Not KeyboardInterrupt: raised in the midst of TensorFlow it may get lost.
    with stop_on_signal() as stop, progress_bar(len(paths), " images", "predicting") as bar:
        for outcome in classifier.predict(paths, batch_size=batch_size, top=asked):
            outcomes.append(outcome)
            if not (output or submission):
                bar.write(line(outcome), file=sys.stdout)
            bar.update()
            if stop:
                break
    complete = len(outcomes) == len(paths)
    if not complete:
        print(f"interrupted after {len(outcomes)} of {len(paths)} images", file=sys.stderr)
    unusable = [outcome for outcome in outcomes if isinstance(outcome, Unusable)]
    try:
        if output:  # first, because it takes unusable images
            write_table(output, [best(each, top) for each in outcomes])
            print(f"{len(outcomes)} images: {output}")
        if submission and complete:
            imagenet_submission.write_submission(submission, outcomes, numbers)
            print(f"{len(outcomes)} images: {submission}")
            if len(outcomes) != imagenet_submission.TEST_IMAGES:
                print(f"warning: the test set has {imagenet_submission.TEST_IMAGES} images")
    finally:
        for each in unusable[:_LISTED]:
            print(f"unusable: {shown(each.path)}: {shown(each.reason)}", file=sys.stderr)
        if len(unusable) > _LISTED:
            print(f"unusable: and {len(unusable) - _LISTED} more", file=sys.stderr)
    if not complete:
        return INTERRUPTED
    return FAILED if unusable else FINE


def line(outcome: FilePrediction) -> str:
    """One image for people."""
    if isinstance(outcome, Unusable):
        return f"{shown(outcome.path)}: cannot be used"
    answers = zip(outcome.names, outcome.probabilities, strict=True)
    said = ", ".join(f"{shown(name)} {100 * probability:.1f} %" for name, probability in answers)
    return f"{shown(outcome.path)}: {said}"
