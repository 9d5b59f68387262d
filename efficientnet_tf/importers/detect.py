"""Which importer reads a file or folder: by what is in it, endings only where that is silent."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.importers import keras_applications, qubvel, tf1_checkpoint, timm, weights_file
from efficientnet_tf.importers.keras_files import read_keras_file
from efficientnet_tf.importers.weights_source import WeightsSource
from efficientnet_tf.storage.paths import is_remote

# The flag's value -> how to open it: (path, use_ema).
FORMATS: dict[str, Callable[[str, bool], WeightsSource]] = {
    "tf1": tf1_checkpoint.open_checkpoint,
    "keras": lambda path, _: keras_applications.open_file(path),
    "qubvel": lambda path, _: qubvel.open_file(path),
    "timm": timm.open_file,
}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLE = b"\x80"
_KNOWN = (
    "Known are: official TF1 checkpoints (the prefix of .index and .data-*, or their folder), "
    ".h5, .weights.h5 and .keras of Keras, .h5 of qubvel/efficientnet, .safetensors and .pth of "
    "timm's tf_efficientnet_*."
)


def open_weights(path: str, format: str = "auto", use_ema: bool = True) -> WeightsSource:
    """Opens weights of any supported program.

    Args:
        path: of a file, a folder, or the prefix of a TF1 checkpoint.
        format: "auto" or a key of FORMATS.
        use_ema: where averaged and plain weights are stored, take the averages.

    Raises:
        UsageError: no such file, an unknown format, or a damaged or foreign file.
    """
    if format != "auto" and format not in FORMATS:
        raise UsageError(
            f'--format must be auto or one of {", ".join(FORMATS)}, received "{format}".'
            f"{nearest(format, FORMATS)}"
        )
    return FORMATS[detect(path) if format == "auto" else format](path, use_ema)


def detect(path: str) -> str:
    """The key of FORMATS for a file, folder or prefix.

    Raises:
        UsageError: there is nothing, or nothing that is known; the message says what was found.
    """
    if is_remote(path) or Path(f"{path.removesuffix('.index')}.index").is_file():
        return "tf1"
    if Path(path).is_dir():
        return _detect_folder(Path(path))
    if not Path(path).is_file():
        raise UsageError(f'--from: there is no file, folder or checkpoint "{path}".')
    if Path(path).name == "checkpoint":
        raise UsageError(f'--from: "{path}" only names a checkpoint; give its folder.')
    try:
        with open(path, "rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise UsageError(f'--from: "{path}" cannot be read: {error.strerror}.') from error
    if start.startswith(_HDF5):
        return _keras_or_qubvel(path)
    if start.startswith(b"PK"):
        return _detect_zip(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < Path(path).stat().st_size:
        if weights_file.is_ours(path):
            raise UsageError(
                f'--from: "{path}" has been imported already: create_model(NAME, '
                f'weights="{path}") loads it.'
            )
        return "timm"
    if start.startswith(_PICKLE):
        return "timm"
    what = "is empty" if not start else "is of no known format, or damaged"
    raise UsageError(f'--from: "{path}" {what}. {_KNOWN}')


def _detect_folder(folder: Path) -> str:
    names = sorted(item.name for item in folder.iterdir())
    if any(name == "checkpoint" or name.endswith(".index") for name in names):
        return "tf1"
    if "model.safetensors" in names or "pytorch_model.bin" in names:
        return "timm"
    if "saved_model.pb" in names:
        raise UsageError(
            f'--from: "{folder}" is a SavedModel, whose weights have lost the names of layers. '
            "Give the weights that it was made from."
        )
    found = ", ".join(names[:4]) or "nothing"
    raise UsageError(f'--from: no weights in the folder "{folder}" (found {found}). {_KNOWN}')


def _detect_zip(path: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise UsageError(f'--from: "{path}" is damaged: {error}. Copy it again.') from error
    if "model.weights.h5" in names:
        return _keras_or_qubvel(path)
    if any(name.endswith("data.pkl") for name in names):
        return "timm"
    raise UsageError(f'--from: "{path}" is a zip of something else ({names[:3]}). {_KNOWN}')


def _keras_or_qubvel(path: str) -> str:
    """keras.applications has layers before the stem; qubvel's networks begin with it."""
    file = read_keras_file(path)
    before = any(layer.startswith(("normalization", "rescaling")) for layer in file.layers)
    return "keras" if before or not file.legacy else "qubvel"
