"""Format, size and colours of an encoded image from its header, as Pillow's readers see it.

No pixel is decoded, so damage further on shows only in WebP, of which Pillow reads the whole file.
"""

import dataclasses
import io
import re
import warnings
from typing import IO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

# Not Image.open: it refuses many pixels and calls some JPEG files MPO.
_READERS = {
    "JPEG": (rb"\xff\xd8\xff", JpegImageFile),
    "PNG": (rb"\x89PNG\r\n\x1a\n", PngImageFile),
    "GIF": (rb"GIF8[79]a", GifImageFile),
    "BMP": (rb"BM", BmpImageFile),
    "WEBP": (rb"RIFF....WEBP", WebPImageFile),
}
FORMATS = tuple(_READERS)
_COLOURS = {"1": "grey", "L": "grey", "I": "grey", "LA": "grey+alpha", "P": "palette"}
_COLOURS |= {"RGB": "RGB", "RGBA": "RGB+alpha", "CMYK": "CMYK"}


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


def read_header(encoded: bytes | IO[bytes]) -> ImageHeader | None:
    """The header of an encoded image, None if the bytes are of no format known here.

    Args:
        encoded: the image, or a file of which only the header is read.
    """
    file = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
    begin = file.read(12)
    file.seek(0)
    for name, (signature, reader) in _READERS.items():
        if re.match(signature, begin, re.DOTALL):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of EXIF data that are of no use here
                    image = reader(file)
                # Of a PNG as it is stored, "LA;16B", say: as a picture it has 8 bits.
                stored = str(image.tile[0][3]) if name == "PNG" else image.mode
            except Exception:  # Pillow does not say what it raises for damage: a dozen kinds
                return ImageHeader(name)
            mode, _, bits = stored.partition(";")
            colours = _COLOURS.get(mode, "") + (" 16-bit" if bits == "16B" else "")
            return ImageHeader(name, image.height, image.width, colours)
    return None
