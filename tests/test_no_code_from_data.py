"""No reader of stored data runs code that the data name: each is handed a planted file."""

import contextlib
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from efficientnet_tf import config as config_lib
from efficientnet_tf.commands import command_line
from efficientnet_tf.data.augment.augmentation import parse_augment
from efficientnet_tf.data.sources import manifest
from efficientnet_tf.data.sources.tfds_source import tfds_source
from efficientnet_tf.errors import RunError, Stopped, UsageError
from efficientnet_tf.importers import weights_file
from efficientnet_tf.importers.detect import open_weights
from efficientnet_tf.inference.predict import Classifier
from efficientnet_tf.models import networks
from efficientnet_tf.models.profile.others import saved_model
from efficientnet_tf.report import comparison, page
from efficientnet_tf.report.run_files import read_run
from efficientnet_tf.reproduce import transfer_runs
from efficientnet_tf.reproduce.results import read_results
from efficientnet_tf.runs import predictions
from efficientnet_tf.runs.data_record import read_classes
from efficientnet_tf.runs.init_record import read_record
from efficientnet_tf.runs.trained_model import from_run, from_weights
from efficientnet_tf.search import process
from efficientnet_tf.search.results import Results
from efficientnet_tf.transfer import fine_tuning
from efficientnet_tf.zoo import create_model

NETWORK = """
from efficientnet_tf.models.variants import Variant
open({marker!r}, "w").close()
NET = Variant("own", 0.1, 1.0, 16, 0.0, ("r1_k3_s22_e1_i32_o16",))
"""


class Planted:
    """A file of Python that leaves a mark when it is run, and data that name it in every way.

    Attributes:
        name: as a network is named.
        folder: where data may be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.marker = folder, folder / "it-ran"
        (folder / "net.py").write_text(NETWORK.format(marker=str(self.marker)))
        self.name = f"{folder}/net.py:NET"

    def __reduce__(self) -> Any:  # what a pickle of this runs when it is loaded
        return (os.system, (f"touch {self.marker}",))

    def config(self, **fields: Any) -> dict[str, Any]:
        return {
            **config_lib.to_dict(config_lib.ExperimentConfig()),
            "model.name": self.name,
            **fields,
        }

    def run(self, source: str = "digits") -> Path:
        """A run of somebody else, with everything that a run may hold."""
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        named = {"class": self.name, "module": "net", "py/reduce": self.name, "top1": 0.5}
        for name in ("command.json", "versions.json", "classes.json", "init_from.json"):
            (run / name).write_text(json.dumps(named))
        (run / "config.json").write_text(json.dumps(self.config(**{"data.source": source})))
        (run / "evaluation-test.json").write_text(json.dumps(named))
        for name in ("history.jsonl", "timing.jsonl", "results.jsonl"):
            (run / name).write_text(json.dumps({**named, "step": 1}) + "\n")
        return run

    def weights(self, **metadata: str) -> str:
        """A file of weights in our format."""
        path = str(self.folder / "w.safetensors")
        told = {
            **dict.fromkeys(("source", "source_format", "source_sha256", "efficientnet_tf"), "x"),
            **{"format": "efficientnet_tf weights", "format_version": "1", "classes": "10"},
            **{"resolution": "16", "coefficients": "{}", "contract": "{}", **metadata},
        }
        save_file({"predictions/bias": np.zeros(10, np.float32)}, path, told)
        return path

    def lambda_model(self, ending: str) -> str:
        """A model of Keras with a Python function inside."""
        code = f"__import__('os').system('touch {self.marker}')"
        function = eval(f"lambda x: ({code}, x)[1]")
        path = str(self.folder / f"model.{ending}")
        layer = keras.layers.Lambda(function, output_shape=(4,))
        inputs = keras.Input((4,), name="x")
        keras.Model(inputs, layer(inputs)).save(path)
        self.marker.unlink(missing_ok=True)  # building it ran it, which was ours
        return path

    def keras_file(self, config: Any) -> str:
        path = str(self.folder / "evil.keras")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
            archive.writestr("model.weights.h5", b"")
        return path

    def written(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)


def _word(*line: str, source: str = "digits") -> Callable[[Planted], Any]:
    """A command of somebody who received the run and names nothing but its folder."""

    def call(planted: Planted) -> Any:
        argv = ["main.py", *(part.format(run=planted.run(source)) for part in line)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", argv)
            patch.chdir(planted.folder)
            return command_line.main(argv)

    return call


def _tfds(planted: Planted) -> Any:
    (planted.folder / "planted_features.py").write_text(f"open({str(planted.marker)!r}, 'w')")
    folder = planted.folder / "set"
    folder.mkdir()
    (folder / "dataset_info.json").write_text(json.dumps({"name": "s", "version": "1.0.0"}))
    features = {"pythonClassName": "planted_features.Image", "image": {}}
    (folder / "features.json").write_text(json.dumps(features))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(planted.folder))
        return tfds_source(str(folder))


def _npz(planted: Planted) -> Any:
    path = str(planted.folder / "p.npz")
    pickled = np.array([planted], dtype=object)
    np.savez(path, places=pickled, labels=pickled, probabilities=pickled)
    return predictions.load(path)


def _legacy_h5(planted: Planted) -> Any:
    path = planted.lambda_model("h5")
    with h5py.File(path, "a") as file:
        file.attrs["training_config"] = json.dumps({"optimizer_config": planted.name})
    return saved_model(path)


def _hub_folder(planted: Planted) -> Any:
    folder = planted.folder / "hub"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(planted))
    (folder / "config.json").write_text(json.dumps({"architecture": planted.name}))
    return open_weights(str(folder))


def _job(planted: Planted) -> Any:
    job = {"config": planted.config(), "device": {}, "model_dir": str(planted.folder)}
    return process._train(planted.written("job.json", json.dumps(job).encode()), "r", "other")


def _saved_model(planted: Planted) -> Any:
    """One that writes a file when it is asked."""
    module = tf.Module()

    def write(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.io.write_file(str(planted.marker), "x")
        return {"probabilities": tf.zeros([tf.size(image_bytes), 2])}

    signature = [tf.TensorSpec([None], tf.string, "image_bytes")]
    module.write = tf.function(write, input_signature=signature)
    folder = str(planted.folder / "saved")
    tf.saved_model.save(module, folder, {"serving_default": module.write})
    image = planted.written("x.jpg", tf.io.encode_jpeg(np.zeros((4, 4, 3), np.uint8)).numpy())
    return list(Classifier.of_saved_model(folder).predict([image]))


_POPEN = {
    "module": "subprocess",
    "class_name": "Popen",
    "config": {"args": "touch it-ran", "shell": True},
    "registered_name": None,
}
READERS: dict[str, Callable[[Planted], Any]] = {
    "from_run": lambda planted: from_run(str(planted.run())),
    "init_from a run": lambda planted: fine_tuning.load_initial(
        create_model("efficientnet-b0", resolution=32, blocks_args=["r1_k3_s22_e1_i32_o16"]),
        str(planted.run()),
        name="own",
        class_names=None,
    ),
    "resolution in a report": lambda planted: page.resolution(planted.config()),
    "read_run": lambda planted: page.summary(read_run(str(planted.run()))),
    "compare": lambda planted: comparison.text({"a": read_run(str(planted.run()))}),
    "a transfer run": lambda planted: transfer_runs.read_run(str(planted.run("tfds:cifar10"))),
    "results of runs": lambda planted: read_results([str(planted.run() / "results.jsonl")]),
    "results of a search": lambda planted: Results(str(planted.run())),
    "the job of a search": _job,
    "classes.json": lambda planted: read_classes(str(planted.run())),
    "init_from.json": lambda planted: read_record(str(planted.run())),
    "predictions": _npz,
    "a manifest": lambda planted: manifest.read(str(planted.run())),
    "augmentation": lambda planted: parse_augment(
        f"mixup(alpha=__import__('os').system('touch {planted.marker}'))"
    ),
    "features of TFDS": _tfds,
    "metadata of weights": lambda planted: from_weights(planted.weights(model=planted.name)),
    "coefficients of weights": lambda planted: from_weights(
        planted.weights(model="efficientnet-b0", coefficients=json.dumps({"name": planted.name}))
    ),
    "weights of create_model": lambda planted: create_model(
        "efficientnet-b0", weights=planted.weights(model=planted.name)
    ),
    "info of weights": lambda planted: weights_file.read_info(planted.weights(model=planted.name)),
    "import of ours": lambda planted: open_weights(planted.weights(model=planted.name)),
    "a pickle": lambda planted: open_weights(planted.written("x.pth", pickle.dumps(planted))),
    "a folder of the hub": _hub_folder,
    "Lambda in .keras": lambda planted: saved_model(planted.lambda_model("keras")),
    "Lambda in .h5": _legacy_h5,
    "import of Lambda in .keras": lambda planted: open_weights(planted.lambda_model("keras")),
    "import of Lambda in .h5": lambda planted: open_weights(planted.lambda_model("h5")),
    "a class in .keras": lambda planted: saved_model(planted.keras_file(_POPEN)),
    "a layer in .keras": lambda planted: saved_model(
        planted.keras_file(
            {
                "module": "keras",
                "class_name": "Sequential",
                "registered_name": None,
                "config": {"name": "s", "layers": [_POPEN]},
            }
        )
    ),
    "a SavedModel": _saved_model,
    "word report": _word("report", "--model_dir={run}"),
    "word compare": _word("compare", "{run}", "{run}/../run"),
    "word predict": _word("predict", "--model_dir={run}", "net.py"),
    "word evaluate": _word("evaluate", "--model_dir={run}"),
    "word export": _word("export", "--model_dir={run}"),
    "word cam": _word("cam", "--model_dir={run}", "net.py"),
    "word reproduce": _word("reproduce", "table5", "--run={run}", source="tfds:cifar10"),
    "word train on": _word("train", "--config=digits", "--config.init_from={run}", "--model_dir=m"),
}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    monkeypatch.chdir(tmp_path)
    return Planted(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reader", READERS)
def test_nothing_that_is_read_is_run(planted: Planted, reader: str) -> None:
    with contextlib.suppress(UsageError, RunError, Stopped):
        READERS[reader](planted)
    assert not planted.marker.exists()


def test_the_plant_would_be_seen(planted: Planted) -> None:
    with pytest.raises(UsageError, match=r"was not run\.\nIf you trust this file, name it yoursel"):
        networks.configured(planted.name)
    networks.trust(planted.name)
    assert networks.configured(planted.name).name == "own"
    assert planted.marker.exists()
    planted.marker.unlink()
    pickle.loads(pickle.dumps(planted))
    assert planted.marker.exists()


@pytest.mark.parametrize("flag", ["--model={}", "--config.model.name={}"])
def test_a_network_that_is_named_again_is_used(
    planted: Planted, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from efficientnet_tf.commands.flag_groups import FlagGroups

    argv = ["main.py", f"--model_dir={planted.run()}", flag.format(planted.name)]
    monkeypatch.setattr(sys, "argv", argv)
    take, word = FlagGroups(), command_line.word_of("evaluate")
    word.take_flags(take)
    given = command_line.given_by(word, take, argv)
    assert networks.configured(given.config.model.name).name == "own"
    assert planted.marker.exists()


def test_the_word_predict_takes_the_name_again(
    planted: Planted, capsys: pytest.CaptureFixture
) -> None:
    planted.written("x.jpg", b"x")
    line = ["predict", f"--model_dir={planted.run()}", f"--model={planted.name}", "x.jpg"]
    assert command_line.main(["main.py", *line]) == 2
    assert "no checkpoint in" in capsys.readouterr().err  # the network itself was made
    assert planted.marker.exists()
