"""Faults: odd environments, lost terminals, packages that are missing."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults.apart import SURVIVED, Ended, Failed, call, settled, start
from faults.kills import same_weights
from faults.workshop import CLASSES, Place, commands, training

Case = tuple[str, str, Callable[[Place, int], str]]

_ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "no HOME": {"HOME": None},
    "HOME is nowhere": {"HOME": "/proc/nowhere"},
    "HOME is a file": {"HOME": "/etc/passwd"},
    "LANG=C": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "PYTHONUTF8=0": {"PYTHONUTF8": "0", "LC_ALL": "POSIX"},
    "ASCII output": {"PYTHONIOENCODING": "ascii"},
    "TMPDIR is nowhere": {"TMPDIR": "/proc/nowhere"},
    "no PATH": {"PATH": "/nowhere"},
    "no variables but PATH": {
        name: None for name in os.environ if name not in ("PATH", "PYTHONPATH")
    },
    "TERM=dumb, one column": {"TERM": "dumb", "COLUMNS": "1"},
    "TZ is nowhere": {"TZ": "Nowhere/City"},
    "another backend of Keras": {"KERAS_BACKEND": "jax"},
    "legacy Keras asked for": {"TF_USE_LEGACY_KERAS": "1"},
    "a drawing window asked for": {"MPLBACKEND": "TkAgg", "DISPLAY": ":99"},
    "no folder for caches": {
        "XDG_CACHE_HOME": "/proc/x",
        "MPLCONFIGDIR": "/proc/x",
        "KERAS_HOME": "/proc/x",
    },
    "no GPU asked for": {"CUDA_VISIBLE_DEVICES": "-1"},
    "a GPU that is not there": {"CUDA_VISIBLE_DEVICES": "7"},
    "assertions off": {"PYTHONOPTIMIZE": "2"},
    "no bytecode": {"PYTHONDONTWRITEBYTECODE": "1"},
    "development mode": {"PYTHONDEVMODE": "1"},
    "another cluster's TF_CONFIG": {"TF_CONFIG": "{"},
}
_TERMINALS = {
    "closed stdout": ">&-",
    "closed stderr": "2>&-",
    "all closed": ">&- 2>&- <&-",
    "stdout is full": ">/dev/full",
    "stderr is full": "2>/dev/full",
    "a reader that leaves at once": "| true",
    "a reader of one line": "| head -1",
    "a reader of stderr that leaves": "2>&1 | true",
}
# A package that an extra installs -> a command that needs it.
_PACKAGES = {
    "ai_edge_litert": "export tflite",
    "onnx": "export onnx",
    "tf2onnx": "export onnx",
    "onnxruntime": "export onnx",
    "pyarrow": "predict parquet",
    "h5py": "import h5",
    "safetensors": "import-weights",
    "matplotlib": "cam",
    "sklearn": "digits",
    "tensorflow_datasets": "tfds",
    "torch": "import pth",
    "jinja2": "report",
}


_FOLDERS = {
    "spaces": "a b  c",
    "accents": "é ü",
    "no UTF-8": "caf\udce9",
    "a pattern": "[a]*?",
    "200 letters": "n" * 200,
    "percent signs": "%s{}",
    "quotes": 'it\'s "q"',
}


def _complete(where: Place, ended: Ended) -> str:
    """The training was refused, or came to its right end."""
    verdict = settled(ended)
    if verdict == SURVIVED:
        same_weights(where.own / "new", where.specimens / "trained")
    return verdict


def _environment(where: Place, _: int, *, env: dict[str, str | None]) -> str:
    command = training(where.specimens / "photos", where.own / "new")
    return _complete(where, start(*command, env=env, cwd=where.own))


def _terminal(where: Place, _: int, *, shell: str) -> str:
    command = training(where.specimens / "photos", where.own / "new")
    ended = start(*command, shell=shell, cwd=where.own)
    if ended.hung or ended.signal or "Traceback" in ended.err:
        raise Failed(f"code {ended.code}: {ended.err[-300:]}")
    same_weights(where.own / "new", where.specimens / "trained")
    return SURVIVED


def _short_word(where: Place, _: int, *, shell: str, word: str) -> str:
    words = {
        "help": ["--help"],
        "models": ["models"],
        "compare": ["compare", f"{where.specimens}/run", f"{where.specimens}/run/../run"],
    }
    ended = start(*words[word], shell=shell, cwd=where.own)
    if ended.hung or ended.signal or "Traceback" in ended.err or "Exception ignored" in ended.err:
        raise Failed(f"code {ended.code}: {ended.err[-300:]}")
    return SURVIVED


def _accents(where: Place, _: int, *, env: dict[str, str | None]) -> str:
    """A class that only UTF-8 can write, where the locale says that nothing is."""
    photos, run = where.copy("photos"), where.own / "new"
    os.rename(photos / CLASSES[0], photos / "café")
    ended = start(*training(photos, run, mode="train_and_eval", epochs=0.5), env=env, cwd=where.own)
    return settled(ended, "caf")


def _missing(where: Place, _: int, *, package: str, what: str) -> str:
    def hide() -> None:
        for name in list(sys.modules):
            if name == package or name.startswith(f"{package}."):
                del sys.modules[name]
        modules: dict[str, Any] = sys.modules
        modules[package] = None  # by which Python says that there is none

    run = where.copy("run")
    (where.own / "x.pth").write_bytes(b"\x80\x02}.")
    words = commands(where, run, where.own)
    imported = ["import-weights", f"--output={where.own}/o.safetensors"]
    words |= {
        "export tflite": [*words["export"], "--export_formats=tflite-float32"],
        "export onnx": [*words["export"], "--export_formats=onnx"],
        "predict parquet": [*words["predict, printed"], f"--output={where.own}/o.parquet"],
        "import h5": [*imported, f"--from={where.specimens}/model.h5"],
        "import pth": [*imported, f"--from={where.own}/x.pth"],
        "digits": ["check-data", "--source=digits"],
        "tfds": ["check-data", "--source=tfds:mnist", f"--data_dir={where.own}"],
    }
    named = (package, package.replace("_", "-"), "litert", "pip")
    return settled(call(*words[what], before=hide), *named)


def _odd_folder(where: Place, _: int, *, kind: str) -> str:
    folder = where.own / _FOLDERS[kind]
    folder.mkdir()
    ended = call(*training(where.specimens / "photos", folder / "new"), cwd=folder)
    verdict = settled(ended, str(folder), "--model_dir")
    if verdict == SURVIVED:
        same_weights(folder / "new", where.specimens / "trained")
        settled(
            call("predict", f"--model_dir={folder}/new", f"{where.specimens}/image.png"), fine=True
        )
    return verdict


def _relative(where: Place, _: int, *, kind: str) -> str:
    run, data = where.own / "new", where.specimens / "photos"
    if kind == "~":
        env, command = {"HOME": str(where.own)}, training(data, Path("~/new"))
    elif kind == "a link":
        (where.own / "link").symlink_to(data)
        env, command = {}, training(where.own / "link", run)
    else:
        env, command = {}, training(data, Path("new"))
    ended = call(*command, env=env, cwd=where.own)
    verdict = settled(ended)
    same_weights(run, where.specimens / "trained")
    return verdict


def cases() -> Iterator[Case]:
    """(category, name, how to try it) of each."""
    for name, env in _ENVIRONMENTS.items():
        yield "odd environments", name, functools.partial(_environment, env=env)
    for name in ("LANG=C", "PYTHONUTF8=0", "ASCII output"):
        tried = functools.partial(_accents, env=_ENVIRONMENTS[name])
        yield "odd environments", f"{name}, a class café", tried
    for name, shell in _TERMINALS.items():
        yield "lost terminals", name, functools.partial(_terminal, shell=shell)
        for word in ("help", "models"):
            tried = functools.partial(_short_word, shell=shell, word=word)
            yield "lost terminals", f"{name}, {word}", tried
    for package, what in _PACKAGES.items():
        tried = functools.partial(_missing, package=package, what=what)
        yield "missing packages", f"{package}, {what}", tried
    for kind in _FOLDERS:
        yield (
            "odd environments",
            f"a folder with {kind} in its name",
            functools.partial(_odd_folder, kind=kind),
        )
    for kind in ("~", "a link", "relative"):
        yield "odd environments", f"model_dir by {kind}", functools.partial(_relative, kind=kind)
