"""Flags that several commands have, each said once, and what is made of their values."""

from types import SimpleNamespace
from typing import Any

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError
from efficientnet_tf.export.options import DTYPES, FORMATS, IMAGES, ExportOptions, parse_formats
from efficientnet_tf.machine.device import Device
from efficientnet_tf.models.compound import Coefficients


def take_device(take: FlagGroups) -> None:
    """Where to compute: --tpu and what goes with it."""
    take.text("tpu", None, "local, a TPU's name or grpc://...; default: GPUs if any, else CPU")
    take.text("tpu_zone", None, "of a TPU given by name; default: this machine's")
    take.text("tpu_project", None, "of a TPU given by name; default: this machine's")


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
    take.text("source", "digits", "as config.data.source: folder:PATH, csv:FILE, tfds:NAME, ...")
    take.text("data_dir", None, "where the source's files are, if it needs that")
    take.whole("classes", 0, "of the data set, if no manifest says so; 0: 1000", low=0)


def take_splits(take: FlagGroups) -> None:
    take.many("splits", None, "of train,minival,test; default: all there are")


def take_class_names(take: FlagGroups) -> None:
    take.text("class_names", None, "a text file with one name on each line")


def take_coefficients(take: FlagGroups) -> None:
    """Those of compound scaling."""
    triple = Coefficients()
    take.number("alpha", triple.alpha, "of compound scaling: depth for each step of phi")
    take.number("beta", triple.beta, "width for each step of phi")
    take.number("gamma", triple.gamma, "resolution for each step of phi")
    take.number("tolerance", triple.tolerance, "of alpha * beta^2 * gamma^2 = 2")


def coefficients(given: SimpleNamespace) -> Coefficients:
    """What `take_coefficients` was given; raises UsageError."""
    return Coefficients(given.alpha, given.beta, given.gamma, given.tolerance)


def take_trainings(take: FlagGroups, output_dir: str) -> None:
    """What the words have that train networks of several scales."""
    take.text("output_dir", output_dir, "written to and resumed from")
    classes = "counted; default: digits 10, data.num_classes, or the network's own"
    take.whole("classes", None, classes, low=1)
    take.whole("seeds", 3, "trainings of each network", low=1)
    take.switch("dry_run", False, "only print which networks there are and what they cost")


def take_export(take: FlagGroups) -> None:
    """What an export is to be."""
    take.text("export_dir", None, "the SavedModel; default: <model_dir>/export")
    take.text("export_formats", "saved_model", f"some of {','.join(FORMATS)}")
    take.whole("export_batch", None, "images of a request; default: any number (TFLite: 1)")
    take.text("export_dtype", "float32", f"of the SavedModel: {', '.join(DTYPES)}")
    take.switch("export_xla", False, "the SavedModel is compiled by XLA: for accelerators")
    take.whole("export_images", IMAGES, "how many the export is compared on")


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
        take.many("model_dir", [], "runs of main.py, with commas between them")
        take.many("weights", [], "files of weights, with commas between them")
    else:
        take.text("model_dir", None, "a run of main.py: its best checkpoint")
        take.text("weights", None, "a file of weights, or imagenet")
    if model:
        take.text("model", None, "with --weights: the network, if the file is silent")
    take.whole("classes", None, "with --weights: of the classifier", low=1)
    take.whole("resolution", None, "side in pixels; default: the network's own", low=1)
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
        if getattr(given, name) is not None and not given.weights:
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
