"""An image's bytes → taken with its size, or refused.

Limits are those of the AddImage reference. Nothing is decoded before its header says that it is small enough.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from imgprep.sandbox.imagesearch.codes import Failure
from imgprep.sandbox.imagesearch.readings import Readings
from imgprep.sandbox.imagesearch.service_types import ServiceType

MAX_BYTES = 4 * 1024 * 1024
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_ORIENTATION = 0x0112
_EXTENSIONS = {
    "PNG": ("png",),
    "JPEG": ("jpg", "jpeg"),
    "MPO": ("jpg", "jpeg"),
    "BMP": ("bmp",),
    "GIF": ("gif",),
    "WEBP": ("webp",),
    "TIFF": ("tif", "tiff"),
    "PPM": ("ppm", "pgm", "pbm", "pnm"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that is taken: its stored size in pixels, and the tag of its object."""

    width: int
    height: int
    etag: str = ""


def judge_picture(data: bytes, name: str, service: ServiceType, readings: Readings) -> Picture | Failure:
    """Judge an image by its bytes.

    Parameters
    ----------
    data : bytes
        The whole object.
    name : str
        Its PicName; looked at only where extensions are read strictly.

    Examples
    --------
    >>> judge_picture(b"no image", "a.jpg", ServiceType.PRODUCT, Readings()).code
    'UnsupportedPicFormat'
    """
    if len(data) > MAX_BYTES:
        return Failure("InvalidPicContent", f"It has {len(data)} bytes.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _judge(image, name, service, readings)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Failure("UnsupportedPicPixels", "It claims far too many.")
    except Exception:  # noqa: BLE001  Pillow's plugins raise all kinds on hostile files
        return Failure("UnsupportedPicFormat", "It cannot be decoded.")


def _judge(image: Image.Image, name: str, service: ServiceType, readings: Readings) -> Picture | Failure:
    width, height = image.size
    smallest, largest = service.sides
    if min(width, height) < smallest or max(width, height) > largest:
        return Failure("UnsupportedPicPixels", f"{width}x{height}: sides must be {smallest} to {largest}.")
    if (failure := _strict_failure(image, name, readings)) is not None:
        return failure
    # TIFF turns itself while it loads, and then no longer says that it was turned; PNG may keep its EXIF at the end.
    orientation = None if image.format == "PNG" else image.getexif().get(_ORIENTATION)
    if image.format in ("JPEG", "MPO"):
        image.draft("L", (max(width // 8, 1), max(height // 8, 1)))  # finds what a full decode finds, many times faster
    image.load()
    if orientation is None:
        orientation = image.getexif().get(_ORIENTATION)
    if orientation not in (None, 1) and (orientation in range(2, 9) or readings.strict("odd_orientation")):
        return Failure("IncorrectOrientation", f"Orientation is {orientation}.")
    return Picture(width, height)


def _strict_failure(image: Image.Image, name: str, readings: Readings) -> Failure | None:
    kind = image.format or ""
    if readings.strict("extension") and name.rpartition(".")[2].lower() not in _EXTENSIONS.get(kind, ()):
        return Failure("UnsupportedPicFormat", f"Its content is {kind}, its extension says otherwise.")
    if readings.strict("animation") and kind != "MPO" and getattr(image, "n_frames", 1) > 1:
        return Failure("UnsupportedPicFormat", "It is animated.")
    if readings.strict("colours") and (image.mode in ("CMYK", "YCCK") or image.mode.startswith(("I", "F"))):
        return Failure("UnsupportedPicFormat", f"Its colours are {image.mode}.")
    if readings.strict("alpha") and (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
        return Failure("UnsupportedPicFormat", "It has transparency.")
    return None
