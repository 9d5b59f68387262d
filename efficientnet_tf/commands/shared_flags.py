"""Flags that several commands have, each said once, and what is made of their values."""

from types import SimpleNamespace
from typing import Any

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError
from efficientnet_tf.export.options import DTYPES, FORMATS, IMAGES, ExportOptions, parse_formats
from efficientnet_tf.machine.device import Device
from efficientnet_tf.models.compound import Coefficients
from efficientnet_tf.models.networks import is_file


def take_device(take: FlagGroups) -> None:
    """Where to compute: --tpu and what goes with it."""
    what = "TPU: local, its name or grpc://...; default: no TPU, but the GPUs if any, else the CPU"
    take.text("tpu", None, what)
    take.text("tpu_zone", None, "zone of a TPU given by name; default: this machine's")
    take.text("tpu_project", None, "Google Cloud project of such a TPU; default: this machine's")


def device(given: SimpleNamespace) -> Device:
    """What `take_device` was given."""
    return Device(given.tpu, given.tpu_zone, given.tpu_project)


def refuse_arguments(given: SimpleNamespace) -> None:
    """Raises a UsageError if there is an argument that is no flag."""
    if given.arguments:
        raise UsageError(
            f'unexpected argument "{given.arguments[0]}": everything is a flag, as --name=value.'
        )


def take_source(take: FlagGroups) -> None:
    """A data set: --source, --data_dir and --classes."""
    what = "data set, as in data.source: folder:PATH, csv:FILE, tfds:NAME, ..."
    take.text("source", "digits", what)
    take.text("data_dir", None, "folder or gs://... with its files, if it needs one")
    take.whole("classes", 0, "number of classes, if no manifest says it; 0: 1000", low=0)
    offset = "number that class 0 has in TFRecords without a manifest; official: 1"
    take.whole("label_offset", 1, offset, low=0)


def take_splits(take: FlagGroups) -> None:
    splits = "some of train, minival (a part of it held out), test; default: all that are there"
    take.many("splits", None, splits)


def take_class_names(take: FlagGroups) -> None:
    take.text("class_names", None, "text file with the names of the classes, one on each line")


def take_coefficients(take: FlagGroups) -> None:
    """Those of compound scaling."""
    triple = Coefficients()
    take.number("alpha", triple.alpha, "compound scaling: factor on depth for each step of phi")
    take.number("beta", triple.beta, "factor on width for each step of phi")
    take.number("gamma", triple.gamma, "factor on resolution for each step of phi")
    take.number("tolerance", triple.tolerance, "how far alpha * beta^2 * gamma^2 may be from 2")


def coefficients(given: SimpleNamespace) -> Coefficients:
    """What `take_coefficients` was given; raises UsageError."""
    return Coefficients(given.alpha, given.beta, given.gamma, given.tolerance)


def take_trainings(take: FlagGroups, output_dir: str) -> None:
    """What the words have that train networks of several scales."""
    take.text("output_dir", output_dir, "folder that results are written to and resumed from")
    classes = "number of classes; default: digits 10, data.num_classes, or the network's own"
    take.whole("classes", None, classes, low=1)
    take.whole("seeds", 3, "number of trainings of each network", low=1)
    take.switch("dry_run", False, "only print which networks there are and what they cost")


def take_export(take: FlagGroups) -> None:
    """What an export is to be."""
    take.text("export_dir", None, "folder of the SavedModel; default: <model_dir>/export")
    take.text("export_formats", "saved_model", f"formats to write: {','.join(FORMATS)}")
    take.whole("export_batch", None, "images in each request; default: any number (TFLite: 1)")
    take.text("export_dtype", "float32", f"numbers in the SavedModel: {', '.join(DTYPES)}")
    take.switch("export_xla", False, "have XLA compile the SavedModel, for accelerators")
    take.whole("export_images", IMAGES, "number of images that the export is compared on")


def export_options(given: SimpleNamespace) -> ExportOptions:
    """What `take_export` was given; raises UsageError."""
    return ExportOptions(
        parse_formats(given.export_formats),
        given.export_batch,
        given.export_dtype,
        given.export_xla,
        given.export_images,
    )


def take_network(take: FlagGroups, *, model: bool = True, several: bool = False) -> None:
    """One trained network, or several: a run or a file of weights.

    Args:
        model: False where --model is a flag of the command already.
        several: --model_dir and --weights are lists.
    """
    if several:
        take.many("model_dir", [], "folders of runs, with commas between them")
        take.many("weights", [], "files of weights (.safetensors), with commas between them")
    else:
        take.text("model_dir", None, "folder of a run, whose best checkpoint is taken")
        take.text("weights", None, "file of weights (.safetensors), or imagenet")
    if model:
        what = "with --weights: name of the network, if the file has none"
        take.text("model", None, f"{what}; a run of file.py:NAME needs it once more")
    take.whole("classes", None, "with --weights: number of classes", low=1)
    take.whole("resolution", None, "side of the images in pixels; default: the network's", low=1)
    take_class_names(take)


def check_network(given: SimpleNamespace, *others: str) -> None:
    """Raises a UsageError unless exactly one network is named; needs no TensorFlow.

    Args:
        others: names of flags of the command that name one, too.
    """
    choices = ("model_dir", *others, "weights")
    named = [f"--{name}" for name in choices if getattr(given, name)]
    if len(named) != 1:
        *first, last = (f"--{name}" for name in choices)
        raise UsageError(
            f"expected one of {', '.join(first)} and {last}, received "
            f"{' and '.join(named) or 'none'}."
        )
    for name in ("model", "classes"):
        value = getattr(given, name)
        again = is_file(value) and given.model_dir  # to be run it must be named again
        if value is not None and not given.weights and not again:
            raise UsageError(f"--{name} goes with --weights; the others know it themselves.")


def trained_network(
    given: SimpleNamespace, model_dir: str | None = None, weights: str | None = None
) -> Any:
    """The TrainedModel that `take_network` was given, or one of several; loads TensorFlow."""
    from efficientnet_tf.runs.trained_model import from_run, from_weights

    if model_dir is None and weights is None:
        model_dir, weights = given.model_dir, given.weights
    if model_dir:
        return from_run(model_dir, resolution=given.resolution)
    return from_weights(
        str(weights), given.model, classes=given.classes, resolution=given.resolution
    )


def class_names(given: SimpleNamespace) -> list[str] | None:
    """The names in the file of --class_names, or None; loads TensorFlow."""
    from efficientnet_tf.data.prepare.inventory import read_class_names

    return list(read_class_names(given.class_names)) if given.class_names else None
