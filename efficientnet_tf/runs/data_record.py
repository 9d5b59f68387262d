"""data.json in model_dir: on which images a run was trained and judged.

It is there so that no change of them goes unnoticed. For each split it has the number of images
and a fingerprint: a hash of what `Source.listing` says, which is the same wherever the data set
lies. For minival and test it has the listing, too, so that images which have left them for train
can be counted.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import UsageError
from efficientnet_tf.runs.checkpoint import read_classes
from efficientnet_tf.storage.files import exists, read_bytes, write_json

ACCEPT = "--config.data.accept_changes=True"
_SPLITS = ("train", "minival", "test")
_SHOWN = 3  # class names


def describe(source: Source) -> dict[str, Any]:
    """The content of data.json."""
    splits: dict[str, Any] = {}
    for split in _SPLITS:
        listing = sorted(source.listing(split))
        digest = hashlib.blake2b(b"\n".join(listing), digest_size=16).hexdigest()
        splits[split] = {"images": source.num_examples[split], "fingerprint": digest}
        if split != "train":
            splits[split]["listing"] = [os.fsdecode(item) for item in listing]
    return {"source": source.name, "splits": splits}


def write(model_dir: str, source: Source) -> None:
    """Writes data.json."""
    write_json(os.path.join(model_dir, "data.json"), describe(source))


def read(model_dir: str) -> Mapping[str, Any] | None:
    """The content of data.json; None if there is no run, or one older than this file.

    Raises:
        UsageError: it cannot be understood.
    """
    path = os.path.join(model_dir, "data.json")
    if not exists(path):
        return None
    try:
        content = json.loads(read_bytes(path))
        for split in _SPLITS:
            found = content["splits"][split]
            int(found["images"]), str(found["fingerprint"])
        return content
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f'--model_dir: "{path}" does not say the data of the run ({error!r}).\nRemove it if '
            "you are sure that the data set is the one of before; it is then written anew."
        ) from error


def check(model_dir: str, source: Source, *, accept: bool) -> dict[str, str]:
    """Compares the data set of the run in model_dir with what is there now.

    Args:
        accept: go on with other images; other classes are refused all the same.

    Returns:
        The splits that have changed, with what is to be said of them; none without a run.

    Raises:
        UsageError: other classes, or other images and not `accept`.
    """
    known = read_classes(model_dir)
    if known is not None:
        _check_classes(model_dir, known[0], known[1], source)
    stored = read(model_dir)
    changed = {} if stored is None else _differences(stored["splits"], source)
    if changed and not accept:
        raise UsageError(
            f'--model_dir: the data set has changed since the run in "{model_dir}" began:\n  '
            + "\n  ".join(changed.values())
            + f"\nBring back the images of then, or go on with those of now by {ACCEPT}, or give "
            "another --model_dir for a new run."
        )
    return changed


def _check_classes(
    model_dir: str, number: int, names: Sequence[str] | None, source: Source
) -> None:
    ours = source.class_names
    if names is None or ours is None:
        difference = "" if number == source.num_classes else "without names on one side"
    elif tuple(names) == tuple(ours):
        difference = ""
    else:
        gone = [name for name in names if name not in set(ours)]
        new = [name for name in ours if name not in set(names)]
        difference = "; ".join(
            f"{what}: {_some(found)}" for what, found in (("missing", gone), ("new", new)) if found
        )
        difference = difference or "the same names in another order"
    if difference:
        raise UsageError(
            f'--model_dir: the run in "{model_dir}" has {number} classes and the data set '
            f"{source.num_classes}, which are not the same ({difference}).\nName the classes as "
            "classes.json there does, or begin a new run in another --model_dir; "
            f"--config.init_from={model_dir} lets it begin with the weights of this one."
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f'"{name}"' for name in names[:_SHOWN]) + more


def _differences(stored: Mapping[str, Any], source: Source) -> dict[str, str]:
    now = describe(source)["splits"]
    changed = {}
    for split in _SPLITS:
        before, after = stored[split], now[split]
        if before["fingerprint"] != after["fingerprint"]:
            if before["images"] == after["images"]:
                changed[split] = f"{split}: {after['images']} images as before, but other ones"
            else:
                changed[split] = f"{split}: {before['images']} -> {after['images']} images"
    if changed:
        train = {os.fsdecode(item) for item in source.listing("train")}
        for split in changed:
            moved = len(train.intersection(stored[split].get("listing", ())))
            if moved:
                changed[split] += f"; {moved} of before would now be trained on"
    return changed
