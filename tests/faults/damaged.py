"""Faults: files of a run, of data and of weights that are damaged, lost or no regular files."""

import functools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.apart import Failed, call, settled
from faults.workshop import CLASSES, TINY, Place, commands, encoded, training

Case = tuple[str, str, Callable[[Place, int], str]]


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def _other_type(path: Path) -> None:
    path.write_text('["a list", {"of": null}]\n')


def _absurd(path: Path) -> None:
    """The numbers of a JSON file become such as no machine can have."""
    text = path.read_bytes().decode(errors="replace")
    path.write_text("".join("9" * 400 if sign.isdigit() else sign for sign in text))


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def _sparse(path: Path) -> None:
    """A terabyte, of which nothing is stored."""
    os.truncate(path, 2**40)


def _lost(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def _endless(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b"") and None,
    "half": _half,
    "garbage": _garbage,
    "of another type": _other_type,
    "absurd numbers": _absurd,
    "deeply nested": _deep,
    "a terabyte": _sparse,
    "lost": _lost,
    "a folder": _folder,
    "a pipe": _pipe,
    "a link to itself": _loop,
    "a link to /dev/zero": _endless,
}
_JSON = ("of another type", "absurd numbers", "deeply nested")
_BINARY = tuple(name for name in DAMAGES if name not in _JSON)

# file of a run -> the damages, and the words that read it. Those that only show it survive any.
_FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "config.json": (tuple(DAMAGES), ("compare", "predict, printed")),
    "classes.json": (tuple(DAMAGES), ("predict, printed",)),
    "data.json": (tuple(DAMAGES), ("evaluate",)),
    "history.jsonl": (tuple(DAMAGES), ("compare",)),
    "timing.jsonl": (tuple(DAMAGES), ("compare",)),
    "evaluation-minival.json": (tuple(DAMAGES), ("compare",)),
    "predictions-minival.npz": (_BINARY, ("report",)),
    "best/checkpoint": (_BINARY, ("predict, printed",)),
    "best/ckpt.index": (_BINARY, ("predict, printed",)),
    "best/ckpt.data-00000-of-00001": (_BINARY, ("predict, printed",)),
    "export/saved_model.pb": (_BINARY, ("predict, served",)),
    "export/variables/variables.data-00000-of-00001": (_BINARY, ("predict, served",)),
    "export/metadata.json": (tuple(DAMAGES), ("predict, served",)),
}


def _found(run: Path, name: str) -> Path:
    """best/ckpt.index is the checkpoint there, of whatever step."""
    folder, _, rest = name.partition("/ckpt")
    return next((run / folder).glob(f"ckpt-*{rest}")) if rest else run / name


def _run_file(where: Place, _: int, *, name: str, damage: str, word: str) -> str:
    run = where.copy("run")
    DAMAGES[damage](_found(run, name))
    shown = name.split("/")[-1].replace("ckpt.", "ckpt-")
    ended = call(*commands(where, run, where.own)[word])
    return settled(ended, shown, str(run), "saved_model", "ckpt-", "model")


def _resumed(where: Place, _: int, *, name: str, damage: str) -> str:
    """A run whose newest files are damaged goes on from older ones or refuses; it loses nothing."""
    run = where.copy("run")
    files = sorted((run / "checkpoints").glob("ckpt-*.index"), key=_step)
    paths = {
        "newest .index": files[-1],
        "newest .data": files[-1].with_name(f"{files[-1].stem}.data-00000-of-00001"),
        "checkpoints/checkpoint": run / "checkpoints" / "checkpoint",
        "history.jsonl": run / "history.jsonl",
        "timing.jsonl": run / "timing.jsonl",
        "config.json": run / "config.json",
        "classes.json": run / "classes.json",
    }
    DAMAGES[damage](paths[name])
    before = {path.name for path in files if path.is_file()}
    lines = _lines(run / "history.jsonl")
    longer = training(where.specimens / "photos", run, epochs=1.5)
    ended = call(*longer)
    verdict = settled(ended, paths[name].name.split(".")[0], str(run))
    if ended.code == 0 and "resumed at step" not in ended.out + ended.err:
        raise Failed(f"begins anew: {ended.out[-300:]}")
    # The oldest may go for the newest; but not a good one in exchange for none.
    left = {path.name for path in (run / "checkpoints").glob("ckpt-*.index") if path.is_file()}
    if verdict != "survived" and before - left:
        raise Failed(f"removed {sorted(before - left)}")
    if name != "history.jsonl" and _lines(run / "history.jsonl") < lines:
        raise Failed("history.jsonl was cut")
    return verdict


def _step(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines()) if path.is_file() else 0


def _image(where: Place, _: int, *, damage: str, word: str) -> str:
    photos = where.copy("photos")
    bad = photos / CLASSES[0] / "z.jpg"
    bad.write_bytes(encoded("JPEG"))
    DAMAGES[damage](bad)
    if damage == "lost":
        bad.symlink_to(photos / "nowhere.jpg")
    words = commands(where, where.specimens / "run", where.own, photos)
    return settled(call(*words[word]), "z.jpg")


def _weights(where: Place, _: int, *, file: str, damage: str) -> str:
    path = where.copy(file)
    DAMAGES[damage](path)
    if file == "ours.safetensors":
        ended = call("predict", f"--weights={path}", f"{where.specimens}/image.png")
    else:
        ended = call("import-weights", f"--from={path}", f"--output={where.own}/out.safetensors")
    verdict = settled(ended, path.name.removesuffix(".index"), fine=False)
    if (where.own / "out.safetensors").exists():
        raise Failed("wrote a file of weights nevertheless")
    return verdict


def _records(where: Place, _: int, *, file: str, damage: str) -> str:
    records = where.copy("records")
    path = records / file if file else sorted(records.glob("train-*"))[0]
    DAMAGES[damage](path)
    given = ["--config.data.source=tfrecord", f"--data_dir={records}", *TINY]
    given += [f"--model_dir={where.own}/new", "--config.train.epochs=0.5"]
    return settled(call(*given), path.name, fine=None if damage == "lost" else False)


def _results(where: Place, _: int, *, damage: str) -> str:
    path = where.copy("results.jsonl")
    DAMAGES[damage](path)
    out = f"--output_dir={where.own}/out"
    fine = None if damage == "half" else False  # it may be cut between two lines
    ended = call("reproduce", "figure8", f"--results={path}", out)
    return settled(ended, path.name, fine=fine)


def _table(where: Place, _: int, *, damage: str) -> str:
    path = where.copy("table.csv")
    DAMAGES[damage](path)
    return settled(call("check-data", f"--source=csv:{path}"), path.name, fine=False)


def _stored(where: Place, _: int, *, field: str, value: object) -> str:
    """A stored configuration with a value that cannot be."""
    run = where.copy("run")
    path = run / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    ended = call(*commands(where, run, where.own)["predict, printed"])
    named = (str(run), field.rpartition(".")[2], "model", "block string")
    return settled(ended, *named, fine=False)


_WEIGHTS = (
    *("ours.safetensors", "timm.safetensors", "model.keras", "model.h5"),
    "tf1/model.ckpt-12.index",
)
_VALUES = {
    "model.name": [7, "efficientnet-b99", ""],
    "model.resolution": [-1, 10**9, 1e400, "big"],
    "model.width_coefficient": [0, -1, 1e30, "wide"],
    "model.depth_coefficient": [1e12],
    "model.blocks_args": ["r1", [1], ["r1_k3_s11_e999999999_i32_o16"], [""]],
}


def cases() -> Iterator[Case]:
    """(category, name, how to try it) of each."""
    for name, (damages, words) in _FILES.items():
        for damage in damages:
            for word in words:
                tried = functools.partial(_run_file, name=name, damage=damage, word=word)
                yield "damaged: files of a run", f"{name} {damage}, {word}", tried
    for name in (
        "newest .index",
        "newest .data",
        "checkpoints/checkpoint",
        "history.jsonl",
        "timing.jsonl",
        "config.json",
        "classes.json",
    ):
        for damage in ("empty", "half", "garbage", "lost"):
            tried = functools.partial(_resumed, name=name, damage=damage)
            yield "damaged: runs that go on", f"{name} {damage}", tried
    for word in ("check-data", "prepare", "predict, folder", "train"):
        for damage in _BINARY:
            tried = functools.partial(_image, damage=damage, word=word)
            yield "damaged: images", f"{damage}, {word}", tried
    for file in _WEIGHTS:
        for damage in _BINARY:
            tried = functools.partial(_weights, file=file, damage=damage)
            yield "damaged: weights", f"{file} {damage}", tried
    for file in ("", "manifest.json"):
        for damage in _BINARY:
            tried = functools.partial(_records, file=file, damage=damage)
            yield "damaged: tables and records", f"{file or 'shard'} {damage}", tried
    for damage in _BINARY:
        yield (
            "damaged: tables and records",
            f"CSV {damage}",
            functools.partial(_table, damage=damage),
        )
        tried = functools.partial(_results, damage=damage)
        yield "damaged: tables and records", f"results {damage}", tried
    for field, values in _VALUES.items():
        for value in values:
            tried = functools.partial(_stored, field=field, value=value)
            yield "absurd: stored configurations", f"{field}={value!r}", tried
