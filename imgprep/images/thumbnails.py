"""Thumbnails for pages and widgets: bounded, upright, with the region outlined; broken images do not raise.

Only this module turns an untrusted name from a catalogue into something that can be shown.
"""

from __future__ import annotations

import base64
import io
import math
import os
from dataclasses import dataclass

from PIL import Image, ImageDraw

from imgprep.core.errors import ImgprepError
from imgprep.core.regions import Region
from imgprep.images.formats import kind_of
from imgprep.images.found import Source, Unfit
from imgprep.images.storage import open_source
from imgprep.images.upright import NotAnImage, exif_orientation, open_header, open_upright, upright_size

#: Colour of a region's outline, drawn over a white one: Okabe and Ito's colour-blind-safe vermilion.
OUTLINE = "#D55E00"
_REASON = {
    "HEIF": "HEIC, which cannot be read here; install pillow-heif",
    **{
        name: f"starts like a {name}, but cannot be opened as one"
        for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
    },
}
EMPTY = "the file is empty (0 bytes)"
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Thumb:
    """A small JPEG, or the reason why there is none; a truncated file may have both."""

    data: bytes = b""  #: JPEG; empty if the image cannot be shown
    size: tuple[int, int] = (0, 0)  #: upright width and height of the full image, in pixels; (0, 0) if unknown
    why: str = ""  #: the file's problem, if any

    @property
    def uri(self) -> str | None:
        """A ``data:`` URI for an ``<img>``, or None if there is no JPEG."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.data).decode()}" if self.data else None


def thumb_of(
    name: str,
    root: str | os.PathLike[str] | Source,
    *,
    side: int = 160,
    region: Region | None = None,
    dashed: bool = False,
) -> Thumb:
    """Return a thumbnail of the image `name` below `root`, at most `side` pixels wide and high."""
    try:
        source = open_source(root) if isinstance(root, (str, os.PathLike)) else root
        data = source.read(source.find(name))
    except (Unfit, ImgprepError) as error:
        return Thumb(why=str(error))
    return draw_thumb(data, side=side, region=region, dashed=dashed)


def draw_thumb(data: bytes, *, side: int = 160, region: Region | None = None, dashed: bool = False) -> Thumb:
    """Return a thumbnail of the image in `data`; see `thumb_of`."""
    try:
        if not data:
            return Thumb(why=EMPTY)
        return _small(data, side, region, dashed=dashed)
    except NotAnImage as error:
        return Thumb(why=_REASON.get(what := kind_of(data) or "", f"{what}, not an image" if what else str(error)))
    except Exception as error:  # noqa: BLE001  a broken image can raise any exception
        why = str(error)[:300] or type(error).__name__
    try:
        # The rest of a truncated JPEG is often enough to recognise it.
        rest = _small(data + _END_OF_JPEG, side, region, dashed=dashed) if data.startswith(b"\xff\xd8") else Thumb()
    except Exception:  # noqa: BLE001
        rest = Thumb()
    return Thumb(rest.data, rest.size, why)


def _small(data: bytes, side: int, region: Region | None, *, dashed: bool) -> Thumb:
    with open_header(io.BytesIO(data)) as image:
        stored = image.size
        image.draft(None, (2 * side, 2 * side))
        image.load()
        size = upright_size(*stored, exif_orientation(image))
        small = open_upright(image, max_side=side)
    if region is not None:
        _outline(small, size, region, dashed=dashed)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return Thumb(out.getvalue(), size)


def _outline(small: Image.Image, size: tuple[int, int], region: Region, *, dashed: bool) -> None:
    across, down = small.width / size[0], small.height / size[1]
    left, top = region.x1 * across, region.y1 * down
    box = (left, top, max(left, region.x2 * across - 1), max(top, region.y2 * down - 1))
    width = max(2, max(small.size) // 100)
    pen = ImageDraw.Draw(small)
    pen.rectangle(box, outline="white", width=width + 2)
    if not dashed:
        pen.rectangle(box, outline=OUTLINE, width=width)
        return
    x1, y1, x2, y2 = box
    for start in range(0, math.ceil(max(x2 - x1, y2 - y1)), 7 * width):
        x, y = x1 + start, y1 + start
        for top in (y1, y2 - width + 1) if x <= x2 else ():
            pen.rectangle((x, top, min(x2, x + 4 * width), top + width - 1), fill=OUTLINE)
        for left in (x1, x2 - width + 1) if y <= y2 else ():
            pen.rectangle((left, y, left + width - 1, min(y2, y + 4 * width)), fill=OUTLINE)
