"""From a source to batches, for training without end and for evaluation exactly once.

Training, in this order:
 1. passes over the split one after another, each in an order of its own, undecoded: batches
    straddle epochs, so the position in the stream is step * global_batch_size;
 2. skip to the position of a resumed run, before anything is decoded;
 3. pair each example with its epoch, since its randomness is a function of (seed, epoch, index);
 4. decode, crop, resize, flip: in parallel, on single examples, because their sizes differ;
 5. augment, after the flip and on uint8, as the official code does;
 6. batch with a static shape, as a TPU needs; 7. prefetch.

Evaluation: every pipeline reads the undecoded split in stored order, fills up the last global
batch, keeps its part of each global batch and only decodes that. So no count has to be right for
all pipelines to yield equally many batches and each image exactly once.

With `bad`, an example that cannot be used keeps its place: in training it is replaced by its
nearest usable neighbour in the batch, in evaluation it is masked out. So a run over damaged data
resumes as exactly as any other.

Differences
- from the official TPU code: the stream is repeatable and resumes anywhere (theirs is shuffled by
  thread timing); no image of the last batch is lost in evaluation (16 of 50,000 there).
- from Keras: evaluation yields a mask instead of a smaller last batch.
"""

import dataclasses
import os
from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf.data.broken import BadExamples
from efficientnet_tf.data.images.preprocessing import Preprocessing, to_uint8
from efficientnet_tf.data.sources.in_memory import ArraySource
from efficientnet_tf.data.sources.source import SHUFFLE_BUFFER, Pass, Source
from efficientnet_tf.data.unusable import items, mask_unusable, replace_unusable
from efficientnet_tf.errors import UsageError, whole_number

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (uint8 [S, S, 3], seed [2]) -> uint8

MAX_PREPARED_BYTES = 2**29  # images resized once and kept; above this they are made as needed


def train_dataset(
    source: Source,
    preprocessing: Preprocessing,
    *,
    global_batch_size: int,
    seed: int,
    start_example: int = 0,
    deterministic: bool = True,
    input_context: tf.distribute.InputContext | None = None,
    shuffle_buffer: int = SHUFFLE_BUFFER,
    augment: Augment | None = None,
    split: str = "train",
    bad: BadExamples | None = None,
) -> tf.data.Dataset:
    """Endless batches {"image": [B, S, S, 3] in 0..255, "label": int32 [B]}.

    B is the batch of one replica if `input_context` is given, else `global_batch_size`.

    One pipeline: example number p of the stream belongs to pass p // n and is number p % n in it,
    n = source.num_examples[split]. With k pipelines, pipeline i has passes of its own over a
    disjoint share of n_i = source.size(split, i, k) examples, and its example number p / k is
    reached when the whole run is at p. A source whose real pass has another length than it says
    (shares of whole files; a count that is an estimate) is cut, or begun again, at n_i: a pass
    never has another length, so a position never needs the history.

    Args:
        start_example: position of the whole run, step * global_batch_size; what comes then equals
            what an uninterrupted stream gives there. Multiple of the number of pipelines.
        deterministic: False lets a slow example be overtaken; then order (not the augmentation of
            an example) depends on timing, and resuming is only exact up to that.
        augment: called with the uint8 image after the flip and a seed [2] of its own.
        bad: where examples that cannot be used are noted; None: they end the stream with an error.

    Raises:
        UsageError: an argument is out of range or does not divide.
    """
    share = _share(global_batch_size, input_context)
    size = source.size(split, share.pipeline, share.num_pipelines)
    _check_int("seed", seed, 0, 2**31 - 1)
    _check_int("shuffle_buffer", shuffle_buffer, 1)
    _check_int("start_example", start_example, 0)
    if start_example % share.num_pipelines:
        raise UsageError(
            f"start_example must be a multiple of the {share.num_pipelines} input pipelines, "
            f"received {start_example}. Give step * global_batch_size."
        )
    first_epoch, offset = divmod(start_example // share.num_pipelines, size)

    def one_pass(epoch: tf.Tensor) -> tf.data.Dataset:
        skipped = tf.where(epoch == first_epoch, tf.constant(offset, tf.int64), 0)
        how = Pass(
            shuffle=True,
            epoch=epoch,
            seed=seed,
            shard_index=share.pipeline,
            num_shards=share.num_pipelines,
            shuffle_buffer=shuffle_buffer,
            start=skipped if source.seekable else 0,
            skip_errors=bad is not None,
        )
        examples = source.examples(split, how)
        if not source.seekable:
            examples = examples.repeat().take(size).skip(skipped)
        return tf.data.Dataset.zip(examples, tf.data.Dataset.from_tensors(epoch).repeat())

    stream = tf.data.Dataset.counter(start=first_epoch).flat_map(one_pass)
    prepared = None
    if not preprocessing.random_in_training and augment is None:
        fixed_seed = tf.zeros([2], tf.int64)
        prepared = _prepare(source, split, lambda image: preprocessing.for_train(image, fixed_seed))

    if prepared is not None:
        batches = stream.batch(share.batch_size, drop_remainder=True).map(
            lambda example, epoch: {
                "image": tf.gather(prepared, example["index"]),
                "label": tf.cast(example["label"], tf.int32),
            }
        )
    else:

        def example_to_item(
            example: dict[str, tf.Tensor], epoch: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            seeds = tf.random.experimental.stateless_split(
                example_seed(seed, epoch, example["index"]), 2
            )
            image = preprocessing.for_train(example["image"], seeds[0])
            if augment is not None:
                augmented = augment(to_uint8(image), seeds[1])
                image = tf.cast(tf.ensure_shape(augmented, image.shape), image.dtype)
            return {"image": image, "label": tf.cast(example["label"], tf.int32)}

        batches = items(stream, example_to_item, preprocessing, bad, source, split).batch(
            share.batch_size, drop_remainder=True
        )
        if bad is not None:
            batches = batches.map(replace_unusable)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options(deterministic))


def eval_dataset(
    source: Source,
    split: str,
    preprocessing: Preprocessing,
    *,
    global_batch_size: int,
    input_context: tf.distribute.InputContext | None = None,
    bad: BadExamples | None = None,
    with_index: bool = False,
) -> tf.data.Dataset:
    """One pass in stored order: {"image": [B, S, S, 3], "label": int32 [B], "mask": float32 [B]}.

    `with_index` adds the "index" of each example in its split, int64 [B].

    The mask is 1 for an image and 0 for padding (a copy of the first image) and for what `bad`
    takes note of. All batches are
    full and every pipeline yields the same number of them: those of its replicas, in turn, for
    each of ceil(images / global_batch_size) steps. B as in `train_dataset`.

    Raises:
        UsageError: an argument is out of range or does not divide.
    """
    share = _share(global_batch_size, input_context)
    source.size(split)
    examples = source.examples(split, Pass(skip_errors=bad is not None))
    padding = examples.take(1).repeat(global_batch_size - 1)
    real, unreal = (tf.data.Dataset.from_tensors(tf.constant(m)).repeat() for m in (1.0, 0.0))
    padded = tf.data.Dataset.zip(examples, real).concatenate(tf.data.Dataset.zip(padding, unreal))
    own = global_batch_size // share.num_pipelines

    def own_part(example: dict[str, tf.data.Dataset], mask: tf.data.Dataset) -> tf.data.Dataset:
        return tf.data.Dataset.zip(example, mask).skip(share.pipeline * own).take(own)

    # Windows rather than batches: images that are not encoded may differ in size.
    stream = padded.window(global_batch_size, drop_remainder=True).flat_map(own_part)
    prepared = _prepare(source, split, preprocessing.for_eval)

    def example_to_item(example: dict[str, tf.Tensor], mask: tf.Tensor) -> dict[str, tf.Tensor]:
        if prepared is None:
            image = preprocessing.for_eval(example["image"])
        else:
            image = tf.gather(prepared, example["index"])
        return {"image": image, "label": tf.cast(example["label"], tf.int32), "mask": mask}

    kept = ("index",) if with_index else ()
    if prepared is None:
        stream = items(stream, example_to_item, preprocessing, bad, source, split, kept)
    batches = stream.batch(share.batch_size, drop_remainder=True)
    if prepared is not None:
        batches = items(
            batches, example_to_item, preprocessing, None, source, split, kept
        )  # whole batches
    elif bad is not None:
        batches = batches.map(mask_unusable)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options(deterministic=True))


def example_seed(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """int64 [2], different for every (seed, epoch, index); seed and epoch below 2**31."""
    epoch, index = tf.cast(epoch, tf.int64), tf.cast(index, tf.int64)
    return tf.stack([tf.constant(seed * 2**32, tf.int64) + epoch, index])


def _prepare(
    source: Source, split: str, apply: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor | None:
    """All images of a split held in memory, preprocessed once: [N, S, S, 3]; None if too large.

    Then a batch is a gather, which takes a microsecond per image where the ops of even the
    smallest image take fifty.
    """
    if not isinstance(source, ArraySource):
        return None
    images, _ = source.arrays[split]
    resized = tf.data.Dataset.from_tensor_slices(images).map(
        apply, num_parallel_calls=tf.data.AUTOTUNE
    )
    spec = resized.element_spec
    if spec.shape.num_elements() * spec.dtype.size * len(images) > MAX_PREPARED_BYTES:
        return None
    with tf.device("CPU:0"):
        return resized.batch(len(images)).get_single_element()


@dataclasses.dataclass(frozen=True)
class _Share:
    """What one input pipeline (one host) yields of each global batch."""

    pipeline: int
    num_pipelines: int
    batch_size: int  # of one replica


def _share(global_batch_size: int, context: tf.distribute.InputContext | None) -> _Share:
    _check_int("global_batch_size", global_batch_size, 1)
    if context is None:
        return _Share(0, 1, global_batch_size)
    replicas = context.num_replicas_in_sync
    if global_batch_size % replicas:
        raise UsageError(
            f"global_batch_size must be a multiple of the {replicas} replicas, received "
            f"{global_batch_size}. {global_batch_size // replicas * replicas or replicas} would do."
        )
    return _Share(
        context.input_pipeline_id,
        context.num_input_pipelines,
        context.get_per_replica_batch_size(global_batch_size),
    )


def _options(deterministic: bool) -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = deterministic
    options.autotune.enabled = True
    # Examples are the unit of parallelism, so ops stay on one thread; the pool is the pipeline's
    # own, lest decoding wait behind the ops of a training step on the same host.
    options.threading.max_intra_op_parallelism = 1
    options.threading.private_threadpool_size = os.cpu_count() or 1
    # The pipeline shards itself; a second sharding by tf.distribute would lose examples.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


def _check_int(name: str, value: int, low: int, high: int | None = None) -> None:
    if whole_number(value, low) is None:
        raise UsageError(f"{name} must be a whole number of at least {low}, received {value!r}.")
    if high is not None and value > high:
        raise UsageError(f"{name} must be at most {high}, received {value!r}.")
