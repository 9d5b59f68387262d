"""Files that Keras saved are loaded in a fresh process after `import efficientnet_tf` alone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from two_blocks import TWO_BLOCKS

import efficientnet_tf
from efficientnet_tf.optim.keras_schedule import KerasSchedule
from efficientnet_tf.optim.rmsprop import RMSProp
from efficientnet_tf.optim.schedule import Schedule

ROOT = Path(__file__).parents[1]
FIT = {"epochs": 2, "batch_size": 4, "verbose": 0}


def compiled() -> keras.Model:
    model = efficientnet_tf.create_model(
        "efficientnet-b0", classes=3, resolution=32, blocks_args=TWO_BLOCKS, survival_prob=0.9
    )
    schedule = KerasSchedule(Schedule("exponential", 0.01, 10.0, 100))
    model.compile(RMSProp(schedule), "sparse_categorical_crossentropy")
    return model


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.uniform(0, 255, (8, 32, 32, 3)).astype("float32"), random.integers(0, 3, 8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    images, labels = data()
    model = compiled()
    model.fit(images, labels, epochs=1, batch_size=4, verbose=0)
    for name in ("saved.keras", "saved.h5"):
        model.save(folder / name)
    np.savez(folder / "expected.npz", images=images, labels=labels, answers=model(images))
    return folder


@pytest.mark.parametrize(
    "imports",
    [
        "efficientnet_tf, keras",
        "keras, efficientnet_tf",
        # The module that loads Keras is then half imported while the others register.
        "efficientnet_tf.models.initializers, keras",
    ],
)
def test_a_fresh_process_loads_and_trains_on(saved: Path, imports: str) -> None:
    program = (
        f"import {imports}, numpy as np\n"
        "expected = np.load('expected.npz')\n"
        "for name in ('saved.h5', 'saved.keras'):\n"
        "    model = keras.models.load_model(name)\n"
        "    answers = model(expected['images'])\n"
        "    np.testing.assert_allclose(answers, expected['answers'], atol=1e-6)\n"
        "    assert int(model.optimizer.iterations) == 2, model.optimizer.iterations\n"
        # The last one alone: Keras itself cannot go on from an .h5 file, with any optimizer.
        f"if {imports.startswith('keras')}:\n"
        "    model.fit(expected['images'], expected['labels'], batch_size=4, verbose=0)\n"
        # Under Keras' other name, and by what a clone is made of.
        "import tensorflow as tf\n"
        "again = tf.keras.models.load_model('saved.keras', compile=False)\n"
        "clone = keras.models.clone_model(again)\n"
        "clone.set_weights(again.get_weights())\n"
        "np.testing.assert_allclose(clone(expected['images']), again(expected['images']))\n"
        "print('fine')"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=saved, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "fine", done.stderr


def test_callbacks_that_save_and_restore(tmp_path: Path) -> None:
    images, labels = data()
    path = str(tmp_path / "best.keras")
    callbacks: list[Any] = [
        keras.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True),
        keras.callbacks.ModelCheckpoint(
            str(tmp_path / "last.weights.h5"), save_weights_only=True, monitor="loss"
        ),
        keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), delete_checkpoint=False),
        keras.callbacks.EarlyStopping("loss", patience=5, restore_best_weights=True),
    ]
    model = compiled()
    history = model.fit(images, labels, callbacks=callbacks, **FIT).history["loss"]
    best = keras.models.load_model(path)
    assert best.evaluate(images, labels, verbose=0) > 0
    other = compiled()
    other.optimizer.build(other.trainable_variables)  # else Keras warns that it skips its slots
    other.load_weights(tmp_path / "last.weights.h5")
    # A run that was interrupted after its second epoch goes on with the third alone.
    resumed = compiled()
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    later = resumed.fit(images, labels, callbacks=[backup], **{**FIT, "epochs": 3})
    assert len(history) == 2
    assert len(later.history["loss"]) == 1
    assert int(resumed.optimizer.iterations) == 6
