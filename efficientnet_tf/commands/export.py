"""Exports a run or weights for serving, and proves each file on images.

python main.py export --model_dir=runs/flowers
python main.py export --model_dir=runs/flowers --export_formats=tflite-int8,onnx photos/
python main.py export --weights=b0.safetensors --export_dir=exports/b0 photos/ 'more/*.jpg'

--export_dir is the folder of the SavedModel; the other formats lie beside it: DIR.int8.tflite,
DIR.onnx, ... Each is loaded in its own runtime and compared with the network, on the images given
(files, folders, patterns, - for a list) or, of a run without any, on its test split, or on noise
where its data is not there; the proof is stored as JSON. int8 is calibrated with the images after
the first --export_images, or with those if there are no others. Exit code 0: done; 1: a file
differs too much or cannot be written; 2: wrong use.
"""

import sys
from types import SimpleNamespace

from efficientnet_tf.commands import shared_flags
from efficientnet_tf.commands.experiment_flags import take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError
from efficientnet_tf.inference.image_list import image_paths

FOR_A_RUN = LASTS = True


def take_flags(take: FlagGroups) -> None:
    take.heading("What is exported")
    shared_flags.take_network(take, model=False)
    take.heading("How")
    shared_flags.take_export(take)
    shared_flags.take_device(take)
    take_experiment(take)


def run(given: SimpleNamespace) -> None:
    options = shared_flags.export_options(given)
    paths = None
    if given.weights or given.arguments:
        shared_flags.check_network(given)
        paths = image_paths(given.arguments, sys.stdin)
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    if paths is None:
        from efficientnet_tf.experiment import modes

        model_dir = given.model_dir or given.default_model_dir
        where = modes.Where(model_dir, given.export_dir, shared_flags.device(given), options)
        try:
            modes.export(given.config, where)
            return
        except UsageError as error:
            missing = modes.missing_data(given.config)
            if not given.model_dir or not missing:
                raise
            if "tflite-int8" in options.formats:
                raise UsageError(
                    f"{error}\nint8 is calibrated with images: name some, as in export "
                    f"--model_dir={model_dir} IMAGE ..."
                ) from error
            print(f"warning: the run's data is not there ({missing}).", file=sys.stderr)
            print(
                "The export is proved on pictures of noise; images may be named.", file=sys.stderr
            )
    from efficientnet_tf.export.on_images import default_directory, export_on_images

    export_on_images(
        shared_flags.trained_network(given),
        given.export_dir or default_directory(given.model_dir, given.weights),
        paths,
        options=options,
        class_names=shared_flags.class_names(given),
    )
