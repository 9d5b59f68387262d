"""The recorded operations of autoaugment_ops.npz.xz by name, and images to go with them (ours)."""

import io
import lzma
from pathlib import Path

import numpy as np

with lzma.open(Path(__file__).with_name("autoaugment_ops.npz.xz")) as stream:
    RECORD: dict[str, np.ndarray] = dict(np.load(io.BytesIO(stream.read())))


def _arguments(text: str) -> list[float]:
    """Of `0.28`, of `pad=10,cy=20,cx=33`, of nothing."""
    parts = [float(part.split("=")[-1]) for part in text.split(",") if part]
    return [int(number) for number in parts] if "=" in text else parts


def image(name: str) -> np.ndarray:
    """One of the images that the official code was given."""
    return RECORD[f"input|{name}"]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# Operation -> list of (image name, arguments, expected image).
CASES: dict[str, list[tuple[str, list[float], np.ndarray]]] = {}
for _key, _expected in RECORD.items():
    _image, _operation, *_rest = _key.split("|")
    if _image != "input" and _operation[0].isupper():
        CASES.setdefault(_operation, []).append((_image, _arguments(_rest[0]), _expected))
