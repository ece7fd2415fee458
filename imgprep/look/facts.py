"""Facts about an image: the columns of a facts frame and the tiers that fill them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

#: Increased whenever the same file would yield different facts; older cache entries are then ignored.
PROBE_VERSION = 5

#: Column → pandas dtype and meaning of a facts frame; one row per distinct PicName.
_COLUMNS: dict[str, tuple[str, str]] = {
    "PicName": ("str", "name relative to the image folder"),
    "exists": ("boolean", "a file with that name exists"),
    "bytes": ("Int64", "size of the file"),
    "mtime_ns": ("Int64", "time of the last change, nanoseconds"),
    "format": ("str", "by content, Pillow's name"),
    "width": ("Int64", "pixels as stored, before EXIF"),
    "height": ("Int64", "pixels as stored, before EXIF"),
    "mode": ("str", "Pillow's mode, by content"),
    "frames": ("Int64", "frames in the file"),
    "orientation": ("Int64", "EXIF orientation, 1 to 8; 1 if none is stated"),
    "digest": ("str", "MD5 of the bytes, hex"),
    "decodes": ("boolean", "the whole file could be decoded; NA if not tried"),
    "phash": ("str", "perceptual hash, 64 bits, hex"),
    "problem": ("str", "code of the file's problem; NA if none"),
    "detail": ("str", "the problem in words"),
    "tier": ("str", "depth of the inspection: stat, header, decode, strict"),
    # tier header and deeper
    "depth": ("Int64", "bits per channel"),
    "alpha": ("boolean", "has an alpha channel or a transparent colour"),
    "profile": ("boolean", "carries a colour profile other than sRGB"),
    "personal": ("boolean", "the metadata name a place, a person or a serial number, or contain free text"),
    "ended": ("boolean", "the end of the file is present; NA if the format does not mark it"),
    # tier decode and deeper; statistics of the image reduced to 48 to 96 pixels, upright, on white, in sRGB
    "pixels": ("str", "hash of the reduced image and its size: equal for images that look the same"),
    "brightness": ("float64", "mean luma, 0 to 1"),
    "contrast": ("float64", "standard deviation of luma, 0 to 0.5"),
    "light": ("float64", "5th percentile of luma, 0 to 1: high means washed out"),
    "dark": ("float64", "99th percentile of luma, 0 to 1: low means dark"),
    "sharpness": ("float64", "standard deviation of the Laplacian, 0 to 4: low means blurred"),
    "entropy": ("float64", "entropy of luma, 0 to 8 bits: low means little detail"),
    "blank": ("float64", "share of pixels in the most common 16 grey levels, 0 to 1"),
    "chroma": ("float64", "mean spread between the three channels, 0 to 1: 0 is grey"),
    "red": ("Int64", "mean red value of the central part, 0 to 255"),
    "green": ("Int64", "mean green value of the central part, 0 to 255"),
    "blue": ("Int64", "mean blue value of the central part, 0 to 255"),
}
FACT_COLUMNS: dict[str, str] = {name: dtype for name, (dtype, _) in _COLUMNS.items()}
FACT_MEANING: dict[str, str] = {name: meaning for name, (_, meaning) in _COLUMNS.items()}

#: Facts of one file; unknown columns are omitted.
Record: TypeAlias = dict[str, Any]


class Tier(StrEnum):
    """How deeply to inspect; each tier includes those above it."""

    STAT = "stat"  #: existence, size and age
    HEADER = "header"  #: one read of the file: digest, format, size, mode, frames, orientation
    DECODE = "decode"  #: decoded at reduced size: broken files, statistics, perceptual hash
    STRICT = "strict"  #: also damage that decoders accept: PNG checksums and, with OpenCV, libjpeg warnings
