"""Format, size and colours of an encoded image from its header, in plain Python.

No pixel is decoded, so this takes microseconds, and says nothing about damage further on. The
layouts are those of the formats' own specifications: ITU T.81 (JPEG), W3C PNG, GIF89a, BMP (its
info header), RFC 9649 (WebP).
"""

import dataclasses
import struct
from collections.abc import Callable

_JPEG_COLOURS = {1: "grey", 3: "RGB", 4: "CMYK"}
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey+alpha", 6: "RGB+alpha"}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}  # JPEG markers with no segment behind them
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # tables and a reserved marker among those of the frame header


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What the first bytes tell.

    Attributes:
      format: "JPEG", "PNG", "GIF", "BMP" or "WEBP".
      height: pixels as stored, before an EXIF rotation; 0 if the header is cut off or damaged.
      width: likewise.
      colours: "grey", "grey+alpha", "RGB", "RGB+alpha", "CMYK" or "palette", with " 16-bit"
        behind it for such a PNG; "" if not known.
    """

    format: str
    height: int = 0
    width: int = 0
    colours: str = ""


def read_header(encoded: bytes) -> ImageHeader | None:
    """The header of an encoded image, None if the bytes are of no format known here."""
    for name, begins, parse in _FORMATS:
        if begins(encoded):
            try:
                height, width, colours = parse(encoded)
            except (struct.error, IndexError):  # the bytes end within the header
                return ImageHeader(name)
            return ImageHeader(name, height, width, colours)
    return None


def _jpeg(data: bytes) -> tuple[int, int, str]:
    position = 2
    while True:
        if data[position] != 0xFF:  # not at a marker: damaged
            return 0, 0, ""
        marker = data[position + 1]
        if marker == 0xFF:  # filling
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return 0, 0, ""
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width, components = struct.unpack_from(">HHB", data, position + 5)
            return height, width, _JPEG_COLOURS.get(components, "")
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]


def _png(data: bytes) -> tuple[int, int, str]:
    width, height, depth, colours = struct.unpack_from(">IIBB", data, 16)
    deep = " 16-bit" if depth == 16 else ""
    return height, width, _PNG_COLOURS.get(colours, "") + deep


def _gif(data: bytes) -> tuple[int, int, str]:
    width, height = struct.unpack_from("<HH", data, 6)
    return height, width, "palette"


def _bmp(data: bytes) -> tuple[int, int, str]:
    width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
    colours = "palette" if bits <= 8 else "RGB+alpha" if bits == 32 else "RGB"
    return abs(height), width, colours  # a negative height means: top row first


def _webp(data: bytes) -> tuple[int, int, str]:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF, "RGB"
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        colours = "RGB+alpha" if bits >> 28 & 1 else "RGB"
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, colours
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
        colours = "RGB+alpha" if data[20] & 0x10 else "RGB"
        return (high_height << 16 | low_height) + 1, (high_width << 16 | low_width) + 1, colours
    return 0, 0, ""


_Parse = Callable[[bytes], tuple[int, int, str]]
_FORMATS: tuple[tuple[str, Callable[[bytes], bool], _Parse], ...] = (
    ("JPEG", lambda data: data[:3] == b"\xff\xd8\xff", _jpeg),
    ("PNG", lambda data: data[:8] == b"\x89PNG\r\n\x1a\n", _png),
    ("GIF", lambda data: data[:6] in (b"GIF87a", b"GIF89a"), _gif),
    ("BMP", lambda data: data[:2] == b"BM", _bmp),
    ("WEBP", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
)
FORMATS = tuple(name for name, _, _ in _FORMATS)
