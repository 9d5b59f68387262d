"""Our B0 training step beside keras.applications' on this machine: images/s and the ratio.

Forward, backward and update in one tf.function each, float32, the same loss (smoothed
cross-entropy) and batch. Ours: `TrainStep` as main.py runs it, L2 and averages included. Theirs:
keras.applications.EfficientNetB0 with Keras' RMSprop. Rounds alternate, so that a noisy machine
hits both; medians are compared. `--construction` measures how long building B7 takes instead,
`--freeze_until=head` our step with frozen stages beside our full one.
"""

import statistics
import time
from collections.abc import Callable

from absl import app, flags

from efficientnet_tf.machine.startup import start_tensorflow

_BATCH = flags.DEFINE_integer("batch", 32, "images in a step", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 224, "image side in pixels", lower_bound=32)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "timed rounds of each", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 2, "steps in a round", lower_bound=1)
_CONSTRUCTION = flags.DEFINE_boolean("construction", False, "time building B7 instead of steps")
_FREEZE = flags.DEFINE_string("freeze_until", "", "last frozen stage, beside the full step")


def alternate(
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    before: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Median seconds of each call, in turn after one warm-up of each; `before` is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for name, call in contestants.items():
        started = time.perf_counter()
        call()
        print(f"{name}: first call {time.perf_counter() - started:.1f} s (tracing)", flush=True)
    for _ in range(rounds):
        for name, call in contestants.items():
            before()
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    for name, values in seconds.items():
        print(f"{name}: seconds {' '.join(f'{value:.2f}' for value in values)}")
    return {name: statistics.median(values) for name, values in seconds.items()}


def ours(batch: int, size: int, steps: int, freeze_until: str = "") -> Callable[[], object]:
    import tensorflow as tf

    from efficientnet_tf import create_model
    from efficientnet_tf.config import OptimizerConfig, TrainConfig, TransferConfig
    from efficientnet_tf.training.state import TrainState
    from efficientnet_tf.training.steps import TrainStep
    from efficientnet_tf.transfer import fine_tuning

    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = create_model("efficientnet-b0", classifier_activation=None, resolution=size)
        fine_tuning.prepare(model, TransferConfig(freeze_until=freeze_until))
        state = TrainState(model, with_average=True)
    train = TrainConfig(global_batch_size=batch)
    step = TrainStep(state, strategy, lambda _: tf.constant(0.01), OptimizerConfig(), train)
    data = tf.data.Dataset.from_tensors(
        {
            "image": tf.random.stateless_uniform([batch, size, size, 3], [0, 1], 0.0, 255.0),
            "label": tf.range(batch) % 1000,
        }
    )
    iterator = iter(data.repeat())
    return lambda: step(iterator, steps)


def theirs(batch: int, size: int, steps: int) -> Callable[[], object]:
    import keras
    import tensorflow as tf

    model = keras.applications.EfficientNetB0(
        weights=None, classifier_activation=None, input_shape=(size, size, 3)
    )
    optimizer = keras.optimizers.RMSprop(0.01, rho=0.9, momentum=0.9, epsilon=1e-3)
    optimizer.build(model.trainable_variables)
    images = tf.random.stateless_uniform([batch, size, size, 3], [0, 1], 0.0, 255.0)
    labels = tf.one_hot(tf.range(batch) % 1000, 1000) * 0.9 + 0.0001

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return lambda: [step(images, labels).numpy() for _ in range(steps)]


def construction(rounds: int) -> dict[str, float]:
    import keras

    from efficientnet_tf import EfficientNetB7

    contestants = {
        "ours": lambda: EfficientNetB7(weights=None),
        "keras.applications": lambda: keras.applications.EfficientNetB7(weights=None),
    }
    return alternate(contestants, rounds, before=keras.backend.clear_session)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument "{argv[1]}"')
    start_tensorflow()
    if _CONSTRUCTION.value:
        medians = construction(_ROUNDS.value)
        share = medians["ours"] / medians["keras.applications"]
        print(f"building B7 takes {100 * share:.0f} % of the time of keras.applications")
        return
    arguments = _BATCH.value, _SIZE.value, _STEPS.value
    contestants = {"ours": ours(*arguments)}
    if _FREEZE.value:
        other = f"frozen until {_FREEZE.value}"
        contestants[other] = ours(*arguments, _FREEZE.value)
    else:
        other = "keras.applications"
        contestants[other] = theirs(*arguments)
    medians = alternate(contestants, _ROUNDS.value)
    images = _BATCH.value * _STEPS.value
    for name, seconds in medians.items():
        print(f"{name}: {images / seconds:.1f} images/s")
    print(f"{other} takes {medians[other] / medians['ours']:.2f} times as long as ours")


if __name__ == "__main__":
    app.run(main)
