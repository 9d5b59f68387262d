"""What a run reads: its configured source, with folds and sampling, or another one to evaluate."""

from typing import NamedTuple

from efficientnet_tf.config import DataConfig, ExperimentConfig
from efficientnet_tf.data.sources.by_name import check_expected, load_source
from efficientnet_tf.data.sources.resampling import balanced, with_fold, with_minival
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.evaluation.request import EvaluationRequest
from efficientnet_tf.evaluation.target import Target, other_target, own_target
from efficientnet_tf.transfer import fine_tuning


class RunData(NamedTuple):
    """The images of a run.

    Attributes:
        source: whose counts make steps and epochs; evaluations read it.
        train_source: what training reads: `source`, or that with its classes balanced.
        target: what evaluations compare with.
    """

    source: Source
    train_source: Source
    target: Target


def load_run_data(
    config: ExperimentConfig, model_dir: str, request: EvaluationRequest, resolution: int
) -> RunData:
    """Loads the source of the configuration, or the one that the request names instead.

    Args:
        resolution: side in pixels, for sources that make their images.

    Raises:
        UsageError: it cannot be read, or is not of the sizes and classes that were expected.
    """
    if request.eval_source is not None:
        target = other_target(request, config, model_dir, resolution)
        return RunData(target.source, target.source, target)
    source = configured_source(config.data, resolution)
    # The real ones need the counts; a wrong list is refused before anything is written.
    fine_tuning.class_weights(config.transfer.class_weights, [1] * source.num_classes)
    return RunData(source, training_source(source, config.data), own_target(source, request))


def configured_source(data: DataConfig, resolution: int) -> Source:
    """The source with the splits that the configuration makes of it; see `load_run_data`."""
    source = load_source(
        data.source,
        data.data_dir,
        num_classes=data.num_classes,
        minival_shards=data.minival_shards,
        minival=data.minival,
        test=data.test,
        split_seed=data.split_seed,
        verify_checksums=data.verify_checksums,
        image_size=resolution,
    )
    check_expected(source, data.num_classes, data.expected_sizes)
    if data.train_on_minival:
        return with_minival(source)
    if data.folds:
        return with_fold(source, data.folds, data.fold, data.split_seed)
    return source


def training_source(source: Source, data: DataConfig) -> Source:
    """What training reads of a configured source."""
    return balanced(source) if data.balanced_sampling else source
