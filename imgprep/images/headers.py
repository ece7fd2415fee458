"""What a file says of itself before its pixels: size, mode, orientation, frames, metadata. Nothing is decoded."""

from __future__ import annotations

from typing import Any

from PIL import Image

from imgprep.images.facts import Record
from imgprep.images.kinds import has_ended
from imgprep.images.metadata import orientation_in, png_exif, sole_exif
from imgprep.images.personal import is_free_text, png_says, says_person_or_place
from imgprep.images.pixels import has_profile
from imgprep.images.upright import upright_size


def header_facts(image: Image.Image, data: bytes) -> Record:
    """Return the facts of tier ``header``.

    Parameters
    ----------
    image : PIL.Image.Image
        From `open_header`, not loaded: Pillow's own `getexif` would decode a PNG whose EXIF stands behind its pixels.
    data : bytes
        The file.

    Returns
    -------
    dict
        The columns of facts from ``format`` to ``orientation``, and from ``depth`` to ``ended``.
    """
    info = image.info
    width, height = image.size
    exif = info.get("exif")
    orientation = 1
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]  # only TIFFs have it
        stated = tags.get(0x0112, 1)
        orientation = stated if stated in range(1, 9) else 1
        # Pillow tells the upright size of a TIFF, and of a TIFF only.
        width, height = upright_size(width, height, orientation)
        exif = None
    elif image.format == "PNG" and exif is None:
        exif = png_exif(data)
    if exif is not None:
        orientation = orientation_in(exif)
    return {
        "format": image.format,
        "width": width,
        "height": height,
        "mode": image.mode,
        "frames": _frames(image),
        "orientation": orientation,
        "depth": _depth(image, data),
        "alpha": image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in info,
        "profile": has_profile(image),
        "personal": _personal(image, exif, data),
        "ended": has_ended(image.format, data),
    }


def _frames(image: Image.Image) -> int | None:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001  what is wrong with later frames does not concern the first
        return None


def _depth(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits: Any = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]  # only TIFFs have it
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    if image.mode.startswith("I;16"):
        return 16
    return {"I": 32, "F": 32, "1": 1}.get(image.mode, 8)


def _personal(image: Image.Image, exif: bytes | None, data: bytes) -> bool:
    if image.format == "PNG":
        return says_person_or_place(exif) or png_says(data)
    if image.format in ("JPEG", "MPO"):
        return says_person_or_place(exif) or _jpeg_says(image, data)
    xmp, photoshop = image.info.get("xmp"), None
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]  # only TIFFs have it
        xmp, photoshop = tags.get(700), tags.get(34377)
        exif = data  # built like one
    comment = image.info.get("comment")
    return says_person_or_place(
        exif, xmp if isinstance(xmp, bytes) else None, photoshop if isinstance(photoshop, bytes) else None
    ) or (isinstance(comment, bytes) and is_free_text(comment))


def _jpeg_says(image: Image.Image, data: bytes) -> bool:
    """Look through all segments: XMP that is too long for one goes on in others, and comments may be several."""
    for name, segment in getattr(image, "applist", ()):
        if name == "COM" and is_free_text(segment):
            return True
        if name == "APP1" and not segment.startswith(b"Exif\0") and says_person_or_place(xmp=segment):
            return True
        if name == "APP13" and says_person_or_place(photoshop=segment):
            return True
    return sole_exif(data) is not data  # what a second EXIF segment says is not looked at
