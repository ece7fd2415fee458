"""Facts that need decoding: image statistics, perceptual hash, and damage that decoders silently accept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import math
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgprep.images.upright import plain_rgb
from imgprep.look.facts import Record

#: Shorter side, in pixels, at which statistics are computed; the decoder may leave up to twice as many.
SMALL = 48
_HASH = 32
_BAND = 16
_TILES = 16
_MEAN = 4  # Pillow's BOX, the plain mean; faster than converting to an array
_LEVELS = np.arange(256.0)
_SQUARES = _LEVELS * _LEVELS
_REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "F")


def shrink(image: Image.Image) -> Image.Image:
    """Return a small RGB version of a decoded image, without applying its orientation."""
    factor = min(image.width, image.height) // SMALL
    if factor > 1:
        info = dict(image.info)
        if image.mode in ("P", "PA", "1"):
            # Palette indices cannot be averaged; every nth pixel is good enough for statistics.
            image = image.resize((max(image.width // factor, 1), max(image.height // factor, 1)), 0)
        elif image.mode in _REDUCIBLE:
            image = image.reduce(factor)
        else:
            return plain_rgb(image).reduce(factor)
        image.info = info
    return plain_rgb(image)


def statistics(small: Image.Image, size: tuple[int, int]) -> Record:
    """Return the statistics of a small upright RGB image; `size` is that of the original."""
    grey = small.convert("L")
    levels = np.asarray(grey)
    share = np.bincount(levels.ravel(), minlength=256) / levels.size
    below = share.cumsum()
    mean = float(share @ _LEVELS)
    occurring = share[share > 0]
    width, height = small.size
    # Use the middle: the surroundings say little about a product's colour.
    middle = (width // 4, height // 4, max(width - width // 4, 1), max(height - height // 4, 1))
    colour: Any = small.resize((1, 1), _MEAN, box=middle).getpixel((0, 0))
    return {
        "phash": _phash(grey),
        "pixels": hashlib.sha256(small.tobytes() + b"%d,%d" % size).hexdigest()[:16],
        "brightness": round(mean / 255, 4),
        "contrast": round(max(float(share @ _SQUARES) - mean * mean, 0.0) ** 0.5 / 255, 4),
        "light": round(int(below.searchsorted(0.05)) / 255, 4),
        "dark": round(int(below.searchsorted(0.99)) / 255, 4),
        "sharpness": round(_sharpness(levels), 4),
        "entropy": round(abs(float(occurring @ np.log2(occurring))), 4),
        "blank": round(float(max(below[_BAND - 1], (below[_BAND:] - below[:-_BAND]).max())), 4),
        "chroma": round(_chroma(small), 4),
        "red": colour[0],
        "green": colour[1],
        "blue": colour[2],
    }


def _phash(grey: Image.Image) -> str:
    """Return the 64-bit perceptual hash of a grey image as 16 hex digits."""
    pixels = np.asarray(grey.resize((_HASH, _HASH), 5), dtype=np.float32)  # 5: HAMMING, fast and free of ringing
    waves = (_cosines() @ pixels @ _cosines().T).ravel()
    bits = waves > np.median(waves[1:])
    return np.packbits(bits).tobytes().hex()


@functools.cache
def _cosines() -> NDArray[np.float32]:
    places = (2 * np.arange(_HASH) + 1) * np.pi / (2 * _HASH)
    return np.cos(np.arange(8)[:, None] * places[None, :]).astype(np.float32)


def _chroma(small: Image.Image) -> float:
    red, green, blue = np.asarray(small.resize((_TILES, _TILES), _MEAN)).reshape(-1, 3).T
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return float(spread.mean()) / 255


def _sharpness(levels: NDArray[np.uint8]) -> float:
    if min(levels.shape) < 3:
        return 0.0
    deep = levels.astype(np.int16)
    curve = deep[:-2, 1:-1] + deep[2:, 1:-1]
    curve += deep[1:-1, :-2]
    curve += deep[1:-1, 2:]
    curve -= deep[1:-1, 1:-1] << 2
    flat = curve.astype(np.float32).ravel()
    mean = float(flat.mean())
    variance = float(flat @ flat) / flat.size - mean * mean
    return math.sqrt(max(variance, 0.0)) / 255


_JPEG = ("JPEG", "MPO")
#: libjpeg warnings about data that it could not decode faithfully and concealed.
_WARNING = re.compile(rb"^(?:Corrupt JPEG data|Premature end of JPEG file|Inconsistent progression sequence).*$", re.M)
_one_at_a_time = threading.Lock()


def can_find_damage(format_: str | None) -> bool:
    """Return whether damage in this format can be found; JPEG needs OpenCV."""
    return format_ not in _JPEG or importlib.util.find_spec("cv2") is not None


def damage(data: bytes, format_: str | None) -> str | None:
    """Return a description of the damage in an image that decodes, or None."""
    if format_ == "PNG":
        return _png_damage(data)
    if format_ in _JPEG and can_find_damage(format_):
        return _jpeg_damage(data)
    return None


def _png_damage(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()
    except Exception as error:  # noqa: BLE001  decoders can raise any exception
        return f"{type(error).__name__}: {error}"
    return None


def _jpeg_damage(data: bytes) -> str | None:
    import cv2  # noqa: PLC0415  heavy, and needed only by this tier

    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
    with _one_at_a_time, _standard_error() as caught:
        try:
            cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:  # Pillow has decoded it; only the warnings matter
            return None
        caught.seek(0)
        warning = _WARNING.search(caught.read())
    return warning[0].decode(errors="replace") if warning else None


@contextlib.contextmanager
def _standard_error() -> Iterator[IO[bytes]]:
    """Capture this process's standard error; afterwards, pass on anything that the decoder did not write."""
    with tempfile.TemporaryFile() as caught:
        before = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield caught
        finally:
            os.dup2(before, 2)
            caught.seek(0)
            others = re.sub(rb"\n+", b"\n", _WARNING.sub(b"", caught.read())).lstrip(b"\n")
            if others:
                os.write(2, others)
            os.close(before)
