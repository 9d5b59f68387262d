"""Everything that the program reads as data, each as a function of a path, to feed with damage."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from efficientnet_tf.errors import RunError, UsageError


class Reader(NamedTuple):
    """One kind of input.

    Attributes:
        name: of the kind.
        file: that is damaged, below the specimens.
        read: is called with the path of `root`; what it returns can be pickled.
        root: the file or folder that is read and therefore copied; "": `file`.
        sealed: whether the format has a checksum, so that damage may not change what is read.
    """

    name: str
    file: str
    read: Callable[[Path], Any]
    root: str = ""
    sealed: bool = False


def _image(path: Path) -> Any:
    from efficientnet_tf.data.diagnose import fault
    from efficientnet_tf.data.images.header import read_header

    content = path.read_bytes()
    read_header(content)
    reason = fault(content)
    if reason:
        raise RunError(f"{path}: {reason}")
    return None


def _table(path: Path) -> Any:
    from efficientnet_tf.data.sources.csv_file import csv_source

    return csv_source(str(path)).num_examples


def _names(path: Path) -> Any:
    from efficientnet_tf.data.prepare.inventory import read_class_names

    return read_class_names(str(path))


def _records(path: Path) -> Any:
    import tensorflow as tf

    from efficientnet_tf.data.diagnose import explain_data_error
    from efficientnet_tf.data.sources.by_name import load_source

    source = load_source("tfrecord", str(path), num_classes=3)
    try:
        examples = source.examples("train").as_numpy_iterator()
        return [(int(each["label"]), each["image"]) for each in examples]
    except tf.errors.OpError as error:
        raise explain_data_error(error, source, "train") from error


def _checked_records(path: Path) -> Any:
    from efficientnet_tf.data.sources.by_name import load_source

    source = load_source("tfrecord", str(path), verify_checksums=True)
    examples = source.examples("train").as_numpy_iterator()
    return [(int(each["label"]), each["image"]) for each in examples]


def _journal(path: Path) -> Any:
    from efficientnet_tf.data.prepare import journal

    return sorted(journal.begin(str(path.parent), {"seed": 0}))


def _ours(path: Path) -> Any:
    from efficientnet_tf.importers import weights_file

    arrays, info = weights_file.load(str(path))
    return sorted((name, each.tobytes()) for name, each in arrays.items()), repr(info)


def _foreign(path: Path) -> Any:
    """All arrays of a file or folder of weights of another program."""
    from efficientnet_tf.importers.detect import open_weights

    source = open_weights(str(path))
    return sorted((name, np.asarray(source.read(name)).tobytes()) for name in source.shapes)


def _run(path: Path) -> Any:
    from efficientnet_tf.runs.trained_model import from_run

    trained = from_run(str(path))
    return [np.asarray(weight).tobytes() for weight in trained.model.weights]


def _config(path: Path) -> Any:
    from efficientnet_tf import config as config_lib
    from efficientnet_tf.runs.checkpoint import check_model_dir
    from efficientnet_tf.runs.stored_config import read_config
    from efficientnet_tf.runs.trained_model import stored_data_config

    stored = read_config(str(path))
    stored_data_config(stored)
    check_model_dir(str(path), config_lib.from_dict(stored))
    return None


def _classes(path: Path) -> Any:
    from efficientnet_tf.runs.data_record import read_classes

    return read_classes(str(path))


def _data(path: Path) -> Any:
    from efficientnet_tf.data.sources.by_name import load_source
    from efficientnet_tf.runs import data_record

    data_record.read(str(path))
    source = load_source(f"folder:{path.parent.parent}/specimens/photos")
    return data_record.check(str(path), source, accept=True)


def _record(path: Path) -> Any:
    from efficientnet_tf.runs.init_record import read_record

    return repr(read_record(str(path.parent)))


def _predictions(path: Path) -> Any:
    from efficientnet_tf.runs.predictions import load

    found = load(str(path))
    return found.places.tobytes(), found.labels.tobytes(), found.probabilities.tobytes()


def _page(path: Path) -> Any:
    from efficientnet_tf.report import comparison
    from efficientnet_tf.report.run_files import read_run
    from efficientnet_tf.report.write import write_report

    runs = {"a": read_run(str(path)), "b": read_run(str(path))}
    comparison.text(runs)
    write_report(str(path), with_pictures=False)
    return None


def _saved_model(path: Path) -> Any:
    from efficientnet_tf.inference.predict import Classifier

    return Classifier.of_saved_model(str(path)).classes


def _repeat(path: Path) -> Any:
    from efficientnet_tf.runs import repeats

    run = repeats.Repeat("run", (), split="minival")
    flags = ["--model=efficientnet-b0"]
    if not (path / "flags.json").exists():
        (path / "flags.json").write_text(json.dumps(flags))
    result = repeats.train(run, flags, str(path.parent))
    return repeats.describe(result), repeats.spread([result, result])


def _search(path: Path) -> Any:
    from efficientnet_tf.search.results import Results

    return len(Results(str(path.parent)).rows)


def _results(path: Path) -> Any:
    from efficientnet_tf.reproduce.results import gathered, measured_table, read_results

    measured_table("t", gathered(read_results([str(path)])))
    return None


def _block_string(path: Path) -> Any:
    from efficientnet_tf.models.block_string import decode, encode

    return encode(decode(path.read_text(encoding="utf-8", errors="surrogateescape")))


def _flags(path: Path) -> Any:
    from absl import flags

    from efficientnet_tf.commands import command_line
    from efficientnet_tf.commands.flag_groups import FlagGroups

    text = os.fsdecode(path.read_bytes().replace(b"\0", b""))
    word, take = command_line.word_of("train"), FlagGroups()
    word.take_flags(take)
    argv = ["main.py", *text.split("\n")]
    try:
        with mock.patch.object(sys, "argv", argv):  # where ml_collections looks, too
            command_line.given_by(word, take, argv)
    except flags.Error as error:
        raise UsageError(f"{error}. See --help.") from error
    return None


def _listed(path: Path) -> Any:
    from efficientnet_tf.inference.image_list import image_paths

    with open(path, encoding="utf-8", errors="surrogateescape") as lines:
        return len(image_paths(["-"], lines))


def _real_labels(path: Path) -> Any:
    from efficientnet_tf.evaluation.imagenet_variants import read_real_labels

    return len(read_real_labels(str(path), 10))


def of_files() -> Iterator[Reader]:
    """Those whose specimens `workshop.make_files` makes."""
    for kind in ("jpeg", "png", "gif", "bmp", "webp"):
        yield Reader(f"image, {kind.upper()}", f"image.{kind}", _image)
    yield Reader("CSV table", "table.csv", _table)
    yield Reader("class names", "names.txt", _names)
    yield Reader("weights, timm", "timm.safetensors", _foreign)
    for end in ("index", "data-00000-of-00001"):
        file = f"tf1/model.ckpt-12.{end}"
        yield Reader(f"TF1 checkpoint, .{end[:5]}", file, _foreign, "tf1", sealed=True)
    yield Reader("init_from.json", "record/init_from.json", _record)
    yield Reader("journal of prepare", "journal/manifest.partial.jsonl", _journal)
    yield Reader("results of a search", "search/results.jsonl", _search)
    yield Reader("results to reproduce", "results.jsonl", _results)
    yield Reader("block string", "block.txt", _block_string)
    yield Reader("command line", "flags.txt", _flags)
    yield Reader("list of images", "list.txt", _listed)
    yield Reader("ReaL labels", "real.json", _real_labels)


def of_commands(made: Path) -> Iterator[Reader]:
    """Those whose specimens only commands of ours make; they lie in `made`."""
    shard = min(each.name for each in (made / "bare").glob("train-*"))
    yield Reader("TFRecord file", f"bare/{shard}", _records, "bare", sealed=True)
    yield Reader("TFRecord, checksums", f"records/{shard}", _checked_records, "records", True)
    yield Reader("manifest.json", "records/manifest.json", _checked_records, "records")
    yield Reader("weights, ours", "ours.safetensors", _ours, sealed=True)
    for kind in ("keras", "h5", "weights.h5"):
        yield Reader(f"weights, .{kind}", f"model.{kind}", _foreign)
    checkpoint = min(each.stem for each in (made / "run" / "best").glob("*.index"))
    for end in ("index", "data-00000-of-00001"):
        file = f"run/best/{checkpoint}.{end}"
        yield Reader(f"checkpoint, .{end[:5]}", file, _run, "run", sealed=True)
    yield Reader("best/checkpoint", "run/best/checkpoint", _run, "run")
    yield Reader("config.json", "run/config.json", _config, "run")
    yield Reader("classes.json", "run/classes.json", _classes, "run")
    yield Reader("data.json", "run/data.json", _data, "run")
    yield Reader("predictions-*.npz", "run/predictions-minival.npz", _predictions, sealed=True)
    for name in ("history.jsonl", "timing.jsonl", "evaluation-minival.json", "command.json"):
        yield Reader(name, f"run/{name}", _page, "run")
    yield Reader("config.json of a report", "run/config.json", _page, "run")
    yield Reader("saved_model.pb", "run/export/saved_model.pb", _saved_model, "run/export")
    variables = "run/export/variables/variables.data-00000-of-00001"
    yield Reader("SavedModel's variables", variables, _saved_model, "run/export")
    yield Reader("results of repeats", "run/evaluation-minival.json", _repeat, "run")
