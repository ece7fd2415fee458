"""The upright frame: this module alone applies orientation and limits what is decoded.

Regions, thumbnails, suggestions and copies use the pixel coordinates of the image that `open_upright` returns.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, UnidentifiedImageError

from imgprep.core.errors import ImgprepError
from imgprep.images.formats import orientation_in, sole_exif

_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY", "LAB": "Lab"}
#: Maximum pixels to decode; a decompression bomb claims more. Source: Pillow's own limit (twice MAX_IMAGE_PIXELS),
#: about 180 megapixels, half a gigabyte as RGB.
MAX_PIXELS = 178_956_970

#: Formats to open, by Pillow's names, most likely first. Not listed: formats whose reader starts another program
#: (EPS, WMF) or that have no signature and so match any file (TGA, PCD, …).
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
    """An image claims more than `MAX_PIXELS` pixels (a decompression bomb or a mistake)."""


class NotAnImage(ImgprepError):
    """The file's format is unknown."""


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return the width and height of an image after applying its EXIF orientation."""
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def open_upright(source: str | os.PathLike[str] | bytes | Image.Image, *, max_side: int | None = None) -> Image.Image:
    """Open an image as a viewer shows it: first frame, upright, plain RGB, on white.

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
    """Open an image without decoding it; raise if it is too large to decode."""
    data = file.getvalue() if isinstance(file, io.BytesIO) else _if_jpeg(file)
    lean = sole_exif(data)
    try:
        image = Image.open(file if lean is data else io.BytesIO(lean), formats=readers())
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"{error}; at most {MAX_PIXELS:,} pixels are decoded") from error
    except UnidentifiedImageError as error:
        raise NotAnImage("the format is unknown; pass an image file") from error
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
    """Return the EXIF orientation still to be applied, 1 to 8."""
    if image.format == "TIFF":
        return 1
    return orientation_in(image.info.get("exif"))


def can_read(format_: str) -> bool:
    """Return whether a format (Pillow's name) can be read here; HEIF needs pillow-heif."""
    return format_ in readers()


@functools.cache
def readers() -> list[str]:
    """Return the formats in `READABLE` that have an installed reader."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif  # noqa: PLC0415  optional

        pillow_heif.register_heif_opener()
    return [name for name in READABLE if name in Image.OPEN]


def plain_rgb(image: Image.Image) -> Image.Image:
    """Return a new RGB image: transparency flattened on white, deep channels scaled, colours converted to sRGB."""
    # Premultiplied alpha can only be converted to its plain counterpart.
    image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode]) if image.mode in ("La", "RGBa") else image
    alpha = _alpha(image)
    opaque = _opaque(image)
    rgb = _to_srgb(opaque, image.info.get("icc_profile"))
    if alpha is not None:
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    elif rgb is image:
        rgb = rgb.copy()
    rgb.info = {}
    return rgb


def has_profile(image: Image.Image) -> bool:
    """Return whether the image has a colour profile other than sRGB."""
    data = image.info.get("icc_profile")
    return isinstance(data, bytes) and len(data) > 0 and not _is_srgb(data)


def _alpha(image: Image.Image) -> Image.Image | None:
    if image.mode in ("RGBA", "LA"):
        alpha = image.getchannel("A")
    elif image.mode == "PA" or ("transparency" in image.info and image.mode in ("1", "L", "P", "RGB")):
        alpha = image.convert("RGBA").getchannel("A")
    else:
        return None
    low: Any = alpha.getextrema()[0]
    return alpha if low < 255 else None


def _opaque(image: Image.Image) -> Image.Image:
    """Return the image without transparency, in a mode that a profile can describe."""
    mode = image.mode
    if mode in ("RGB", "L", "CMYK", "LAB"):
        return image
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _eight_bits(image)
    if mode in ("LA", "1"):
        return image.convert("L")
    if mode in ("P", "PA"):
        # Via RGBA: a direct conversion would keep or drop the transparent palette entry.
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale deep greyscale to 8 bits according to the range it uses."""
    deep = image if image.mode in ("I", "F") else image.convert("I")
    extrema: Any = deep.getextrema()
    low, high = (float(value) for value in extrema)
    whole = image.mode != "F"
    if whole and image.mode == "I" and low >= 0 and high <= 255:
        offset, top = 0.0, 255.0
    elif whole and low >= 0 and high <= 65_535:
        offset, top = 0.0, 65_535.0
    elif not whole and low >= 0 and high <= 1:
        offset, top = 0.0, 1.0
    else:
        offset, top = low, max(high - low, 1e-12)
    factor = 255.0 / top
    return deep.convert("F").point(lambda value: value * factor - offset * factor).convert("L")


def _to_srgb(image: Image.Image, profile: Any) -> Image.Image:
    if image.mode == "LAB":
        return _transformed(image, _lab()) or image.getchannel("L").convert("RGB")
    if isinstance(profile, bytes) and profile and not _is_srgb(profile):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            fits = source.profile.xcolor_space.strip() == _SPACES.get(image.mode)
        except Exception:  # noqa: BLE001  a broken profile does not affect the pixels
            fits = False
        if fits:
            result = _transformed(image, source)
            if result is not None:
                return result
    return image if image.mode == "RGB" else image.convert("RGB")


def _transformed(image: Image.Image, source: Any) -> Image.Image | None:
    try:
        return ImageCms.profileToProfile(
            image, source, _srgb(), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
        )
    except Exception:  # noqa: BLE001  unmanaged colours are better than no image
        return None


def _is_srgb(profile: bytes) -> bool:
    # The profile stores its description as ASCII (v2) or UTF-16 (v4).
    return b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile


@functools.cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


@functools.cache
def _lab() -> Any:
    return ImageCms.createProfile("LAB")
