"""Writes a data set as shuffled TFRecord files in the official layout, with a manifest.

python scripts/prepare_tfrecords.py --source=folder:photos --output_dir=photos-tfrecords
python scripts/prepare_tfrecords.py --manifest_only --output_dir=gs://bucket/imagenet

A killed run goes on where it stopped when it is started again. Read the files with
--config.data.source=tfrecord --data_dir=OUTPUT_DIR.
"""

import sys

from absl import app, flags

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import exit_code

_SOURCE = flags.DEFINE_string("source", "digits", "as config.data.source: folder:PATH, tfds:NAME")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "where the source's files are, if it needs that")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "a folder or gs://bucket/folder")
_SPLITS = flags.DEFINE_list("splits", None, "of train,minival,test; default: all there are")
_SHARDS = flags.DEFINE_integer("shards", None, "train files; default: by the number of images")
_MINIVAL_FILES = flags.DEFINE_integer("minival_files", None, "minival files; default: likewise")
_VALIDATION = flags.DEFINE_integer("validation_shards", None, "validation files; likewise")
_MINIVAL = flags.DEFINE_integer("minival", 0, "train images to hold out; 0: as the source does")
_HELD_OUT = flags.DEFINE_integer("minival_shards", 0, "imagenet: train files to hold out")
_SEED = flags.DEFINE_integer("seed", 0, "of the shuffle")
_BUFFER = flags.DEFINE_integer("shuffle_buffer", 16_384, "images; only for record files, tfds")
_JPEG = flags.DEFINE_boolean("jpeg", False, "make JPEGs of other formats, for other readers")
_ON_ERROR = flags.DEFINE_string("on_error", "stop", "stop or skip, at an unreadable image")
_THREADS = flags.DEFINE_integer("threads", 4, "files written at once")
_MANIFEST_ONLY = flags.DEFINE_boolean("manifest_only", False, "for files that are there already")
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 0, "if no manifest says so; 0: 1000")
_LABEL_OFFSET = flags.DEFINE_integer("label_offset", 1, "manifest_only: stored label of class 0")
_CLASS_NAMES = flags.DEFINE_string("class_names", None, "manifest_only: text file, name per line")
_CHECKSUMS = flags.DEFINE_boolean("checksums", True, "manifest_only: reads every byte")


def run() -> None:
    """Calls what the flags ask for."""
    if not _OUTPUT_DIR.value:
        raise UsageError("--output_dir must be a folder or gs://bucket/folder, got nothing.")
    start_tensorflow()
    from efficientnet_tf.data.prepare.conversion import prepare
    from efficientnet_tf.data.prepare.encoded import StreamOptions
    from efficientnet_tf.data.prepare.inventory import read_class_names, write_manifest
    from efficientnet_tf.data.sources.by_name import load_source

    if _MANIFEST_ONLY.value:
        names = read_class_names(_CLASS_NAMES.value) if _CLASS_NAMES.value else None
        arguments = {"num_classes": _NUM_CLASSES.value or 1000, "label_offset": _LABEL_OFFSET.value}
        written = write_manifest(
            _OUTPUT_DIR.value, **arguments, class_names=names, checksums=_CHECKSUMS.value
        )
        print(f"manifest.json of {_OUTPUT_DIR.value}: {written.num_examples} images")
        return
    held_out = {"minival": _MINIVAL.value, "minival_shards": _HELD_OUT.value}
    shards = {"train": _SHARDS, "minival": _MINIVAL_FILES, "test": _VALIDATION}
    prepare(
        load_source(_SOURCE.value, _DATA_DIR.value, num_classes=_NUM_CLASSES.value, **held_out),
        _OUTPUT_DIR.value,
        options=StreamOptions(_SEED.value, _BUFFER.value, _JPEG.value, _ON_ERROR.value),
        splits=_SPLITS.value,
        shards={split: flag.value for split, flag in shards.items() if flag.value is not None},
        threads=_THREADS.value,
    )


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument "{argv[1]}"')
    sys.exit(exit_code(run, resumable=True))


if __name__ == "__main__":
    app.run(main)
