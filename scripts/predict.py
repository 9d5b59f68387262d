"""Predicts the classes of images with an export, a run or a file of weights.

python scripts/predict.py --model_dir=runs/flowers photos/ 'more/*.jpg'
python scripts/predict.py --saved_model=runs/flowers/export --output=answers.csv photos/
find . -name '*.png' | python scripts/predict.py --weights=b4.safetensors -
python scripts/predict.py --weights=imagenet --model=efficientnet-b0 cat.jpg
python scripts/predict.py --model_dir=runs/b0 --submission=test.txt \
    --devkit=ILSVRC2012_devkit_t12 ILSVRC2012_test/

Images: files, folders (all images in them, at any depth), patterns (quoted, `**` for any depth),
and - for a list of paths on standard input. Results come in their order. Without --output or
--submission they are printed, one image on a line.

--submission writes what ImageNet's test server takes: a line for each image in the alphabetical
order of file names, with the development kit's numbers of the best five classes.

Exit code 0: all images predicted. 1: some could not be read, they are listed at the end (the
others are written), or writing failed. 2: wrong use; nothing was started. 130: stopped by Ctrl-C;
the table holds what was done.
"""

import sys
from typing import Any

from absl import flags

from efficientnet_tf.commands import model_flags
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluation import imagenet_submission
from efficientnet_tf.inference.image_list import image_paths
from efficientnet_tf.inference.prediction_table import (
    Outcome,
    Unusable,
    best,
    check_table_path,
    shown_path,
    write_table,
)
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.storage.files import check_writable
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code

_SAVED_MODEL = flags.DEFINE_string("saved_model", None, "an export of main.py")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "images at once", lower_bound=1)
_TOP = flags.DEFINE_integer("top", 5, "classes for each image", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "a table: .csv, .json, .jsonl or .parquet")
_SUBMISSION = flags.DEFINE_string("submission", None, "a file for ImageNet's test server")
_DEVKIT = flags.DEFINE_string("devkit", None, "with --submission: ImageNet's development kit")
_LISTED = 100  # unusable images that are named


def check_flags() -> None:
    """Raises a UsageError for flags that do not go together, before TensorFlow is loaded."""
    model_flags.check(_SAVED_MODEL)
    if model_flags.RESOLUTION.value is not None and _SAVED_MODEL.value:
        raise UsageError("--resolution: the size of a SavedModel is fixed. Leave it out.")
    if bool(_SUBMISSION.value) != bool(_DEVKIT.value):
        raise UsageError("--submission and --devkit go together: the kit has the classes' numbers.")


def classifier() -> Any:
    """The model of the flags."""
    from efficientnet_tf.inference.predict import Classifier

    names = model_flags.class_names()
    if _SAVED_MODEL.value:
        return Classifier.of_saved_model(_SAVED_MODEL.value, names)
    return Classifier.of_trained(model_flags.trained(), names)


def line(outcome: Outcome) -> str:
    """One image for people."""
    if isinstance(outcome, Unusable):
        return f"{shown_path(outcome.path)}: cannot be used"
    answers = zip(outcome.names, outcome.probabilities, strict=True)
    said = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in answers)
    return f"{shown_path(outcome.path)}: {said}"


def predict_all(model: Any, paths: list[str]) -> tuple[list[Outcome], bool]:
    """The outcomes, and whether all images had their turn: Ctrl-C keeps what is there."""
    from efficientnet_tf.terminal.progress import progress_bar
    from efficientnet_tf.training.loop import stop_on_signal

    outcomes: list[Outcome] = []
    prints = not (_OUTPUT.value or _SUBMISSION.value)
    top = max(_TOP.value, imagenet_submission.LABELS) if _SUBMISSION.value else _TOP.value
    # Not KeyboardInterrupt: raised in the midst of TensorFlow it may get lost.
    with stop_on_signal() as stop, progress_bar(len(paths), " images", "predicting") as bar:
        for outcome in model.predict(paths, batch_size=_BATCH_SIZE.value, top=top):
            outcomes.append(outcome)
            if prints:
                bar.write(line(outcome), file=sys.stdout)
            bar.update()
            if stop:
                break
    return outcomes, len(outcomes) == len(paths)


def write(outcomes: list[Outcome], numbers: list[int]) -> None:
    """The table and the submission, where asked for; the table first, it takes broken images."""
    if _OUTPUT.value:
        # A submission may have asked for more classes.
        write_table(_OUTPUT.value, [best(each, _TOP.value) for each in outcomes])
        print(f"{len(outcomes)} images: {_OUTPUT.value}")
    if _SUBMISSION.value:
        imagenet_submission.write_submission(_SUBMISSION.value, outcomes, numbers)
        print(f"{len(outcomes)} images: {_SUBMISSION.value}")
        if len(outcomes) != imagenet_submission.TEST_IMAGES:
            print(f"warning: the test set has {imagenet_submission.TEST_IMAGES} images")


def run(arguments: list[str]) -> int:
    """Everything; the exit code."""
    check_flags()
    if _OUTPUT.value:
        check_table_path(_OUTPUT.value)
    ids: dict[str, int] = {}
    if _SUBMISSION.value:
        check_writable("--submission", _SUBMISSION.value, make_folder=True)
        ids = imagenet_submission.read_ids(_DEVKIT.value)
    paths = image_paths(arguments, sys.stdin)
    start_tensorflow()
    model = classifier()
    numbers: list[int] = []
    if ids:
        numbers = imagenet_submission.ids_by_class(ids, model.classes, model.class_names)
    outcomes, complete = predict_all(model, paths)
    if not complete:
        print(f"interrupted after {len(outcomes)} of {len(paths)} images", file=sys.stderr)
        if _OUTPUT.value:
            write_table(_OUTPUT.value, outcomes)
            print(f"{len(outcomes)} images: {_OUTPUT.value}")
        return 130
    unusable = [outcome for outcome in outcomes if isinstance(outcome, Unusable)]
    try:
        write(outcomes, numbers)
    finally:
        for each in unusable[:_LISTED]:
            print(f"unusable: {shown_path(each.path)}: {each.reason}", file=sys.stderr)
        if len(unusable) > _LISTED:
            print(f"unusable: and {len(unusable) - _LISTED} more", file=sys.stderr)
    return 1 if unusable else 0


def main(argv: list[str]) -> int:
    if asks_for_help(argv):
        print(__doc__, model_flags.help_text(), sep="\n")
        return 0
    return run(flags.FLAGS(argv)[1:])


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv)))
