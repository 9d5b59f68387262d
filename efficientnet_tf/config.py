"""The typed, closed configuration of an experiment.

A config file in `configs/` has `get_config()`, which returns an `ExperimentConfig`; the command
line may override any field (`--config.optimizer.weight_decay=0`); then `finish` validates and
freezes it, and from there on it never changes. Every field carries its meaning and its range, so
`main.py --help`, the checks and the resolved copy in model_dir come from this one table.

Changing a field outside `FREE_ON_RESUME` makes another experiment: a run in the same model_dir is
refused.
"""

import dataclasses
import functools
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from efficientnet_tf.errors import UsageError, nearest, whole_number

# The part of data.source before the colon.
SOURCES = ("imagenet", "tfrecord", "folder", "csv", "tfds", "digits", "synthetic")


def _option(
    default: Any,
    meaning: str,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A field with its meaning and range; `low` and `high` belong to the range."""
    metadata = {
        "meaning": meaning,
        "choices": choices,
        "low": low,
        "high": high,
        "above": above,
        "below": below,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass
class _Section:
    """Attributes can be set until `freeze`, and only those that are declared."""

    def __setattr__(self, name: str, value: Any) -> None:
        declared = [field.name for field in dataclasses.fields(self)]
        if name not in declared:
            raise UsageError(f'config has no field "{name}".{nearest(name, declared)}')
        if self.__dict__.get("_frozen"):
            raise UsageError(f'config field "{name}" cannot change after the run has started.')
        number = whole_number(value, -(2**63))  # numpy's, too, which JSON does not know
        self.__dict__[name] = value if number is None else number

    def freeze(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, _Section):
                value.freeze()
        self.__dict__["_frozen"] = True


@dataclasses.dataclass
class ModelConfig(_Section):
    name: str = _option("efficientnet-b0", "name of the network; main.py models lists all")
    width_coefficient: float | None = _option(
        None, "factor on the number of filters; None: that of the named network", above=0
    )
    depth_coefficient: float | None = _option(
        None, "factor on the number of layers; None: that of the named network", above=0
    )
    resolution: int | None = _option(
        None, "side of the input images in pixels; None: that of the named network", low=8
    )
    dropout_rate: float | None = _option(
        None,
        "share of features that dropout removes before the classifier; None: that of the named "
        "network",
        low=0,
        below=1,
    )
    survival_prob: float | None = _option(
        None,
        "stochastic depth: probability that the last block is kept in training; None: 0.8",
        above=0,
        high=1,
    )
    blocks_args: tuple[str, ...] | None = _option(
        None, "block strings such as r1_k3_s11_e1_i32_o16_se0.25; None: those of the named network"
    )


@dataclasses.dataclass
class DataConfig(_Section):
    source: str = _option(
        "imagenet",
        "data set: imagenet, tfrecord, folder[:PATH], csv[:PATH], tfds:NAME, digits or synthetic",
    )
    data_dir: str | None = _option(None, "folder or gs://... with the files of the data set")
    num_classes: int = _option(
        0, "number of classes; 0: that of the data set (TFRecords without a manifest: 1000)", low=0
    )
    label_offset: int = _option(
        1, "number that class 0 has in TFRecords without a manifest; official: 1", low=0
    )
    minival_shards: int = _option(
        20,
        "imagenet: train files held out as minival, the images that choose the best checkpoint",
        low=0,
    )
    minival: int = _option(
        0,
        "number of train images held out as minival in place of whole files (paper: 25000); "
        "0: as the data set has it",
        low=0,
    )
    test: int = _option(
        0,
        "number of images held out where folder, csv or tfds have no test split; 0: a tenth",
        low=0,
    )
    train_on_minival: bool = _option(
        False, "train on the minival images, too, and use the last checkpoint, not the best"
    )
    folds: int = _option(
        0,
        "number of parts of train and minival for cross-validation, of which one is the minival; "
        "0: off",
        low=0,
    )
    fold: int = _option(0, "number of the part that is minival in cross-validation, from 0", low=0)
    expected_sizes: tuple[int, ...] | None = _option(
        None,
        "how many images train (with minival) and test must have, else the run is refused; "
        "None or (): any",
    )
    balanced_sampling: bool = _option(
        False, "show images of all classes equally often (folder, csv, digits)"
    )
    split_seed: int = _option(
        0, "seed that decides which images are held out", low=0, high=2**31 - 1
    )
    accept_changes: bool = _option(
        False, "continue or evaluate a run although the images of its data set have changed"
    )
    verify_checksums: bool = _option(
        False, "compare the contents, not only the sizes, of TFRecord files with their manifest"
    )
    on_error: str = _option(
        "stop",
        "what to do at an image or record that cannot be used: stop, or skip it",
        choices=("stop", "skip"),
    )
    max_bad_examples: int = _option(
        100, "number of examples that each machine may skip in each split", low=0
    )
    train_crop: str = _option(
        "inception",
        "crop in training; inception: a random part; pad: a shift by up to an eighth; none",
        choices=("inception", "pad", "none"),
    )
    flip: bool = _option(True, "mirror half of the training images")
    eval_crop: str = _option(
        "padding",
        "central crop in evaluation; padding: size/(size+32), as in the paper; "
        "fraction: crop_fraction; none",
        choices=("padding", "fraction", "none"),
    )
    crop_fraction: float = _option(
        0.875, "share of the short side that eval_crop=fraction keeps", above=0, high=1
    )
    interpolation: str = _option(
        "bicubic_tf1",
        "interpolation of the resize",
        choices=("bicubic_tf1", "bicubic", "bilinear"),
    )
    exif_rotation: bool | None = _option(
        None,
        "turn photos upright as their EXIF orientation says; None: yes, but not those of ImageNet, "
        "which the published networks saw as stored",
    )
    augment: str = _option(
        "none",
        "augmentations joined by +: autoaugment, randaugment(magnitude=10), cutout, "
        "random_erasing, mixup, cutmix",
    )
    shuffle_buffer: int = _option(16384, "number of examples that are shuffled at once", low=1)
    deterministic: bool = _option(True, "keep the same order for any number of threads")


@dataclasses.dataclass
class OptimizerConfig(_Section):
    kind: str = _option(
        "rmsprop",
        "update rule: rmsprop, or sgd with Nesterov's momentum",
        choices=("rmsprop", "sgd"),
    )
    base_learning_rate: float = _option(
        0.016, "learning rate for each 256 images of the global batch", above=0
    )
    schedule: str = _option(
        "exponential",
        "schedule by which the learning rate falls",
        choices=("exponential", "cosine", "constant", "polynomial"),
    )
    warmup_epochs: float = _option(
        5.0,
        "epochs in which the rate rises from 0; the decay counts from step 0 all the same",
        low=0,
    )
    decay_epochs: float = _option(2.4, "period of the exponential decay in epochs", above=0)
    decay_factor: float = _option(
        0.97, "factor on the learning rate after each period", above=0, high=1
    )
    staircase: bool = _option(True, "let the exponential decay go in steps, not smoothly")
    rho: float = _option(0.9, "decay of RMSProp's mean of squared gradients", low=0, below=1)
    momentum: float = _option(0.9, "momentum of RMSProp and of SGD", low=0, below=1)
    epsilon: float = _option(1e-3, "number that RMSProp adds inside the square root", above=0)
    weight_decay: float = _option(
        1e-5, "factor of the L2 penalty in the loss, which leaves out batch norm", low=0
    )
    label_smoothing: float = _option(
        0.1, "share of each label that is spread evenly over all classes", low=0, below=1
    )
    clip_norm: float = _option(
        0.0, "largest global norm of the gradient, which is clipped to it; 0: no limit", low=0
    )
    ema_decay: float = _option(
        0.9999,
        "decay of the averaged weights, a running average that is evaluated; 0: no average",
        low=0,
        below=1,
    )


@dataclasses.dataclass
class TrainConfig(_Section):
    epochs: float = _option(350.0, "passes over the training images", above=0)
    global_batch_size: int = _option(
        2048,
        "images in one update, over all replicas (copies of the network, one on each device)",
        low=1,
    )
    accumulation_steps: int = _option(
        1, "parts in which an update is computed one after another, to save memory", low=1
    )
    precision: str = _option(
        "auto",
        "type of numbers in the layers; auto: bfloat16 on TPU, else float32",
        choices=("auto", "float32", "bfloat16"),
    )
    batch_norm_group: str = _option(
        "official",
        "replicas that share batch-norm moments; official: groups beyond 8; synchronised: all; "
        "local: none",
        choices=("official", "synchronised", "local"),
    )
    rematerialise: bool = _option(
        False, "compute blocks again in the backward pass to save memory, for big networks"
    )
    seed: int = _option(
        0,
        "seed of first weights, order, augmentation and dropout masks",
        low=0,
        high=2**31 - 1,
    )
    steps_per_loop: int = _option(
        0, "steps that the device runs in one call; 0: 100 on a TPU, else 10", low=0
    )
    eval_every_epochs: float = _option(
        10.0, "epochs between evaluations of minival; 0: one at the end", low=0
    )
    checkpoint_every_epochs: float = _option(
        2.0, "epochs between checkpoints; each evaluation saves one, too", low=0
    )
    keep_checkpoints: int = _option(
        3, "number of newest checkpoints to keep; the best is kept besides", low=1
    )
    patience: int = _option(
        0, "evaluations without a better minival top-1 after which training stops; 0: off", low=0
    )
    eval_batch_size: int = _option(
        0, "images evaluated at once, over all replicas; 0: as in training", low=0
    )
    eval_raw_weights: bool = _option(
        False, "evaluate the raw weights, too, not only the averaged ones"
    )


@dataclasses.dataclass
class TransferConfig(_Section):
    freeze_until: str = _option(
        "", "last stage that is not trained: stem, block1 .. block7, or head (all but classifier)"
    )
    new_head: bool = _option(False, "draw the classifier anew even if the stored one would fit")
    batch_norm: str = _option(
        "train",
        "moments of batch norm in training; train: those of the batch; frozen: the stored ones",
        choices=("train", "frozen"),
    )
    batch_norm_momentum: float | None = _option(
        None,
        "momentum of batch norm's moving statistics; None: the network's, 0.99",
        low=0,
        below=1,
    )
    layer_decay: float = _option(
        1.0, "factor on the learning rate from each stage to the one below it", above=0, high=1
    )
    head_learning_rate: float = _option(
        1.0, "learning rate of the classifier as a multiple of the others'", above=0
    )
    class_weights: str = _option(
        "none",
        "weights of classes in the loss: none, balanced, or a number for each in the order of the "
        "classes (sorted names, see classes.json), with commas",
    )


@dataclasses.dataclass
class ExperimentConfig(_Section):
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    transfer: TransferConfig = dataclasses.field(default_factory=TransferConfig)
    init_from: str = _option(
        "",
        "first weights: a .safetensors file, a run's model_dir, or imagenet; empty: random ones",
    )

    def derive_by(self, rule: "Rule") -> None:
        """Lets a config file set fields once those of the command line are known.

        Args:
            rule: called with the configuration and the fields that were given, by dotted names.
        """
        self.__dict__["_rule"] = rule


Rule = Callable[[ExperimentConfig, Mapping[str, Any]], None]


# Names of earlier versions, which config.json of their runs still has.
_RENAMED = {"train.batch_norm": "train.batch_norm_group"}

# Fields that do not change the numbers of any step, or only of steps still to come.
FREE_ON_RESUME = frozenset(
    {
        "data.data_dir",
        "data.expected_sizes",
        "data.accept_changes",
        "data.verify_checksums",
        "data.on_error",
        "data.max_bad_examples",
        "data.eval_crop",
        "data.crop_fraction",
        "train.epochs",
        "train.steps_per_loop",
        "train.eval_every_epochs",
        "train.checkpoint_every_epochs",
        "train.keep_checkpoints",
        "train.patience",
        "train.eval_batch_size",
        "train.eval_raw_weights",
    }
)


def fields(section: Any, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """(dotted name, field, value) of every option, depth first."""
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if isinstance(value, _Section):
            yield from fields(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field, value


def to_dict(config: ExperimentConfig) -> dict[str, Any]:
    """Dotted names to plain values, in the order of the declarations."""
    return {name: value for name, _, value in fields(config)}


def from_dict(values: Mapping[str, Any]) -> ExperimentConfig:
    """The finished configuration of dotted names and values; fields left out keep their default.

    Lists become tuples, for JSON has none.

    Raises:
        UsageError: a name is no field, or `finish` refuses a value.
    """
    return finish(unfinished(values))


def unfinished(values: Mapping[str, Any]) -> ExperimentConfig:
    """As `from_dict`, but not yet validated and frozen: flags may still change it."""
    config = ExperimentConfig()
    for name, value in values.items():
        name = _RENAMED.get(name, name)
        check_name(name)
        *sections, field = name.split(".")
        section = functools.reduce(getattr, sections, config)
        setattr(section, field, tuple(value) if isinstance(value, list) else value)
    return config


def with_fields(config: ExperimentConfig, changes: Mapping[str, Any]) -> ExperimentConfig:
    """A finished copy with other values in some fields (dotted names)."""
    return from_dict({**to_dict(config), **changes})


def differences(config: ExperimentConfig, stored: dict[str, Any]) -> list[str]:
    """Lines `name: stored -> asked` for fields that must not change when a run is resumed.

    A field that is not stored is one that the run's version did not have, and had its default.
    """
    lines = []
    stored = {_RENAMED.get(name, name): value for name, value in stored.items()}
    defaults = to_dict(ExperimentConfig())
    source = stored.get("data.source", defaults["data.source"])
    defaults["data.exif_rotation"] = _turns_photos(str(source))
    for name, value in to_dict(config).items():
        kept = stored.get(name, defaults[name])
        if isinstance(value, tuple) and isinstance(kept, list):
            kept = tuple(kept)  # JSON has no tuples
        if name == "data.source":
            kept, value = _without_place(kept), _without_place(value)
        if name not in FREE_ON_RESUME and kept != value:
            lines.append(f"{name}: {kept!r} -> {value!r}")
    return lines


def _turns_photos(source: str) -> bool:
    """Whether photos of a data set are turned upright where nobody says: see exif_rotation."""
    return not source.startswith(("imagenet", "tfds:imagenet"))


def _without_place(source: Any) -> Any:
    """A data.source without the path, which may change as data.data_dir may."""
    kind = str(source).partition(":")[0]
    return kind if kind in ("folder", "csv") else source


def check_name(dotted: str) -> None:
    """Raises a UsageError with the nearest names if `dotted` is no field of the configuration."""
    known = [name for name, _, _ in fields(ExperimentConfig())]
    if dotted not in known:
        leaf = dotted.rsplit(".", 1)[-1]
        same_leaf = (name for name in known if name.rsplit(".", 1)[-1] == leaf)
        meant = _RENAMED.get(dotted) or next(same_leaf, None)
        hint = f' Did you mean "{meant}"?' if meant else nearest(dotted, known)
        raise UsageError(f'config has no field "{dotted}".{hint}')


def allowed_types(annotation: Any) -> tuple[type, ...]:
    """The types of the values that a field of this annotation can have."""
    if isinstance(annotation, types.UnionType):
        return tuple(t for part in typing.get_args(annotation) for t in allowed_types(part))
    if typing.get_origin(annotation) is tuple:
        return (tuple, list)
    return (int, float) if annotation is float else (annotation,)


def check_value(name: str, field: dataclasses.Field, value: Any) -> None:
    """Raises a UsageError if a field cannot have a value; `name` is for the message."""
    allowed = allowed_types(field.type)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        expected = getattr(field.type, "__name__", None) or str(field.type)
        raise UsageError(
            f"config field {name} must be of type {expected}, "
            f"received {value!r} ({type(value).__name__})."
        )
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise UsageError(
            f"config field {name} must be one of {', '.join(choices)}, received "
            f'"{value}".{nearest(str(value), choices)}'
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_range(name, field, value)


def _check_range(name: str, field: dataclasses.Field, value: float) -> None:
    wanted, met = [], math.isfinite(value)
    for key, words, inside in (
        ("low", "at least", operator.ge),
        ("above", "above", operator.gt),
        ("high", "at most", operator.le),
        ("below", "below", operator.lt),
    ):
        limit = field.metadata[key]
        if limit is not None:
            wanted.append(f"{words} {limit}")
            met = met and inside(value, limit)
    if not met:
        interval = " and ".join(wanted)
        raise UsageError(f"config field {name} must be {interval}, received {value!r}.")


def _check_sizes(config: ExperimentConfig) -> None:
    sizes = config.data.expected_sizes
    if sizes and (len(sizes) != 2 or not all(type(size) is int and size > 0 for size in sizes)):
        raise UsageError(
            "config field data.expected_sizes must be two numbers of images, of train with minival "
            f"and of test, or (); received {sizes!r}."
        )
    if sizes is not None:
        config.data.expected_sizes = tuple(sizes)
    if config.data.train_on_minival and config.data.minival:
        raise UsageError(
            "config fields data.train_on_minival and data.minival contradict each other: minival "
            f"is {config.data.minival}. Set one of them."
        )
    folds, fold = config.data.folds, config.data.fold
    if folds == 1 or (folds and (fold >= folds or config.data.train_on_minival)):
        raise UsageError(
            "config field data.folds must be 0 or at least 2, above data.fold, and without "
            f"data.train_on_minival; received folds {folds}, fold {fold}, train_on_minival "
            f"{config.data.train_on_minival}."
        )


def check_kind(config: Any) -> None:
    """Raises a UsageError if it is no ExperimentConfig."""
    if not isinstance(config, ExperimentConfig):
        raise UsageError(
            "the config file's get_config() must return an efficientnet_tf.config."
            f"ExperimentConfig, received {type(config).__name__}."
        )


def _check_fields(config: ExperimentConfig) -> None:
    for name, field, value in fields(config):
        check_value(name, field, value)


def finish(config: Any, given: Iterable[str] = ()) -> ExperimentConfig:
    """Validates and freezes a configuration.

    Args:
        given: fields (dotted names) that others follow from, see `ExperimentConfig.derive_by`.

    Raises:
        UsageError: not an ExperimentConfig, a wrong type, a value out of range, or fields that do
            not fit together.
    """
    check_kind(config)
    _check_fields(config)
    if "_rule" in config.__dict__:
        names = set(given)
        values = {name: value for name, _, value in fields(config) if name in names}
        config.__dict__.pop("_rule")(config, values)
        _check_fields(config)
    if isinstance(config.model.blocks_args, list):
        config.model.blocks_args = tuple(config.model.blocks_args)
    _check_sizes(config)
    source = config.data.source.split(":", 1)[0]
    if source not in SOURCES:
        raise UsageError(
            f"config field data.source must be one of {', '.join(SOURCES)}, received "
            f'"{config.data.source}".{nearest(source, SOURCES)}'
        )
    if config.data.exif_rotation is None:
        config.data.exif_rotation = _turns_photos(config.data.source)
    train = config.train
    if train.global_batch_size % train.accumulation_steps:
        raise UsageError(
            "config field train.accumulation_steps must divide train.global_batch_size: "
            f"{train.accumulation_steps} does not divide {train.global_batch_size}."
        )
    config.freeze()
    return config
