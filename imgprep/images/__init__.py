"""Photographs: what they are, and copies that the service takes."""

from __future__ import annotations

from imgprep.images.upright import MAX_PIXELS, NotAnImage, TooManyPixels, open_upright, upright_size

__all__ = [
    "MAX_PIXELS",
    "NotAnImage",
    "TooManyPixels",
    "open_upright",
    "upright_size",
]
