"""The project's own train, eval and serving functions, traced as a TPU would get them.

Everything is built by `assembly.Experiment` from a configuration, as main.py builds it; only the
TPU is made up. The shapes and types of the batches are those of the input pipeline.
"""

import tempfile
from functools import partial

import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import UsageError
from efficientnet_tf.experiment.assembly import Experiment
from efficientnet_tf.export import saved_model
from efficientnet_tf.machine.device import Device
from efficientnet_tf.models.folding import fold
from efficientnet_tf.tpu import fake_strategy
from efficientnet_tf.tpu.targets import TpuSlice
from efficientnet_tf.tpu.tracing import Trace, trace_plain, trace_replicated

_CLASSES = 1000


def without_files(config: config_lib.ExperimentConfig) -> config_lib.ExperimentConfig:
    """The same experiment on made-up images, if the data set's files are not at hand.

    The functions depend on the data by its number of classes alone.
    """
    data = config.data
    if data.data_dir is not None or data.source not in ("imagenet", "tfrecord"):
        return config
    classes = data.num_classes or _CLASSES
    return config_lib.with_fields(config, {"data.source": "synthetic", "data.num_classes": classes})


def build(config: config_lib.ExperimentConfig, target: TpuSlice) -> Experiment:
    """The experiment as main.py --tpu=local would build it on the slice.

    Patches TensorFlow, see fake_strategy.install: one process, one target.

    Raises:
        UsageError: as `Experiment` does.
    """
    fake_strategy.install(target)
    with tempfile.TemporaryDirectory() as directory, fake_strategy.one_copy():
        return Experiment(without_files(config), directory, Device("local"))


def set_batch_size(experiment: Experiment, global_batch_size: int) -> None:
    """Another batch for `train_trace` and `eval_trace`, without building the model again."""
    changes = {"train.global_batch_size": global_batch_size, "train.eval_batch_size": 0}
    experiment.config = config_lib.with_fields(experiment.config, changes)


def train_trace(experiment: Experiment) -> Trace:
    """One update of `TrainStep` on one replica."""
    step = experiment.updates.train_step()
    dataset = experiment.updates.dataset(one_host(experiment))
    return trace_replicated(experiment.strategy, step.update, [dataset.element_spec], "train")


def eval_trace(experiment: Experiment) -> Trace:
    """One batch of `EvalStep` on one replica, with the averaged weights."""
    evaluator = experiment.evaluator()
    dataset = evaluator.dataset("minival", one_host(experiment))
    replica_sums = evaluator.steps[True].replica_sums
    return trace_replicated(experiment.strategy, replica_sums, [dataset.element_spec], "eval")


def serving_trace(experiment: Experiment, batch_size: int, dtype: str = "uint8") -> Trace:
    """The signature `serve` (float32) or `serve_uint8` of the export, for one chip.

    `serving_default` decodes on the host and then does what `serve` does; class names are looked
    up on the host, too.

    Raises:
        UsageError: no such signature.
    """
    if dtype not in ("uint8", "float32"):
        raise UsageError(f'dtype must be "uint8" or "float32", received "{dtype}".')
    model = experiment.model.create("softmax", "float32")
    size = experiment.model.network.resolution
    spec = tf.TensorSpec([batch_size, size, size, 3], dtype)
    folded = fold(model)
    answer = saved_model.answers(partial(folded, training=False), folded.output_shape[-1], None)
    return trace_plain(answer, [spec], "serving")


def one_host(experiment: Experiment) -> tf.distribute.InputContext:
    """All replicas behind one input pipeline."""
    replicas = experiment.strategy.num_replicas_in_sync
    return tf.distribute.InputContext(1, 0, replicas)
