"""On what a run is evaluated: its own splits, another data set, a variant of ImageNet.

Another set is brought into the class numbers of the run's network, so that its own data set need
not be there.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.data.sources.by_name import configured_source, load_source
from efficientnet_tf.data.sources.class_mapping import match_classes, relabelled
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluation import imagenet_variants as variants
from efficientnet_tf.evaluation.request import SUBSETS, EvaluationRequest, slug
from efficientnet_tf.evaluation.scores import Outcomes
from efficientnet_tf.models.networks import configured
from efficientnet_tf.runs.stored_config import stored_fields
from efficientnet_tf.runs.trained_model import run_classes


@dataclass(frozen=True)
class Target:
    """What is evaluated, and under which names its results are kept; see `resolve`.

    Attributes:
        request, config, model_dir: what was asked for, of which run.
        source: its labels count the classes that may be answered.
        num_classes: of the network.
        class_names: of the network, or None if unknown.
        answers: class numbers of the network that may be answered, ascending; None: all.
    """

    request: EvaluationRequest
    config: ExperimentConfig
    model_dir: str
    source: Source
    num_classes: int
    class_names: tuple[str, ...] | None
    answers: tuple[int, ...] | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is the run's own data set."""
        return self.request.eval_source is None

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.request.eval_resolution or _resolution(self.config)

    @property
    def answer_names(self) -> tuple[str, ...] | None:
        """Names of the classes that may be answered."""
        if self.class_names is None or self.answers is None:
            return self.class_names
        return tuple(self.class_names[number] for number in self.answers)

    @property
    def splits(self) -> tuple[str, ...]:
        """Which are evaluated.

        Raises:
            UsageError: one that was asked for by name is not there.
        """
        if self.request.split is not None:
            for split in self.request.split:
                self.source.size(split)
            return self.request.split
        own = self.is_own and not self.request.eval_variant
        asked = ("minival", "test") if own else ("test",)
        return tuple(split for split in asked if self.source.num_examples[split])

    def result_name(self, split: str) -> str:
        """The part of the file names for what was evaluated: "test", "imagenet-a", "test-300px".

        An evaluation other than the run's own never takes the place of the run's own.
        """
        request, variant = self.request, self.request.eval_variant
        if variant not in (None, "real"):
            parts = [str(variant)]
        elif self.is_own:
            parts = [split]
        else:
            parts = [slug(self.source.name)] if request.whole else [slug(self.source.name), split]
        if variant == "real":
            parts.append("real")
        if self.resolution != _resolution(self.config):
            parts.append(f"{self.resolution}px")
        return "-".join(parts + _other_crop(self.config, self.model_dir))

    def described(self, split: str) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "split": "all" if self.request.whole else split,
            "variant": self.request.eval_variant,
            "source": self.source.name,
            "resolution": self.resolution,
            "eval_crop": self.config.data.eval_crop,
        }

    @cached_property
    def real_labels(self) -> "RealLabels | None":
        """If they were asked for; raises as `RealLabels`."""
        path = self.request.real_labels
        return RealLabels(path, self) if path else None


def resolve(request: EvaluationRequest, config: ExperimentConfig, model_dir: str) -> Target:
    """What is evaluated of the run in `model_dir`: its own data set or that of --eval_source.

    Raises:
        UsageError: there is no such data set or no run whose classes it could have, or their
            classes do not fit.
    """
    resolution = request.eval_resolution or _resolution(config)
    if request.eval_source is None:
        source = configured_source(config.data, resolution)
        num_classes, names = source.num_classes, source.class_names
    else:
        num_classes, names = run_classes(model_dir, config.data)
    if request.class_names is not None:
        names = variants.read_names(request.class_names, num_classes)
    if request.eval_source is None:
        return Target(request, config, model_dir, source, num_classes, names)
    source = _other_source(request, config, resolution)
    if request.eval_variant in SUBSETS:
        table = variants.subset_classes(source, str(request.eval_variant), names)
        answers = np.unique(table)
        answer_names = tuple(names[number] for number in answers) if names else None
        places = np.searchsorted(answers, table)
        source = relabelled(source, places, len(answers), answer_names)
        numbers = tuple(answers.tolist())
        return Target(request, config, model_dir, source, num_classes, names, numbers)
    match = variants.v2_classes if request.eval_variant == "imagenet-v2" else match_classes
    source = relabelled(source, match(source, num_classes, names), num_classes, names)
    return Target(request, config, model_dir, source, num_classes, names)


def _other_source(request: EvaluationRequest, config: ExperimentConfig, image_size: int) -> Source:
    try:
        return load_source(
            str(request.eval_source),
            request.eval_data_dir,
            minival_shards=config.data.minival_shards,
            split_seed=config.data.split_seed,
            image_size=image_size,
            whole=request.whole,
        )
    except UsageError as error:  # it speaks of the fields and flags of training
        raise UsageError(
            f"--eval_source={request.eval_source} (with --eval_data_dir for data_dir): {error}"
        ) from error


def _resolution(config: ExperimentConfig) -> int:
    """Of the run."""
    return configured(**asdict(config.model)).resolution


def _other_crop(config: ExperimentConfig, model_dir: str) -> list[str]:
    """The crop of an evaluation, if it is not the one that the run was trained with."""
    stored = stored_fields(model_dir) or {}
    crop, fraction = config.data.eval_crop, config.data.crop_fraction
    theirs = stored.get("data.eval_crop", crop), stored.get("data.crop_fraction", fraction)
    if theirs == (crop, fraction) or (crop == theirs[0] != "fraction"):
        return []
    return [f"{crop}{fraction}" if crop == "fraction" else crop]


class RealLabels:
    """ReaL labels for the images of a target.

    Args:
        path: of real.json.

    Raises:
        UsageError: it cannot be read, or the classes of the target are not ImageNet's.
    """

    def __init__(self, path: str, target: Target) -> None:
        self._source = target.source
        self._labels = variants.read_real_labels(path, target.num_classes)
        self._published = variants.published_classes(target.num_classes, target.class_names)

    def check(self, split: str) -> None:
        """Looks at the first image, lest its name be found wrong after all were evaluated.

        Raises:
            RunError: see `imagenet_variants.validation_numbers`.
        """
        examples = self._source.examples(split)
        (first,) = examples.take(1).as_numpy_iterator()
        variants.validation_numbers(self._source, split, np.array([first["index"]]))

    def accuracy(self, split: str, found: Outcomes) -> dict[str, Any]:
        """See `imagenet_variants.real_accuracy`."""
        numbers = variants.validation_numbers(self._source, split, found.places)
        return variants.real_accuracy(found, numbers, self._labels, self._published)
