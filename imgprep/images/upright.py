"""The upright frame: the one place that decides how an image stands and what may be decoded.

Regions, thumbnails, suggestions and copies all count pixels of what `open_upright` returns.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from imgprep.errors import ImgprepError
from imgprep.images.metadata import orientation_in, sole_exif
from imgprep.images.pixels import plain_rgb

#: Most pixels that are ever decoded. A bomb is a small file that claims more. Source: where Pillow itself refuses
#: (twice its MAX_IMAGE_PIXELS); about 180 megapixels, half a gigabyte as RGB.
MAX_PIXELS = 178_956_970

#: Formats that are opened, by Pillow's names, likeliest first. Left out: what starts another program (EPS, WMF), and
#: what is recognised by next to nothing and so takes any file for its own (TGA, PCD, …).
READABLE: tuple[str, ...] = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "MPO",
    "PPM",
    "AVIF",
    "HEIF",
    "JPEG2000",
    "PSD",
    "ICO",
    "QOI",
)

TURN: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class TooManyPixels(ImgprepError):
    """An image claims more pixels than are ever decoded (a bomb, or a mistake)."""


class NotAnImage(ImgprepError):
    """No reader knows the file's format."""


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return width and height of an image once its EXIF orientation is applied.

    Parameters
    ----------
    width, height : int
        Pixels as stored in the file.
    orientation : int
        EXIF orientation, 1 … 8.

    Notes
    -----
    Source: EXIF 2.32, tag 0x0112: 5 … 8 swap rows and columns.

    Examples
    --------
    >>> upright_size(640, 480, 6)
    (480, 640)
    """
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def open_upright(source: str | os.PathLike[str] | bytes | Image.Image, *, max_side: int | None = None) -> Image.Image:
    """Open an image as a person sees it: upright, in plain RGB, first frame, on white.

    Parameters
    ----------
    source : path, bytes or PIL.Image.Image
        The file, its bytes, or an image that is open already.
    max_side : int, optional
        Make the longer side at most this many pixels. JPEGs are then decoded at a fraction, which is much faster.

    Returns
    -------
    PIL.Image.Image
        Mode RGB; its size is the upright size where `max_side` is not given.

    Raises
    ------
    TooManyPixels
        The file claims more than `MAX_PIXELS`; nothing was decoded.
    NotAnImage
        No reader knows the format.
    OSError
        The file cannot be read, or ends too early.

    Notes
    -----
    Source: browsers orient by the EXIF tag alone, so that a region drawn in one lies where it was drawn; an
    orientation in XMP is ignored here as it is there.

    Examples
    --------
    >>> from PIL import Image
    >>> open_upright(Image.new("RGBA", (40, 30))).getpixel((0, 0))
    (255, 255, 255)
    """
    if isinstance(source, Image.Image):
        return _finish(source, max_side)
    file = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
    with open_header(file) as image:
        if max_side is not None:
            image.draft(None, (2 * max_side, 2 * max_side))
        image.load()
        return _finish(image, max_side)


def _finish(image: Image.Image, max_side: int | None) -> Image.Image:
    turn = TURN.get(exif_orientation(image))
    plain = plain_rgb(image)
    if max_side is not None:
        plain.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return plain if turn is None else plain.transpose(turn)


def open_header(file: Path | io.BytesIO) -> Image.Image:
    """Open an image without decoding it, and refuse one that is too large to decode.

    Raises
    ------
    TooManyPixels, NotAnImage, OSError
        As `open_upright`.
    """
    data = file.getvalue() if isinstance(file, io.BytesIO) else _if_jpeg(file)
    lean = sole_exif(data)
    try:
        image = Image.open(file if lean is data else io.BytesIO(lean), formats=readers())
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"{error}; at most {MAX_PIXELS:,} pixels are decoded") from error
    except UnidentifiedImageError as error:
        raise NotAnImage("no reader knows this format; needs an image file") from error
    if image.width * image.height > MAX_PIXELS:
        width, height = image.size
        image.close()
        raise TooManyPixels(f"claims {width} × {height} pixels; at most {MAX_PIXELS:,} are decoded")
    return image


def _if_jpeg(file: Path) -> bytes:
    with file.open("rb") as opened:
        start = opened.read(2)
        return start + opened.read() if start == b"\xff\xd8" else start


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied, 1 … 8; 1 where there is none.

    Pillow turns TIFFs itself, so theirs is 1. In a PNG the tag may follow the pixels: load the image first.
    """
    if image.format == "TIFF":
        return 1
    return orientation_in(image.info.get("exif"))


def can_read(format_: str) -> bool:
    """Return whether files of a format, by Pillow's names, can be read here: HEIF only where pillow-heif is there."""
    return format_ in readers()


@functools.cache
def readers() -> list[str]:
    """Return the formats that are opened here, as Pillow names them: those of `READABLE` that there is a reader for."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif  # noqa: PLC0415  no dependency; phones' HEIC is read where it is installed

        pillow_heif.register_heif_opener()
    return [name for name in READABLE if name in Image.OPEN]
