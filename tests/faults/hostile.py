"""Faults: files and names made on purpose, to run code, to fill the memory, to deceive."""

import functools
import io
import json
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from faults.apart import Ended, Failed, call, settled
from faults.workshop import CLASSES, Place, commands, encoded, training

Case = tuple[str, str, Callable[[Place, int], str]]
CANARY = "canary"
_REAL = 10**9  # pixels


class _Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._path}",)


def _network(where: Place) -> str:
    """file.py:NAME of a module that leaves the canary when it is imported."""
    path = where.own / "net.py"
    path.write_text(f"open({str(where.own / CANARY)!r}, 'w').close()\nNET = None\n")
    return f"{path}:NET"


def _unharmed(where: Place, ended: Ended, *names: str, fine: bool | None = False) -> str:
    if (where.own / CANARY).exists():
        raise Failed("code from the file was executed")
    return settled(ended, *names, fine=fine)


def _stored_name(where: Place, _: int, *, word: str) -> str:
    run = where.copy("run")
    config = json.loads((run / "config.json").read_text())
    config["model.name"] = _network(where)
    (run / "config.json").write_text(json.dumps(config))
    given = commands(where, run, where.own)[word]
    # Report and compare may show a run whose network they do not load.
    fine = None if word in ("compare", "report") else False
    return _unharmed(where, call(*given), "net.py", "config.json", str(run), fine=fine)


def _metadata(where: Place, _: int, *, changes: dict[str, str]) -> str:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = where.own / "w.safetensors"
    with safe_open(where.specimens / "ours.safetensors", "numpy") as file:
        metadata = dict(file.metadata())
        names = file.keys()
        arrays = {name: file.get_tensor(name) for name in names}
    name = {"model": _network(where)} if changes.get("model") == "NET" else {}
    save_file(arrays, path, {**metadata, **changes, **name})
    ended = call("predict", f"--weights={path}", f"{where.specimens}/image.png")
    return _unharmed(where, ended, "w.safetensors", "net.py", *changes)


def _keras_config(where: Place, _: int, *, config: object) -> str:
    path = where.own / "model.keras"
    with (
        zipfile.ZipFile(where.specimens / "model.keras") as old,
        zipfile.ZipFile(path, "w") as new,
    ):
        for name in old.namelist():
            whole = old.read(name)
            new.writestr(name, json.dumps(config) if name == "config.json" else whole)
    out = f"--output={where.own}/out.safetensors"
    return _unharmed(where, call("import-weights", f"--from={path}", out), "model.keras")


def _written(where: Place, _: int, *, name: str, content: Callable[[Place], bytes]) -> str:
    """A file that import-weights is given."""
    path = where.own / name
    path.write_bytes(content(where))
    out = f"--output={where.own}/out.safetensors"
    return _unharmed(where, call("import-weights", f"--from={path}", out), name)


def _pickle(where: Place) -> bytes:
    return pickle.dumps(_Runs(where.own / CANARY), 2)


def _torch_zip(where: Place) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", _pickle(where))
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def _bomb(where: Place) -> bytes:
    """A .keras whose weights inflate to 2 GB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("config.json", "{}")
        with archive.open("model.weights.h5", "w", force_zip64=True) as file:
            for _ in range(128):
                file.write(bytes(2**24))
    return stream.getvalue()


def _config_bomb(where: Place) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("config.json", "w", force_zip64=True) as file:
            for _ in range(128):
                file.write(b" " * 2**24)
        archive.writestr("model.weights.h5", b"")
    return stream.getvalue()


def _header(size: int, content: bytes) -> Callable[[Place], bytes]:
    return lambda where: struct.pack("<Q", size) + content


_TENSOR = b'{"a":{"dtype":"F32","shape":[99999999999,9],"data_offsets":[0,4]}}'


def _predictions(where: Place, _: int, *, kind: str) -> str:
    run = where.copy("run")
    path = run / "predictions-minival.npz"
    if kind == "pickle":
        with open(path, "wb") as file:
            np.savez(file, places=np.array([_Runs(where.own / CANARY)], object), labels=0)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header, {"descr": "<i8", "fortran_order": False, "shape": (2**28,)}
            )
            with archive.open("places.npy", "w", force_zip64=True) as file:
                file.write(header.getvalue())
                for _unused in range(128):
                    file.write(bytes(2**24))
    return _unharmed(where, call("report", f"--model_dir={run}"), path.name, fine=None)


def _png(width: int, height: int) -> bytes:
    """A grey PNG of this size, whose rows are all black; small as a file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    packer = zlib.compressobj(1)
    row = bytes(3 * width + 1) if width * height < _REAL else b""  # an absurd size is a lie
    rows = b"".join(packer.compress(row) for _ in range(height if row else 0))
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = rows + packer.flush()
    begin = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)
    return begin + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _picture(where: Place, _: int, *, size: tuple[int, int], word: str) -> str:
    photos = where.copy("photos")
    (photos / CLASSES[0] / "z.png").write_bytes(_png(*size))
    words = commands(where, where.specimens / "run", where.own, photos)
    # One of 4096 x 4096 is a photo; what is larger than the limit is refused before it is decoded.
    return settled(call(*words[word]), "z.png", fine=None)


NAMES = {
    "terminal escapes": "\x1b[2J\x1b]0;owned\x07red",
    "a new line": "two\nlines",
    "a carriage return": "visible\rhidden",
    "a spreadsheet's formula": "=cmd|' C calc'!A0",
    "a comma and quotes": 'a,"b"',
    "markup": "<img src=x onerror=alert(1)>",
    "a template": "{{7*7}}{% raw %}",
    "right-to-left": "abc\u202etxt.exe",
    "no UTF-8": "caf\udce9",
    "200 characters": "n" * 180,
    "a leading dash": "--model_dir=x",
    "percent": "%s%n%(name)s",
}


def _class_name(where: Place, _: int, *, name: str) -> str:
    photos = where.copy("photos")
    os.rename(photos / CLASSES[0], photos / name)
    run = where.own / "new"
    ended = call(*training(photos, run, mode="train_and_eval", epochs=0.5))
    verdict = settled(ended)
    _no_escapes(ended)
    if verdict == "survived":
        page = (run / "report.html").read_text()
        if "<img src=x" in page or "49{%" in page:
            raise Failed("report.html holds the name as markup")
        again = call("evaluate", f"--model_dir={run}", "--split=test")
        settled(again, fine=True)
        _no_escapes(again)
    return verdict


def _file_name(where: Place, _: int, *, name: str, word: str) -> str:
    photos = where.copy("photos")
    (photos / CLASSES[0] / f"{name}.png").write_bytes(encoded("PNG"))
    bad = photos / CLASSES[0] / f"{name}0.png"
    bad.write_bytes(b"no image")
    output = where.own / "answers.csv"
    words = commands(where, where.specimens / "run", where.own, photos)
    ended = call(*words[word])
    verdict = settled(ended)
    _no_escapes(ended)
    if word == "predict, folder":
        if not output.exists():
            raise Failed("the answers were lost")
        if re.search(r"^=", output.read_bytes().decode(errors="replace"), re.M):
            raise Failed("the table begins a cell with a formula")
    return verdict


def _no_escapes(ended: Ended) -> None:
    found = re.search(
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e]", ended.out + ended.err
    )
    if found:
        raise Failed(f"sends {found[0]!r} to the terminal")
    if "\rhidden" in ended.out + ended.err:
        raise Failed("sends a carriage return of a name to the terminal")


def cases() -> Iterator[Case]:
    """(category, name, how to try it) of each."""
    code = "hostile: code in data"
    for word in ("compare", "report", "predict", "evaluate", "export", "cam", "resume"):
        yield code, f"config.json names a file, {word}", functools.partial(_stored_name, word=word)
    yield code, "metadata name a file", functools.partial(_metadata, changes={"model": "NET"})
    files: list[tuple[str, str, Callable[[Place], bytes]]] = [
        ("pickle.pth", code, _pickle),
        ("zip.pth", code, _torch_zip),
        ("pickle.safetensors", code, _pickle),
        ("pickle.h5", code, _pickle),
        ("zip.keras", code, _torch_zip),
        ("bomb.keras", "hostile: bombs", _bomb),
        ("bomb-in-config.keras", "hostile: bombs", _config_bomb),
        ("long-header.safetensors", "hostile: absurd metadata", _header(2**62, b"{}")),
        ("short.safetensors", "hostile: absurd metadata", _header(100, b"{")),
        (
            "offsets.safetensors",
            "hostile: absurd metadata",
            _header(len(_TENSOR), _TENSOR + b"0000"),
        ),
        ("empty.safetensors", "hostile: absurd metadata", _header(2, b"{}")),
    ]
    for name, category, content in files:
        yield category, name, functools.partial(_written, name=name, content=content)
    lambda_layer = {
        "class_name": "Functional",
        "config": {
            "layers": [{"class_name": "Lambda", "config": {"name": "x", "function": "gAN9"}}]
        },
    }
    for config in ([], 7, None, "text", {"config": []}, {"config": {"layers": [7]}}, lambda_layer):
        tried = functools.partial(_keras_config, config=config)
        yield "hostile: absurd metadata", f".keras config {str(config)[:30]}", tried
    for changes in (
        {"classes": "-1"},
        {"classes": "99999999999"},
        {"classes": "1e3"},
        {"resolution": "0"},
        {"resolution": "99999999"},
        {"contract": "[]"},
        {"contract": "{}"},
        {"class_names": "7"},
        {"class_names": '["a"]'},
        {"coefficients": "[]"},
        {"format_version": "9" * 5000},
        {"coefficients": '{"width_coefficient": 1e30}'},
        {"coefficients": '{"blocks_args": 7}'},
        {"coefficients": '{"weights": "imagenet"}'},
        {"model": "efficientnet-b99"},
        {"contract": "[" * 100_000},
    ):
        tried = functools.partial(_metadata, changes=changes)
        yield "hostile: absurd metadata", f"weights {str(changes)[:50]}", tried
    for kind in ("pickle", "bomb"):
        category = code if kind == "pickle" else "hostile: bombs"
        yield category, f"predictions {kind}", functools.partial(_predictions, kind=kind)
    for size in ((4096, 4096), (20_000, 20_000), (2**31 - 1, 1), (2**30, 2**30), (0, 5)):
        for word in ("check-data", "predict, folder", "train"):
            tried = functools.partial(_picture, size=size, word=word)
            yield "hostile: bombs", f"PNG of {size[0]} x {size[1]}, {word}", tried
    for what, name in NAMES.items():
        tried = functools.partial(_class_name, name=name)
        yield "hostile: names", f"a class with {what}", tried
        for word in ("check-data", "predict, folder", "predict, folder, printed"):
            tried = functools.partial(_file_name, name=name, word=word)
            yield "hostile: names", f"a file with {what}, {word}", tried
