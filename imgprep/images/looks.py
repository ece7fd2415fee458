"""Statistics of how a picture looks, from a small version of it."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from imgprep.images.facts import Record
from imgprep.images.pixels import plain_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

#: Shorter side, pixels, that statistics are made at; the decoder may leave up to twice as many.
SMALL = 64
_HASH = 32
_BAND = 16
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
    histogram = np.array(grey.histogram(), dtype=np.float64)
    share = histogram / histogram.sum()
    below = np.cumsum(share)
    levels = np.arange(256)
    mean = float(share @ levels)
    spread = float(np.sqrt(max(share @ (levels - mean) ** 2, 0.0)))
    seen = share[share > 0]
    window = np.concatenate([[0.0], below])
    width, height = small.size
    # The middle: what lies around a product says little about its colour.
    middle = small.crop((width // 4, height // 4, max(width - width // 4, 1), max(height - height // 4, 1)))
    red, green, blue = (round(value) for value in np.asarray(middle).reshape(-1, 3).mean(axis=0))
    return {
        "phash": phash(grey),
        "pixels": hashlib.md5(small.tobytes() + b"%d,%d" % size).hexdigest()[:16],
        "brightness": round(mean / 255, 4),
        "contrast": round(spread / 255, 4),
        "light": round(int(np.searchsorted(below, 0.05)) / 255, 4),
        "dark": round(int(np.searchsorted(below, 0.99)) / 255, 4),
        "sharpness": round(_sharpness(np.asarray(grey, dtype=np.float32)), 4),
        "entropy": round(float(-(seen @ np.log2(seen))), 4),
        "blank": round(float((window[_BAND:] - window[:-_BAND]).max()), 4),
        "red": red,
        "green": green,
        "blue": blue,
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
    >>> phash(Image.linear_gradient("L")) == phash(Image.linear_gradient("L").resize((90, 90)))
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


def _sharpness(grey: NDArray[np.float32]) -> float:
    if min(grey.shape) < 3:
        return 0.0
    curve = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(curve.std()) / 255
