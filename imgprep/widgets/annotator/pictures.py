"""What the browser is shown of a file: upright, in a format every browser decodes, no larger than it needs."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from imgprep.images import open_upright
from imgprep.images.upright import exif_orientation, open_header
from imgprep.regions import Region

PREVIEW_SIDE = 2048
"""Longer side of a preview, pixels; beyond it detail is sent for the part that is looked at."""

AS_IT_IS = 3_000_000
"""A file up to this many bytes, upright and of a browser's format, is sent untouched."""

_MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on its way to the browser.

    Parameters
    ----------
    data, mime
        The bytes and their kind.
    shown : (int, int)
        Width and height of these bytes, pixels.
    size : (int, int)
        Upright size of the file, which regions count in.
    digest : str
        MD5 (hex) of the file.
    """

    data: bytes
    mime: str
    shown: tuple[int, int]
    size: tuple[int, int]
    digest: str


def load_picture(data: bytes) -> Picture:
    """Make a file, by its bytes, what the browser is shown.

    Raises
    ------
    ImgprepError, OSError
        It is no image, broken, or too large to decode.
    """
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if not data:
        raise OSError("the file is empty (0 bytes)")
    with open_header(io.BytesIO(data)) as header:
        size = header.size
        plain = (
            header.format in _MIME
            and header.mode in ("RGB", "L", "RGBA", "P")
            and len(data) <= AS_IT_IS
            and max(size) <= PREVIEW_SIDE
            and getattr(header, "n_frames", 1) == 1
            # A PNG's tag may follow its pixels: any sign of one, and the preview is made here.
            and (b"eXIf" not in data if header.format == "PNG" else exif_orientation(header) == 1)
        )
        if plain:
            mime = _MIME[str(header.format)]
            # A file that ends too early shows half a picture in a browser; here it is an error.
            if header.format == "JPEG":
                header.draft("L", (size[0] // 8, size[1] // 8))
            header.load()
            return Picture(data, mime, size, size, digest)
    image = open_upright(data)
    size = image.size
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Picture(_encoded(image), "image/jpeg", image.size, size, digest)


def load_detail(data: bytes, part: Region, *, side: int = 2048) -> tuple[bytes, tuple[int, int]]:
    """Return a part of a file at full resolution (at most `side` pixels a side) as JPEG, and its size in pixels."""
    image = open_upright(data).crop((part.x1, part.y1, part.x2, part.y2))
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return _encoded(image, quality=92), image.size


def load_thumbnail(data: bytes, *, side: int = 200) -> tuple[bytes, tuple[int, int]]:
    """Return a small JPEG of a file and its size in pixels; the shape is the upright image's."""
    image = open_upright(data, max_side=side)
    return _encoded(image, quality=80), image.size


def _encoded(image: Image.Image, *, quality: int = 90) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
