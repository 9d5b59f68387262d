"""Images/s of the input pipeline on this machine, beside Keras and Pillow, and where time goes.

Eight photos of 500x375 (scikit-learn's two, cropped; about 100 KB each) go through a tf.data map
and come out in batches of 32 at 224 pixels. Speeds differ between machines and from day to day, so
each is also printed as a share of what decoding a random crop alone reaches in the same run with
as many threads: with this decoder nothing can be faster. Rounds alternate; medians are compared.
The share by CPU time is the one to read on a machine that does other work as well.
"""

import concurrent.futures
import functools
import io
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import app, flags

from efficientnet_tf.machine.startup import start_tensorflow

_SECONDS = flags.DEFINE_float("seconds", 2.0, "time of one measurement", lower_bound=0.01)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "measurements of each", lower_bound=1)
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "numbers of threads, a table for each")
_QUICK = flags.DEFINE_boolean("quick", False, "one short round: to see that everything runs")

SIZE, BATCH, SEED = 224, 32, 7
MEAN_BYTES = 100_000
LIMIT, TRAIN = "decode a random crop (limit)", "train"
AUTOAUGMENT, RANDAUGMENT = "train + AutoAugment", "train + RandAugment(2, 10)"

NextBatch = Callable[[], object]


def photos() -> list[bytes]:
    """Eight JPEGs of 500x375 whose mean size is as near to MEAN_BYTES as a quality brings it."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    crops = [
        Image.fromarray(photo).crop((left, top, left + 500, top + 375))
        for photo in load_sample_images().images  # 640 x 427
        for left, top in ((0, 0), (140, 0), (0, 52), (140, 52))
    ]

    def encoded(quality: int) -> list[bytes]:
        files = [io.BytesIO() for _ in crops]
        for crop, file in zip(crops, files, strict=True):
            crop.save(file, "JPEG", quality=quality)
        return [file.getvalue() for file in files]

    def distance(files: list[bytes]) -> float:
        return abs(statistics.mean(map(len, files)) - MEAN_BYTES)

    return min((encoded(quality) for quality in range(90, 100)), key=distance)


def in_tf_data(files: list[bytes], function: Callable[..., Any], threads: int) -> NextBatch:
    """Batches of `function(encoded, seed [2])`, with the same options for everyone."""
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.max_intra_op_parallelism = 1
    options.threading.private_threadpool_size = threads
    stream = tf.data.Dataset.from_tensor_slices(files).repeat().enumerate()
    images = stream.map(
        lambda index, encoded: function(encoded, tf.stack([tf.constant(SEED, tf.int64), index])),
        num_parallel_calls=threads,
    )
    iterator = iter(images.batch(BATCH).with_options(options))
    return lambda: next(iterator)


def contestants(files: list[bytes]) -> dict[str, Callable[[int], NextBatch]]:
    """What is measured: from a number of threads to a function that makes the next batch."""
    import keras
    import tensorflow as tf

    from efficientnet_tf.data.augment.autoaugment import autoaugment, randaugment
    from efficientnet_tf.data.images.preprocessing import Preprocessing, inception_box

    train = Preprocessing(SIZE, image_dtype="uint8")
    as_float = Preprocessing(SIZE)
    layer = keras.layers.RandAugment(value_range=(0, 255), num_ops=2, seed=SEED)

    def limit(encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        box = inception_box(tf.image.extract_jpeg_shape(encoded), seed)
        return tf.shape(tf.image.decode_and_crop_jpeg(encoded, box, channels=3))

    functions: dict[str, Callable[..., Any]] = {
        LIMIT: limit,
        TRAIN: train.for_train,
        "train, as float32": as_float.for_train,
        AUTOAUGMENT: lambda image, seed: autoaugment(train.for_train(image, seed), seed),
        RANDAUGMENT: lambda image, seed: randaugment(train.for_train(image, seed), seed, 2, 10),
        "eval, as float32": lambda image, _: as_float.for_eval(image),
        "train + keras RandAugment(2)": lambda image, seed: layer(train.for_train(image, seed)),
    }
    makers: dict[str, Callable[[int], NextBatch]] = {
        name: functools.partial(in_tf_data, files, function) for name, function in functions.items()
    }
    makers["Pillow train"] = functools.partial(in_pillow, files, False)
    makers["Pillow train + 2 of its ops"] = functools.partial(in_pillow, files, True)
    return makers


def in_pillow(files: list[bytes], augment: bool, threads: int) -> NextBatch:
    """The same steps, one image at a time in Python; each thread has images of its own."""
    from PIL import Image, ImageEnhance, ImageOps

    operations: list[Callable[[Any], Any]] = [
        ImageOps.autocontrast,
        ImageOps.equalize,
        ImageOps.invert,
        lambda image: ImageOps.posterize(image, 4),
        lambda image: ImageOps.solarize(image, 128),
        lambda image: ImageEnhance.Color(image).enhance(1.9),
        lambda image: ImageEnhance.Contrast(image).enhance(1.9),
        lambda image: ImageEnhance.Brightness(image).enhance(1.9),
        lambda image: ImageEnhance.Sharpness(image).enhance(1.9),
        lambda image: image.rotate(30, fillcolor=(128,) * 3),
        lambda image: image.transform(
            image.size, Image.Transform.AFFINE, (1, 0.3, 0, 0, 1, 0), fillcolor=(128,) * 3
        ),
    ]

    def one(number: int) -> np.ndarray:
        draw = random.Random(number)
        image: Image.Image = Image.open(io.BytesIO(files[number % len(files)]))
        width, height = image.size
        while True:  # the rule of the Inception crop
            aspect, crop_height = draw.uniform(3 / 4, 4 / 3), draw.randint(height // 4, height)
            crop_width = round(crop_height * aspect)
            if crop_width <= width and crop_width * crop_height >= 0.1 * width * height:
                break
        left, top = draw.randint(0, width - crop_width), draw.randint(0, height - crop_height)
        box = (left, top, left + crop_width, top + crop_height)
        image = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box)
        if draw.random() < 0.5:
            image = ImageOps.mirror(image)
        for operation in draw.choices(operations, k=2) if augment else []:
            image = operation(image)
        return np.asarray(image)

    pool = concurrent.futures.ThreadPoolExecutor(threads)

    def batches() -> Iterator[np.ndarray]:
        start = 0
        while True:
            yield np.stack(list(pool.map(one, range(start, start + BATCH))))
            start += BATCH

    iterator = batches()
    return lambda: next(iterator)


def settle() -> None:
    """Waits for the batch that tf.data has begun ahead, lest the next one measured pays for it."""
    before = -1.0
    while time.process_time() - before > 0.001:
        before = time.process_time()
        time.sleep(0.02)


def measure(
    makers: dict[str, Callable[[int], NextBatch]], threads: int, seconds: float, rounds: int
) -> dict[str, tuple[float, float]]:
    """Median seconds per image of each, by the clock and of CPU time, in turn."""
    streams = {name: make(threads) for name, make in makers.items()}
    for next_batch in streams.values():
        next_batch()  # traces
    clock: dict[str, list[float]] = {name: [] for name in streams}
    cpu: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(rounds):
        for name, next_batch in streams.items():
            settle()
            next_batch()
            images, started, cpu_started = 0, time.perf_counter(), time.process_time()
            while (elapsed := time.perf_counter() - started) < seconds:
                next_batch()
                images += BATCH
            clock[name].append(elapsed / images)
            cpu[name].append((time.process_time() - cpu_started) / images)
    return {name: (statistics.median(clock[name]), statistics.median(cpu[name])) for name in clock}


def report(spent: dict[str, tuple[float, float]], threads: int) -> None:
    limit_clock, limit_cpu = spent[LIMIT]
    print(f"\n{threads} thread{'s' * (threads > 1)}{'':22s} images/s  share  share by CPU time")
    for name, (clock, cpu) in spent.items():
        print(f"{name:30s} {1 / clock:9.0f}  {limit_clock / clock:5.2f}  {limit_cpu / cpu:5.2f}")
    us = {name: 1e6 * seconds for name, (_, seconds) in spent.items()}
    print(
        f"our CPU time in us/image: decode {us[LIMIT]:.0f}, "
        f"resize and flip {us[TRAIN] - us[LIMIT]:.0f}, "
        f"ops of AutoAugment {us[AUTOAUGMENT] - us[TRAIN]:.0f}, "
        f"ops of RandAugment {us[RANDAUGMENT] - us[TRAIN]:.0f}",
        flush=True,
    )


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument "{argv[1]}"')
    start_tensorflow()
    files = photos()
    print(f"{len(files)} photos of {statistics.mean(map(len, files)) / 1000:.0f} KB on average")
    makers = contestants(files)
    seconds, rounds = (0.2, 1) if _QUICK.value else (_SECONDS.value, _ROUNDS.value)
    for threads in map(int, _THREADS.value):
        report(measure(makers, threads, seconds, rounds), threads)


if __name__ == "__main__":
    app.run(main)
