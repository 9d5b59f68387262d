"""What an evaluation is asked for beyond the run's own splits: flags, checked before TensorFlow.

Flags that are not given are None.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from efficientnet_tf.errors import UsageError, nearest

SPLITS = ("train", "minival", "test")
SUBSETS = ("imagenet-a", "imagenet-r")  # a part of ImageNet's classes
VARIANTS = ("imagenet-v2", *SUBSETS, "real")
_SMALLEST = 8  # pixels, as config field model.resolution

# (flag, meaning), for --help; a field of EvaluationRequest each.
FLAGS = (
    (
        "split",
        "splits, joined by commas: minival (held out of train), test, train; default: minival,test",
    ),
    (
        "eval_resolution",
        "side of the images in pixels, in place of the run's; its files are named -<N>px",
    ),
    (
        "eval_source",
        "another data set, as data.source; without --split every image of folder: and csv:",
    ),
    ("eval_data_dir", "folder or gs://... with the files of --eval_source"),
    ("eval_variant", f"variant of ImageNet (docs/evaluation.md): {', '.join(VARIANTS)}"),
    ("real_labels", "path of real.json, for --eval_variant=real"),
    (
        "class_names",
        "file with the names of the run's classes, one on each line, to match others by",
    ),
)


@dataclass(frozen=True)
class EvaluationRequest:
    """The flags of the word evaluate; names are those of `FLAGS`."""

    split: tuple[str, ...] | None = None
    eval_resolution: int | None = None
    eval_source: str | None = None
    eval_data_dir: str | None = None
    eval_variant: str | None = None
    real_labels: str | None = None
    class_names: str | None = None

    @property
    def whole(self) -> bool:
        """Whether every image of the source is meant, whatever its split."""
        kind = (self.eval_source or "").split(":", 1)[0]
        return self.split is None and kind in ("folder", "csv")


def evaluation_request(values: Mapping[str, str | None]) -> EvaluationRequest:
    """The request that the flags (by name, None if not given) make.

    Raises:
        UsageError: a value is out of range, or flags do not fit together.
    """
    split, resolution = values["split"], values["eval_resolution"]
    request = EvaluationRequest(
        split=None if split is None else _splits(split),
        eval_resolution=None if resolution is None else _resolution(resolution),
        eval_source=values["eval_source"],
        eval_data_dir=values["eval_data_dir"],
        eval_variant=values["eval_variant"],
        real_labels=values["real_labels"],
        class_names=values["class_names"],
    )
    _check(request)
    return request


def _splits(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in SPLITS:
            raise UsageError(
                f'--split must be some of {", ".join(SPLITS)}, joined by commas, received "{text}".'
                + nearest(name, SPLITS)
            )
    return tuple(dict.fromkeys(names))


def _resolution(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < _SMALLEST:
        raise UsageError(
            f"--eval_resolution must be a whole number of pixels, at least {_SMALLEST}, received "
            f'"{text}".'
        )
    return int(text)


def _check(request: EvaluationRequest) -> None:
    variant = request.eval_variant
    if variant is not None and variant not in VARIANTS:
        raise UsageError(
            f'--eval_variant must be one of {", ".join(VARIANTS)}, received "{variant}".'
            + nearest(variant, VARIANTS)
        )
    if request.eval_data_dir is not None and request.eval_source is None:
        raise UsageError(
            "--eval_data_dir says where --eval_source lies, which was not given. For the run's own "
            "data set elsewhere, give --data_dir."
        )
    if (variant == "real") != (request.real_labels is not None):
        raise UsageError(
            "--eval_variant=real and --real_labels=FILE belong together; FILE is real.json of "
            "github.com/google-research/reassessed-imagenet."
        )
    if variant in (None, "real"):
        return
    if (request.eval_source or "").split(":", 1)[0] != "folder":
        raise UsageError(
            f"--eval_variant={variant} needs the folder with its class folders: "
            f'--eval_source=folder:DIR, received "{request.eval_source or ""}".'
        )
    if request.split is not None:
        raise UsageError(f"--eval_variant={variant} has no splits; leave --split out.")


def slug(text: str) -> str:
    """A part of a file name: `folder:my photos` is `folder-my-photos`."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in text).split())
