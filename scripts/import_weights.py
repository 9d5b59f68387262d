"""Reads weights of other programs into one file of ours, and prints a receipt.

python scripts/import_weights.py --from=efficientnet-b4/ --output=b4.safetensors
python scripts/import_weights.py --model=efficientnet-b0 --from=tf_efficientnet_b0.pth \
    --output=b0.safetensors --new_head --classes=37 --image=cat.jpg

From: official TF1 checkpoints, keras.applications, qubvel/efficientnet, timm's tf_efficientnet_*.
The model is recognised by the shapes of its weights if --model is left out. The file is loaded by
create_model(NAME, weights=FILE). Exit code 0: done, 1: failed, 2: wrong use.
"""

import sys

from absl import app, flags

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import exit_code

_MODEL = flags.DEFINE_string("model", None, "one of main.py --list_models; default: recognised")
_FROM = flags.DEFINE_string("from", None, "a file, a folder, or the prefix of a TF1 checkpoint")
_FORMAT = flags.DEFINE_string("format", "auto", "auto, tf1, keras, qubvel or timm")
_OUTPUT = flags.DEFINE_string("output", None, "the file to write, .safetensors")
_NEW_HEAD = flags.DEFINE_boolean("new_head", False, "leave the classifier out, draw a new one")
_CLASSES = flags.DEFINE_integer("classes", None, "of the new classifier", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of the new classifier")
_USE_EMA = flags.DEFINE_boolean("use_ema", True, "of averaged and plain weights, the averaged")
_CONTRACT = flags.DEFINE_string(
    "contract", "auto", "the input: auto, imagenet, advprop ([-1, 1]), centred (127, 128), pixels"
)
_IMAGE = flags.DEFINE_string("image", None, "show the best classes of this image")
_RECEIPT = flags.DEFINE_boolean("receipt", False, "a line for every weight")
_WIDTH = flags.DEFINE_float("width_coefficient", None, "of a network of your own")
_DEPTH = flags.DEFINE_float("depth_coefficient", None, "of a network of your own")
_RESOLUTION = flags.DEFINE_integer("resolution", None, "side of the image, of your own")
_BLOCKS = flags.DEFINE_list("blocks_args", None, "block strings of a network of your own")


def run() -> None:
    """Converts what the flags ask for."""
    for flag in (_FROM, _OUTPUT):
        if not flag.value:
            raise UsageError(f"--{flag.name} is needed.")
    start_tensorflow()
    from efficientnet_tf.importers.convert import Import, convert, text

    own = (_WIDTH, _DEPTH, _RESOLUTION, _BLOCKS)
    wanted = Import(
        source=_FROM.value,
        output=_OUTPUT.value,
        model=_MODEL.value,
        format=_FORMAT.value,
        contract=_CONTRACT.value,
        use_ema=_USE_EMA.value,
        new_head=_NEW_HEAD.value,
        classes=_CLASSES.value,
        image=_IMAGE.value,
        seed=_SEED.value,
        coefficients={flag.name: flag.value for flag in own if flag.value is not None},
    )
    print(text(convert(wanted), wanted.output, _RECEIPT.value))


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument "{argv[1]}"')
    sys.exit(exit_code(run))


if __name__ == "__main__":
    app.run(main)
