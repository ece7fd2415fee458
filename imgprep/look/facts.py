"""The shape of facts, and the tiers that fill it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

#: Raised whenever the same file would give other facts; older entries of a cache are then not used.
PROBE_VERSION = 5

#: Column → pandas dtype of a facts frame; one row per distinct PicName.
FACT_COLUMNS: dict[str, str] = {
    "PicName": "str",
    "exists": "boolean",
    "bytes": "Int64",
    "mtime_ns": "Int64",
    "format": "str",
    "width": "Int64",
    "height": "Int64",
    "mode": "str",
    "frames": "Int64",
    "orientation": "Int64",
    "digest": "str",
    "decodes": "boolean",
    "phash": "str",
    "problem": "str",
    "detail": "str",
    "tier": "str",
    # header and below
    "depth": "Int64",
    "alpha": "boolean",
    "profile": "boolean",
    "personal": "boolean",
    "ended": "boolean",
    # decode and below
    "pixels": "str",
    "brightness": "float64",
    "contrast": "float64",
    "light": "float64",
    "dark": "float64",
    "sharpness": "float64",
    "entropy": "float64",
    "blank": "float64",
    "chroma": "float64",
    "red": "Int64",
    "green": "Int64",
    "blue": "Int64",
}

#: Column → what it says. The statistics are of the picture at 48 … 96 pixels, upright, on white, in sRGB.
FACT_MEANING: dict[str, str] = {
    "PicName": "name below the root",
    "exists": "there is a file of that name",
    "bytes": "size of the file",
    "mtime_ns": "when it was changed, nanoseconds",
    "format": "by content, in Pillow's words",
    "width": "pixels as stored, before EXIF",
    "height": "pixels as stored, before EXIF",
    "mode": "Pillow's mode, by content",
    "frames": "pictures in the file",
    "orientation": "EXIF orientation, 1 … 8; 1 where there is none",
    "digest": "MD5 of the bytes, hex",
    "decodes": "all of it could be decoded; NA where not tried",
    "phash": "perceptual hash, 64 bits, hex",
    "problem": "short code of what is wrong with the file; NA where nothing is",
    "detail": "the same in words",
    "tier": "how deep was looked: stat, header, decode, strict",
    "depth": "bits a channel",
    "alpha": "has transparency, or room for it",
    "profile": "carries a colour profile other than sRGB",
    "personal": "metadata name a place, a person or a serial number, or hold free text",
    "ended": "the file has its end, where its format says where that is",
    "pixels": "hash of the reduced picture and of its size: equal where pictures look the same, pixel for pixel or not",
    "brightness": "mean luma, 0 … 1",
    "contrast": "standard deviation of luma, 0 … 0.5",
    "light": "luma that 5 % of the pixels stay below: high means washed out",
    "dark": "luma that 99 % of the pixels stay below: low means dark",
    "sharpness": "standard deviation of the Laplacian, 0 … 4: low means blurred",
    "entropy": "of luma, 0 … 8 bits: low means little to see",
    "blank": "share of pixels in the commonest 16 grey levels, 0 … 1",
    "chroma": "mean spread between the three channels, 0 … 1: 0 is grey",
    "red": "mean of the middle, 0 … 255",
    "green": "mean of the middle, 0 … 255",
    "blue": "mean of the middle, 0 … 255",
}

Record: TypeAlias = dict[str, Any]
"""Facts of one file; columns that are unknown are left out."""


class Tier(StrEnum):
    """How deep to look; each includes those above it."""

    STAT = "stat"
    """Is it there, how large, how old."""
    HEADER = "header"
    """One read: digest, format, size, mode, frames, orientation."""
    DECODE = "decode"
    """Decoded, scaled: broken files, statistics, perceptual hash."""
    STRICT = "strict"
    """Also what decoders pass over in silence: checksums inside a PNG, and, with OpenCV, libjpeg's warnings."""
