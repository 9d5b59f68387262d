"""Faults: the data set or the configuration of a run is another one than when it began."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.apart import call, settled
from faults.workshop import CLASSES, IMAGES, Place, encoded, training

Case = tuple[str, str, Callable[[Place, int], str]]
_CAT, _DOG, _OWL = CLASSES


def _more_images(photos: Path) -> None:
    for name in CLASSES:
        for number in range(6):
            (photos / name / f"new{number}.png").write_bytes(encoded("PNG", 99 + number))


def _fewer_images(photos: Path) -> None:
    for name in CLASSES:
        for number in range(IMAGES // 2):
            (photos / name / f"{number}.png").unlink()


def _moved_images(photos: Path) -> None:
    """A third of the cats are dogs now."""
    for number in range(IMAGES // 3):
        os.rename(photos / _CAT / f"{number}.png", photos / _DOG / f"cat{number}.png")


def _renamed(photos: Path) -> None:
    """First in the alphabet it was, last it is: every label shifts."""
    os.rename(photos / _CAT, photos / "zebra")


def _other_names(photos: Path) -> None:
    for number, name in enumerate(CLASSES):
        os.rename(photos / name, photos / f"class{number}")


def _new_class(photos: Path) -> None:
    shutil.copytree(photos / _OWL, photos / "bat")


def _lost_class(photos: Path) -> None:
    shutil.rmtree(photos / _OWL)


def _empty_class(photos: Path) -> None:
    shutil.rmtree(photos / _OWL)
    (photos / _OWL).mkdir()


# what happens to the data -> how; and whether a run may still go on.
_CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "more images": (_more_images, False),
    "fewer images": (_fewer_images, False),
    "images in another class": (_moved_images, False),
    "a class renamed": (_renamed, False),
    "all classes renamed": (_other_names, False),
    "a new class": (_new_class, False),
    "a lost class": (_lost_class, False),
    "an empty class": (_empty_class, False),
    "notes and hidden files": (lambda photos: (photos / _CAT / "notes.txt").write_text("x"), True),
    "macOS's folder": (lambda photos: shutil.copytree(photos / _OWL, photos / "__MACOSX"), True),
    "nothing, but moved": (lambda photos: None, True),
}


def _data(where: Place, _: int, *, change: str, word: str) -> str:
    act, fine = _CHANGES[change]
    photos, run = where.copy("photos"), where.copy("run")
    act(photos)
    given = [f"--config.data.data_dir={photos}"]
    words = {
        "resume": training(photos, run, epochs=2.0),
        "evaluate": ["evaluate", f"--model_dir={run}", "--split=test", *given],
        "export": ["export", f"--model_dir={run}", *given],
    }
    # An export names the run's own classes, so that other images may prove it.
    more = "images" in change or change == "an empty class"
    expected = fine or (None if word != "resume" and more else False)
    return settled(call(*words[word]), str(run), str(photos), fine=expected)


_SETTINGS = {
    "model.width_coefficient": "0.2",
    "model.name": "efficientnet-b1",
    "train.seed": "5",
    "train.global_batch_size": "4",
    "optimizer.base_learning_rate": "0.5",
    "optimizer.kind": "sgd",
    "data.split_seed": "3",
    "data.minival": "9",
    "data.augment": "cutout",
}


def _setting(where: Place, _: int, *, field: str, value: str) -> str:
    run = where.copy("run")
    more = training(where.specimens / "photos", run, f"--config.{field}={value}", epochs=2.0)
    return settled(call(*more), field, str(run), fine=False)


def cases() -> Iterator[Case]:
    """(category, name, how to try it) of each."""
    for change in _CHANGES:
        for word in ("resume", "evaluate", "export"):
            tried = functools.partial(_data, change=change, word=word)
            yield "changed: the data of a run", f"{change}, {word}", tried
    for field, value in _SETTINGS.items():
        tried = functools.partial(_setting, field=field, value=value)
        yield "changed: the configuration of a run", f"{field}={value}", tried
