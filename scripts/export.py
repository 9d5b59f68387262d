"""Exports a run or imported weights for serving, and proves each file on your images.

python scripts/export.py --model_dir=runs/flowers --export_formats=tflite-int8,onnx photos/
python scripts/export.py --weights=b0.safetensors --export_dir=exports/b0 photos/ 'more/*.jpg'

--export_formats, separated by commas: saved_model (default), tflite-float32, tflite-float16,
tflite-dynamic, tflite-int8, onnx. --export_dir is the folder of the SavedModel; the others lie
beside it: DIR.int8.tflite, DIR.onnx, ... Each is loaded in its own runtime and compared with the
network on the images (files, folders, patterns, - for a list); the proof is stored as JSON. int8
is calibrated with the images after the first --export_images, or with those if there are no
others.

main.py --mode=export does the same, by the same flags, with the images of the run's data set.
Exit code 0: fine. 1: one differs too much or cannot be written. 2: wrong use.
"""

import sys

from absl import flags

from efficientnet_tf.commands import model_flags
from efficientnet_tf.errors import UsageError
from efficientnet_tf.export.options import DTYPES, ExportOptions, parse_formats
from efficientnet_tf.inference.image_list import image_paths
from efficientnet_tf.machine.startup import start_tensorflow, stderr_held_back
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code

_FORMATS = flags.DEFINE_string("export_formats", "saved_model", "what to write")
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "default: MODEL_DIR/export, or WEIGHTS.export"
)
_BATCH = flags.DEFINE_integer("export_batch", None, "images of a request; default: any (TFLite: 1)")
_DTYPE = flags.DEFINE_string("export_dtype", "float32", f"of the SavedModel: {', '.join(DTYPES)}")
_XLA = flags.DEFINE_boolean(
    "export_xla", False, "the SavedModel is compiled by XLA: for accelerators"
)
_IMAGES = flags.DEFINE_integer("export_images", 32, "how many are compared", lower_bound=1)


def read_images(paths: list[str]) -> list[bytes]:
    """The files that can be decoded; the others are named."""
    from pathlib import Path

    from efficientnet_tf.data.diagnose import fault

    good = []
    for path in paths:
        try:
            encoded = Path(path).read_bytes()
        except OSError as error:
            print(f"unusable: {path}: {error.strerror}.", file=sys.stderr)
            continue
        with stderr_held_back():  # libjpeg's own words
            reason = fault(encoded)
        if reason:
            print(f"unusable: {path}: {reason}", file=sys.stderr)
        else:
            good.append(encoded)
    if not good:
        raise UsageError("none of the images can be used; give some that show what is expected.")
    return good


def run(arguments: list[str]) -> None:
    """Everything."""
    model_flags.check()
    options = ExportOptions(
        parse_formats(_FORMATS.value), _BATCH.value, _DTYPE.value, _XLA.value, _IMAGES.value
    )
    paths = image_paths(arguments, sys.stdin)
    start_tensorflow()
    from efficientnet_tf.export import formats, saved_model

    output = _EXPORT_DIR.value
    if output is None:
        run_dir, weights = model_flags.MODEL_DIR.value, model_flags.WEIGHTS.value
        output = (
            f"{run_dir}/export" if run_dir else f"{weights.removesuffix('.safetensors')}.export"
        )
    if "saved_model" in options.formats:
        saved_model.check_directory(output)
    trained = model_flags.trained()
    images = read_images(paths[: options.images + formats.CALIBRATION_IMAGES])
    formats.write(
        trained.model,
        output,
        trained.preprocessing,
        formats.make_sample(
            trained.model,
            trained.preprocessing,
            images[: options.images],
            calibration=images[options.images :] or None,
        ),
        class_names=model_flags.class_names() or trained.class_names,
        metadata={"model": trained.name, "image_size": trained.preprocessing.image_size},
        options=options,
        say=print,
    )


def main(argv: list[str]) -> None:
    if asks_for_help(argv):
        print(__doc__, model_flags.help_text(), sep="\n")
    else:
        run(flags.FLAGS(argv)[1:])


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv)))
