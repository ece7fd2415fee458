"""Statistics of how a picture looks, from a small version of it."""

from __future__ import annotations

import functools
import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from imgprep.images.facts import Record
from imgprep.images.pixels import plain_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

#: Shorter side, pixels, that statistics are made at; the decoder may leave up to twice as many.
SMALL = 48
_HASH = 32
_BAND = 16
_TILES = 16
_MEAN = 4  # Pillow's BOX, the plain mean; quicker than an array of the pixels
_LEVELS = np.arange(256.0)
_SQUARES = _LEVELS * _LEVELS
_REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "F")


def shrink(image: Image.Image) -> Image.Image:
    """Return a small RGB version of a decoded image, not turned."""
    factor = min(image.width, image.height) // SMALL
    if factor > 1:
        if image.mode in ("P", "PA", "1"):
            # Palette indices cannot be averaged; every n-th pixel is near enough for statistics.
            size = (max(image.width // factor, 1), max(image.height // factor, 1))
            image = _with_info(image.resize(size, 0), image.info)
        elif image.mode in _REDUCIBLE:
            image = _with_info(image.reduce(factor), image.info)
        else:
            return plain_rgb(image).reduce(factor)
    return plain_rgb(image)


def _with_info(image: Image.Image, info: dict[Any, Any]) -> Image.Image:
    image.info = dict(info)
    return image


def looks(small: Image.Image, size: tuple[int, int]) -> Record:
    """Return the statistics of a small upright RGB picture.

    Parameters
    ----------
    small : PIL.Image.Image
        From `shrink`, turned upright.
    size : (int, int)
        Upright size of the whole image, pixels.

    Returns
    -------
    dict
        The columns of facts from ``pixels`` to ``blue``, and ``phash``.
    """
    grey = small.convert("L")
    levels = np.asarray(grey)
    share = np.bincount(levels.ravel(), minlength=256) / levels.size
    below = share.cumsum()
    mean = float(share @ _LEVELS)
    seen = share[share > 0]
    width, height = small.size
    # The middle: what lies around a product says little about its colour.
    middle = (width // 4, height // 4, max(width - width // 4, 1), max(height - height // 4, 1))
    colour: Any = small.resize((1, 1), _MEAN, box=middle).getpixel((0, 0))
    return {
        "phash": phash(grey),
        "pixels": hashlib.sha256(small.tobytes() + b"%d,%d" % size).hexdigest()[:16],
        "brightness": round(mean / 255, 4),
        "contrast": round(max(float(share @ _SQUARES) - mean * mean, 0.0) ** 0.5 / 255, 4),
        "light": round(int(below.searchsorted(0.05)) / 255, 4),
        "dark": round(int(below.searchsorted(0.99)) / 255, 4),
        "sharpness": round(_sharpness(levels), 4),
        "entropy": round(abs(float(seen @ np.log2(seen))), 4),
        "blank": round(float(max(below[_BAND - 1], (below[_BAND:] - below[:-_BAND]).max())), 4),
        "chroma": round(_chroma(small), 4),
        "red": colour[0],
        "green": colour[1],
        "blue": colour[2],
    }


def phash(grey: Image.Image) -> str:
    """Return the 64-bit perceptual hash of a grey picture, 16 hex digits.

    Notes
    -----
    The signs, about their median, of the 8 × 8 slowest waves of its cosine transform at 32 × 32: nearly the same for
    a copy that was scaled, recompressed or brightened.

    Examples
    --------
    >>> from PIL import Image
    >>> picture = Image.linear_gradient("L").rotate(25, fillcolor=255)
    >>> phash(picture) == phash(picture.resize((150, 100)))
    True
    """
    pixels = np.asarray(grey.resize((_HASH, _HASH), 5), dtype=np.float32)  # 5: HAMMING, quick and without ringing
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
