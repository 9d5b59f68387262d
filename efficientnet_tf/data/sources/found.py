"""What lies in a folder that is not the data set which was asked for, and how to ask for that."""

import collections
import os

from efficientnet_tf.data.images.names import is_hidden, is_image
from efficientnet_tf.storage.files import entries

_LOOKED_AT = 20  # folders


def advice(data_dir: str) -> str:
    """Two sentences: what the folder seems to hold, and what to do."""
    try:
        folders, files = (
            sorted(name for name in names if not is_hidden(name))
            for names in entries(data_dir, is_image)
        )
        holding = [name for name in folders[:_LOOKED_AT] if _has_images(data_dir, name)]
    except OSError:
        return "Check the folder and the names of the files."
    if "dataset_info.json" in files:
        return (
            "It is a set of TensorFlow Datasets. Ask for it by "
            f"--config.data.source=tfds:{data_dir} without --data_dir."
        )
    if holding:
        shown = ", ".join(f'"{name}"' for name in holding[:3])
        more = ", ..." if len(holding) > 3 else ""
        return (
            f"It has folders of images: {shown}{more}. Ask for them by --config.data.source=folder."
        )
    tables = [name for name in files if name.lower().endswith(".csv")]
    if tables:
        path = os.path.join(data_dir, tables[0])
        return (
            f"It has a table: {tables[0]}. Ask for it by --config.data.source=csv:{path} without "
            "--data_dir."
        )
    kinds = collections.Counter(os.path.splitext(name)[1] or "no extension" for name in files)
    what = [f"{count} files with {kind}" for kind, count in kinds.most_common(3)]
    what += [f"{len(folders)} folders"] if folders else []
    return f"It has {', '.join(what) or 'nothing'}. Check the folder and the names of the files."


def _has_images(data_dir: str, name: str) -> bool:
    """Directly, or, of a folder such as train, in a folder inside."""
    folders, files = entries(os.path.join(data_dir, name), is_image)
    if any(map(is_image, files)):
        return True
    inner = [os.path.join(data_dir, name, folder) for folder in folders[:_LOOKED_AT]]
    return any(any(map(is_image, entries(folder, is_image)[1])) for folder in inner)
