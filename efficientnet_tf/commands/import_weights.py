"""Reads weights of other programs into one file of ours, and prints a receipt.

python main.py import-weights --from=efficientnet-b4/ --output=b4.safetensors
python main.py import-weights --model=efficientnet-b0 --from=tf_efficientnet_b0.pth \\
    --output=b0.safetensors --new_head --classes=37 --image=cat.jpg

It reads official TF1 checkpoints and files of keras.applications, qubvel/efficientnet and timm
(tf_efficientnet_*). The receipt says what was taken, what was left over, and which images the
weights want. The model is recognised by the shapes of its weights if --model is left out. The file
is loaded by create_model(NAME, weights=FILE). Exit code 0: done, 1: failed, 2: wrong use.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import refuse_arguments
from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers.detect import FORMATS
from efficientnet_tf.importers.input_contract import FAMILIES

_OWN = ("width_coefficient", "depth_coefficient", "resolution", "blocks_args")
NEEDS = ("h5py", "safetensors")


def take_flags(take: FlagGroups) -> None:
    take.heading("From and to")
    take.text("from", None, "file, folder, or prefix of a TF1 checkpoint to read")
    take.choice("format", "auto", ("auto", *FORMATS), "program that wrote it")
    take.switch("use_ema", True, "take the running averages of the weights where both are stored")
    take.text("output", None, "file to write, .safetensors")
    take.switch("receipt", False, "print a line for every weight")
    take.text("image", None, "image file, whose best classes are shown")
    take.heading("The network")
    take.text("model", None, "name of the network; default: recognised by the weights")
    contract = "pixel scale that the weights were trained with; advprop: [-1, 1]"
    take.choice("contract", "auto", ("auto", *FAMILIES), contract)
    take.switch("new_head", False, "leave the stored classifier out and draw a new one")
    take.whole("classes", None, "number of classes of the new classifier", low=1)
    take.whole("seed", 0, "seed of the new classifier", low=0)
    take.heading("A network of your own")
    take.number("width_coefficient", None, "factor on the number of filters")
    take.number("depth_coefficient", None, "factor on the number of layers")
    take.whole("resolution", None, "side of the images in pixels", low=1)
    take.many("blocks_args", None, "block strings, with commas between them")


def run(given: SimpleNamespace) -> None:
    refuse_arguments(given)
    source = getattr(given, "from")
    for name, value in (("from", source), ("output", given.output)):
        if not value:
            raise UsageError(f"--{name} is needed.")
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.importers.convert import Import, convert, text

    wanted = Import(
        source=source,
        output=given.output,
        model=given.model,
        format=given.format,
        contract=given.contract,
        use_ema=given.use_ema,
        new_head=given.new_head,
        classes=given.classes,
        image=given.image,
        seed=given.seed,
        coefficients={name: value for name in _OWN if (value := getattr(given, name)) is not None},
    )
    print(text(convert(wanted), wanted.output, given.receipt))
