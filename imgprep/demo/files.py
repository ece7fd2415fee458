"""The bytes of a demo image file: sound, or with a realistic fault. Worker processes import this module."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageDraw

from imgprep.demo.drawing import lettering
from imgprep.demo.scenes import Picture, painted, subject

_ORIENTATION = 0x0112
_TURNED = {
    "turned-3": (3, Image.Transpose.ROTATE_180),
    "turned-6": (6, Image.Transpose.ROTATE_90),
    "turned-8": (8, Image.Transpose.ROTATE_270),
}
_PAGE = "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>{name} was not found</body></html>\n"
#: Only the first boxes of a HEIC file, since Pillow alone cannot read HEIC.
_HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00\x00\x02\x00mdat"


def made(picture: Picture) -> bytes:
    """Return the file contents for a picture."""
    return _FORMS[picture.form](picture)


def _saved(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def _jpeg(picture: Picture) -> bytes:
    return _saved(painted(picture), "JPEG", quality=82)


def _png(picture: Picture) -> bytes:
    return _saved(painted(picture).quantize(96, dither=Image.Dither.NONE).convert("RGB"), "PNG", compress_level=4)


def _again(picture: Picture) -> bytes:
    """Return the same picture as saved by another program."""
    return _saved(painted(picture), "JPEG", quality=55, progressive=True)


def _turned(picture: Picture) -> bytes:
    """Return the file of a camera held sideways or upside down: rotated pixels, and an orientation tag."""
    orientation, back = _TURNED[picture.form]
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return _saved(painted(picture).transpose(back), "JPEG", quality=82, exif=exif)


def _cmyk(picture: Picture) -> bytes:
    return _saved(painted(picture).convert("CMYK"), "JPEG", quality=80)


def _transparent(picture: Picture) -> bytes:
    """Return the subject on a transparent background."""
    image = Image.new("RGBA", picture.size)
    image.paste(subject(picture), picture.box[:2])
    return _saved(image, "PNG", compress_level=4)


def _animated(picture: Picture) -> bytes:
    first = painted(picture).quantize(64, dither=Image.Dither.NONE)
    frames = [first.rotate(angle, fillcolor=first.getpixel((2, 2))) for angle in (3, 6)]
    return _saved(first, "GIF", save_all=True, append_images=frames, duration=400, loop=0)


def _deep(picture: Picture) -> bytes:
    return _saved(painted(picture).convert("L").convert("I").point(lambda value: value * 257).convert("I;16"), "PNG")


def _icon(picture: Picture) -> bytes:
    return _saved(painted(picture), "ICO", sizes=[picture.saved_size])


def _truncated(picture: Picture) -> bytes:
    whole = _jpeg(picture)
    return whole[: len(whole) * 55 // 100]


def _placeholder(picture: Picture) -> bytes:
    """Return the placeholder that shops show if a product has no image."""
    image = Image.new("RGB", picture.size, (240, 240, 240))
    pen, (x1, y1, x2, y2) = ImageDraw.Draw(image), picture.box
    pen.rounded_rectangle((x1, y1, x2, y2), 16, outline=(180, 180, 180), width=6)
    middle, radius = ((x1 + x2) // 2, (y1 + y2) // 2), (y2 - y1) // 4
    pen.ellipse((middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius), outline=(180, 180,
        180), width=6)  # fmt: skip
    letters = lettering(picture.badge, picture.size[1] // 18)
    image.paste((150, 150, 150), ((image.width - letters.width) // 2, y2 + 30), letters)
    return _saved(image, "PNG")


_FORMS: dict[str, Callable[[Picture], bytes]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": lambda picture: _saved(painted(picture), "WEBP", quality=80, method=2),
    "tiff": lambda picture: _saved(painted(picture), "TIFF", compression="tiff_lzw"),
    "again": _again,
    **dict.fromkeys(_TURNED, _turned),
    "bmp": lambda picture: _saved(painted(picture), "BMP"),
    "cmyk": _cmyk,
    "transparent": _transparent,
    "animated": _animated,
    "deep": _deep,
    "icon": _icon,
    "truncated": _truncated,
    "page": lambda picture: _PAGE.format(name=picture.name).encode(),
    "heic": lambda picture: _HEIC + picture.name.encode(),
    "empty": lambda picture: b"",
    "placeholder": _placeholder,
}
