"""Predicts the classes of images with an export, a run or a file of weights.

python main.py predict --model_dir=runs/flowers photos/ 'more/*.jpg'
python main.py predict --saved_model=runs/flowers/export --output=answers.csv photos/
find . -name '*.png' | python main.py predict --weights=b4.safetensors -
python main.py predict --weights=imagenet --model=efficientnet-b0 cat.jpg
python main.py predict --model_dir=runs/b0 --submission=test.txt \\
    --devkit=ILSVRC2012_devkit_t12 ILSVRC2012_test/

Images are given as files, folders (all images in them, at any depth), patterns (quoted, `**` for
any depth), and - for a list of paths on standard input. Results come in their order. Without
--output or --submission they are printed, one image on a line.

--submission writes what ImageNet's test server takes: a line for each image in the alphabetical
order of file names, with the development kit's numbers of the best five classes.

Exit code 0: all images predicted. 1: some could not be read, they are listed at the end (the others
are written), or writing failed. 2: wrong use; nothing was started. 130: stopped by Ctrl-C; the
table holds what was done.
"""

import sys
from types import SimpleNamespace

from efficientnet_tf.commands import shared_flags
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluation.imagenet_submission import read_ids
from efficientnet_tf.inference.image_list import image_paths
from efficientnet_tf.inference.prediction_table import check_table_path
from efficientnet_tf.storage.files import check_writable


def take_flags(take: FlagGroups) -> None:
    take.heading("Which network")
    shared_flags.take_network(take)
    take.text("saved_model", None, "folder of a SavedModel that the word export wrote")
    take.heading("What is written")
    take.whole("batch_size", 32, "number of images computed at once", low=1)
    take.whole("top", 5, "number of classes shown for each image", low=1)
    take.text("output", None, "table to write: .csv, .json, .jsonl or .parquet")
    take.text("submission", None, "file to write for ImageNet's test server")
    take.text("devkit", None, "with --submission: folder of ImageNet's development kit")


def run(given: SimpleNamespace) -> int:
    shared_flags.check_network(given, "saved_model")
    if given.resolution is not None and given.saved_model:
        raise UsageError("--resolution: the size of a SavedModel is fixed. Leave it out.")
    if bool(given.submission) != bool(given.devkit):
        raise UsageError("--submission and --devkit go together: the kit has the classes' numbers.")
    if given.output:
        check_table_path(given.output)
    if given.submission:
        check_writable("--submission", given.submission, make_folder=True)
    ids = read_ids(given.devkit) if given.submission else None
    paths = image_paths(given.arguments, sys.stdin)
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.evaluation.predicted_files import predict_files
    from efficientnet_tf.inference.predict import Classifier

    names = shared_flags.class_names(given)
    if given.saved_model:
        classifier = Classifier.of_saved_model(given.saved_model, names)
    else:
        classifier = Classifier.of_trained(shared_flags.trained_network(given), names)
    return predict_files(
        classifier,
        paths,
        batch_size=given.batch_size,
        top=given.top,
        output=given.output,
        submission=given.submission,
        ids=ids,
    )
