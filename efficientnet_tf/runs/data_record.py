"""classes.json and data.json in model_dir: what a run tells apart, and on which images.

They are there so that a run can be used where its data set is not, and that no change of the data
set goes unnoticed. For each split data.json has the number of images
and a fingerprint: a hash of what `Source.listing` says, which is the same wherever the data set
lies. For minival and test it has the listing, too, so that images which have left them for train
can be counted.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.files import exists, write_json
from efficientnet_tf.storage.json_files import misfit, read_object

if TYPE_CHECKING:  # a command that only reads what is stored does not load TensorFlow
    from efficientnet_tf.data.sources.source import Source

ACCEPT = "--config.data.accept_changes=True"
_SPLITS = ("train", "minival", "test")
_SHOWN = 3  # class names
CONTENT = {"splits": dict.fromkeys(_SPLITS, {"images": int, "fingerprint": str})}  # see `misfit`


def describe(source: "Source") -> dict[str, Any]:
    """The content of data.json."""
    splits: dict[str, Any] = {}
    for split in _SPLITS:
        splits[split] = {
            "images": source.num_examples[split],
            "fingerprint": source.fingerprint(split),
        }
        if split != "train":
            splits[split]["listing"] = sorted(map(os.fsdecode, source.listing(split)))
    return {"source": source.name, "splits": splits}


def write(model_dir: str, source: "Source") -> None:
    """Writes both files."""
    write_classes(model_dir, source.num_classes, source.class_names)
    write_json(os.path.join(model_dir, "data.json"), describe(source))


def read(model_dir: str) -> Mapping[str, Any] | None:
    """The content of data.json; None if there is no run, or one older than this file.

    Raises:
        UsageError: it cannot be understood.
    """
    path = os.path.join(model_dir, "data.json")
    if not exists(path):
        return None
    remedy = "Remove it if the data set is surely the one of before: it is then written anew."
    content = read_object(path, remedy)
    reason = misfit(content, CONTENT)
    reason = reason or ("" if "splits" in content else "it has no splits")
    if reason:
        raise UsageError(f'"{path}" does not say the data of the run ({reason}).\n{remedy}')
    return content


def write_classes(model_dir: str, num_classes: int, class_names: Sequence[str] | None) -> None:
    """Writes classes.json, so that a run can be used where its data set is not."""
    names = None if class_names is None else list(class_names)
    content = {"num_classes": num_classes, "class_names": names}
    write_json(os.path.join(model_dir, "classes.json"), content)


def read_classes(model_dir: str) -> tuple[int, tuple[str, ...] | None] | None:
    """Number and names of the classes of a run; None if it is older than classes.json.

    Raises:
        UsageError: the file cannot be understood.
    """
    path = os.path.join(model_dir, "classes.json")
    if not exists(path):
        return None
    remedy = "Remove it: the classes are then read from the run's checkpoint and its data set."
    content = read_object(path, remedy)
    number, names = content.get("num_classes"), content.get("class_names")
    reason = misfit(number, int) or (misfit(names, [str]) if names is not None else "")
    if not reason and names is not None and len(names) != number:
        reason = f"{number} classes, {len(names)} names"
    if reason:
        raise UsageError(f'"{path}" does not say the classes of the run ({reason}).\n{remedy}')
    return int(content["num_classes"]), None if names is None else tuple(names)


def check(model_dir: str, source: "Source", *, accept: bool) -> dict[str, str]:
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
    model_dir: str, number: int, names: Sequence[str] | None, source: "Source"
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


def _differences(stored: Mapping[str, Any], source: "Source") -> dict[str, str]:
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
