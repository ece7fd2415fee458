"""Any image mode → plain RGB, as a person would expect it: white behind, colours in sRGB, nothing clipped."""

from __future__ import annotations

import functools
import io
from typing import Any

from PIL import Image, ImageCms

_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY", "LAB": "Lab"}


def plain_rgb(image: Image.Image) -> Image.Image:
    """Return a new image in mode RGB: transparency on white, deep channels scaled, colours converted to sRGB.

    Parameters
    ----------
    image : PIL.Image.Image
        Any mode; its first frame is taken where it is still on it.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, same size, without metadata.

    Notes
    -----
    Source: browsers show untagged images as sRGB and honour profiles; a profile that cannot be used is ignored.

    Examples
    --------
    >>> plain_rgb(Image.new("CMYK", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    # Premultiplied alpha converts to its plain sister and to nothing else.
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
    """Tell whether the image carries a colour profile that is not sRGB."""
    data = image.info.get("icc_profile")
    return isinstance(data, bytes) and len(data) > 0 and not _says_srgb(data)


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
    """Return the image in one of the modes that a profile can speak of, without transparency."""
    mode = image.mode
    if mode in ("RGB", "L", "CMYK", "LAB"):
        return image
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _eight_bits(image)
    if mode in ("LA", "1"):
        return image.convert("L")
    if mode in ("P", "PA"):
        # By way of RGBA: a direct conversion would mark or drop the transparent palette entry.
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale deep grey by the range that it evidently uses."""
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
    if isinstance(profile, bytes) and profile and not _says_srgb(profile):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            fits = source.profile.xcolor_space.strip() == _SPACES.get(image.mode)
        except Exception:  # noqa: BLE001  a broken profile says nothing about the picture
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
    except Exception:  # noqa: BLE001  as above: better the colours unmanaged than no picture
        return None


def _says_srgb(profile: bytes) -> bool:
    # The description stands in the profile as ASCII (v2) or UTF-16 (v4).
    return b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile


@functools.cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


@functools.cache
def _lab() -> Any:
    return ImageCms.createProfile("LAB")
