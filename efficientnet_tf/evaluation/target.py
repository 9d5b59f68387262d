"""On what a run is evaluated: its own splits, another data set, a variant of ImageNet.

Another set is brought into the class numbers of the run's network, so that its own data set need
not be there.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.data.sources.by_name import load_source
from efficientnet_tf.data.sources.class_mapping import match_classes, relabelled
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluation import imagenet_variants as variants
from efficientnet_tf.evaluation.request import SUBSETS, EvaluationRequest, slug
from efficientnet_tf.evaluation.scores import Outcomes
from efficientnet_tf.models.networks import configured
from efficientnet_tf.runs.trained_model import run_classes
from efficientnet_tf.storage.files import exists, read_json


@dataclass(frozen=True)
class Target:
    """What is evaluated.

    Attributes:
        source: its labels count the classes that may be answered.
        num_classes: of the network.
        class_names: of the network, or None if unknown.
        answers: class numbers of the network that may be answered, ascending; None: all.
    """

    source: Source
    num_classes: int
    class_names: tuple[str, ...] | None
    answers: tuple[int, ...] | None = None

    @property
    def answer_names(self) -> tuple[str, ...] | None:
        """Names of the classes that may be answered."""
        if self.class_names is None or self.answers is None:
            return self.class_names
        return tuple(self.class_names[number] for number in self.answers)


def own_target(source: Source, request: EvaluationRequest) -> Target:
    """The run's own data set.

    Raises:
        UsageError: --class_names does not name its classes.
    """
    names = source.class_names
    if request.class_names is not None:
        names = variants.read_names(request.class_names, source.num_classes)
    return Target(source, source.num_classes, names)


def other_target(
    request: EvaluationRequest, config: ExperimentConfig, model_dir: str, image_size: int
) -> Target:
    """The data set of --eval_source in the class numbers of the run in `model_dir`.

    Raises:
        UsageError: there is no run, no such data set, or their classes do not fit.
    """
    num_classes, names = run_classes(model_dir, config.data)
    if request.class_names is not None:
        names = variants.read_names(request.class_names, num_classes)
    data = config.data
    try:
        source = load_source(
            str(request.eval_source),
            request.eval_data_dir,
            minival_shards=data.minival_shards,
            split_seed=data.split_seed,
            image_size=image_size,
            whole=request.whole,
        )
    except UsageError as error:  # it speaks of the fields and flags of training
        raise UsageError(
            f"--eval_source={request.eval_source} (with --eval_data_dir for data_dir): {error}"
        ) from error
    variant = request.eval_variant
    if variant in SUBSETS:
        table = variants.subset_classes(source, str(variant), names)
        answers = np.unique(table)
        answer_names = tuple(names[number] for number in answers) if names else None
        places = np.searchsorted(answers, table)
        source = relabelled(source, places, len(answers), answer_names)
        return Target(source, num_classes, names, tuple(answers.tolist()))
    if variant == "imagenet-v2":
        table = variants.v2_classes(source, num_classes, names)
    else:
        table = match_classes(source, num_classes, names)
    return Target(relabelled(source, table, num_classes, names), num_classes, names)


def splits_of(request: EvaluationRequest, source: Source) -> tuple[str, ...]:
    """Which splits are evaluated.

    Raises:
        UsageError: one that was asked for by name is not there.
    """
    if request.split is not None:
        for split in request.split:
            source.size(split)
        return request.split
    asked = ("test",) if request.eval_source or request.eval_variant else ("minival", "test")
    return tuple(split for split in asked if source.num_examples[split])


def result_name(
    request: EvaluationRequest, config: ExperimentConfig, model_dir: str, split: str, source: Source
) -> str:
    """The part of the file names that says what was evaluated: "test", "imagenet-a", "test-300px".

    An evaluation other than the run's own never takes the place of the run's own.
    """
    variant = request.eval_variant
    if variant not in (None, "real"):
        parts = [str(variant)]
    elif request.eval_source is None:
        parts = [split]
    else:
        parts = [slug(source.name)] if request.whole else [slug(source.name), split]
    if variant == "real":
        parts.append("real")
    if request.eval_resolution not in (None, configured(**asdict(config.model)).resolution):
        parts.append(f"{request.eval_resolution}px")
    return "-".join(parts + _other_crop(config, model_dir))


def _other_crop(config: ExperimentConfig, model_dir: str) -> list[str]:
    """The crop of an evaluation, if it is not the one that the run was trained with."""
    path = os.path.join(model_dir, "config.json")
    stored = read_json(path) if exists(path) else {}
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
        examples = self._source.examples(split, epoch=0, seed=0, shuffle=False)
        (first,) = examples.take(1).as_numpy_iterator()
        variants.validation_numbers(self._source, split, np.array([first["index"]]))

    def accuracy(self, split: str, found: Outcomes) -> dict[str, Any]:
        """See `imagenet_variants.real_accuracy`."""
        numbers = variants.validation_numbers(self._source, split, found.places)
        return variants.real_accuracy(found, numbers, self._labels, self._published)
