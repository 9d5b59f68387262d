"""TensorFlow starts without a word, unless it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine import startup

ROOT = Path(__file__).parents[2]


def test_nothing_is_written_and_tensorflow_is_ready() -> None:
    program = (
        "import sys\n"
        "from efficientnet_tf.machine.startup import start_tensorflow\n"
        "start_tensorflow()\n"
        "import keras, tensorflow\n"
        "print(keras.backend.backend(), int(tensorflow.constant(20) + 1))\n"
        # Two seconds of import that no command needs, until one does.
        "print({'jax', 'matplotlib', 'sklearn'} & set(sys.modules))\n"
        "import matplotlib, sklearn\n"
        "print(matplotlib.__name__, sklearn.__name__)\n"
        "print('written by us', file=sys.stderr)\n"
    )
    removed = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tensorflow 21\nset()\nmatplotlib sklearn\n"
    assert done.stderr == "written by us\n", "standard error must be as before"


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_keras_backend_is_refused(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(startup, "import_module", pytest.fail)
    with pytest.raises(UsageError, match=f'KERAS_BACKEND is "{backend}"') as caught:
        startup.start_tensorflow()
    assert "Unset it" in str(caught.value)


def test_the_users_log_level_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    startup.start_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_what_was_held_back_is_shown_if_the_import_fails() -> None:
    program = (
        "import os, sys\n"
        "from efficientnet_tf.machine import startup\n"
        "def fail(name):\n"
        "    os.write(2, b'undefined symbol: x\\n')  # as TensorFlow's C++ part would\n"
        "    raise ImportError('no ' + name)\n"
        "startup.import_module = fail\n"
        "try:\n"
        "    startup.start_tensorflow()\n"
        "except ImportError as error:\n"
        "    print(error, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "undefined symbol: x\nno tensorflow\n"
