"""Writes a data set as shuffled TFRecord files in the official layout, with a manifest.

python main.py prepare --source=folder:photos --output_dir=photos-tfrecords
python main.py prepare --manifest_only --output_dir=gs://bucket/imagenet

A killed run goes on where it stopped when it is started again. Read the files with
--config.data.source=tfrecord --data_dir=OUTPUT_DIR.
"""

from types import SimpleNamespace

from efficientnet_tf.commands import shared_flags
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError

RESUMABLE = LASTS = True


def take_flags(take: FlagGroups) -> None:
    take.heading("What is read, and how")
    shared_flags.take_source(take)
    shared_flags.take_splits(take)
    take.whole("minival", 0, "number of train images to hold out; 0: as the data set does", low=0)
    take.whole("minival_shards", 0, "imagenet: number of train files to hold out", low=0)
    take.whole("seed", 0, "seed of the shuffle", low=0)
    take.whole("shuffle_buffer", 16_384, "images shuffled at once, of record files and tfds", low=1)
    take.choice("on_error", "stop", ("stop", "skip"), "what to do at an unreadable image")
    take.heading("What is written")
    take.text("output_dir", None, "folder or gs://bucket/folder to write to")
    take.whole("shards", None, "number of train files; default: by the number of images", low=1)
    take.whole("minival_files", None, "number of minival files; default: likewise", low=1)
    take.whole("validation_shards", None, "number of validation files; default: likewise", low=1)
    take.switch("jpeg", False, "turn other formats into JPEG, for other readers")
    take.whole("threads", 4, "number of files written at once", low=1)
    take.heading("The manifest of files that are there already")
    take.switch(
        "manifest_only", False, "write the manifest of the files in --output_dir, nothing else"
    )
    shared_flags.take_class_names(take)
    take.switch("checksums", True, "store checksums, for which every byte is read")


def run(given: SimpleNamespace) -> None:
    shared_flags.refuse_arguments(given)
    if not given.output_dir:
        raise UsageError("--output_dir must be a folder or gs://bucket/folder, received nothing.")
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.data.prepare.conversion import prepare
    from efficientnet_tf.data.prepare.encoded import StreamOptions
    from efficientnet_tf.data.prepare.inventory import write_manifest
    from efficientnet_tf.data.sources.by_name import load_source

    if given.manifest_only:
        written = write_manifest(
            given.output_dir,
            num_classes=given.classes or 1000,
            label_offset=given.label_offset,
            class_names=shared_flags.class_names(given),
            checksums=given.checksums,
        )
        print(f"manifest.json of {given.output_dir}: {written.num_examples} images")
        return
    reading = {name: getattr(given, name) for name in ("label_offset", "minival", "minival_shards")}
    shards = {
        "train": given.shards,
        "minival": given.minival_files,
        "test": given.validation_shards,
    }
    prepare(
        load_source(given.source, given.data_dir, num_classes=given.classes, **reading),
        given.output_dir,
        options=StreamOptions(given.seed, given.shuffle_buffer, given.jpeg, given.on_error),
        splits=given.splits,
        shards={split: count for split, count in shards.items() if count is not None},
        threads=given.threads,
    )
